//! What was measured, and how it is told: a table for people, JSON for programs, a curve per figure.

mod figure;

pub use figure::{Figure, Goal, TENURE};

/// Every figure of a run, in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Report {
    pub figures: Vec<Figure>,
}

impl Report {
    /// Takes a figure in and tells it to whoever watches.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{figure}");
        self.figures.push(figure);
    }
}
