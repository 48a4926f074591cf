//! The feeds: the history as pages, as lines and live, from the first event on.

mod bounds;
mod conformance;
mod forms;
mod live;
mod rights;
mod support;
