//! What goes out: how it is written down, taken and tried again.

mod fan_out;
mod queue;
