//! Time travel: what the reads answer about then, and why somebody has what they have.

mod forgotten;
mod histories;
mod moments;
mod searches;
mod story;
mod why;
