//! What was measured, and how it is told: a table for people, JSON for programs, a curve per part.
//!
//! - [`figure`]: one measured figure and its goals; [`judge`]: whether they are met, beside whom
//! - [`growth`]: what more data cost; [`curve`]: the same as a picture
//! - [`markdown`], [`json`]: the forms; [`machine`]: where it was measured; [`publish`]: into the documentation

mod curve;
mod figure;
mod growth;
mod json;
mod judge;
mod machine;
mod markdown;
mod publish;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use figure::{Figure, Goal, TENURE};
use machine::Machine;

use crate::plan::Plan;

/// Every figure of a run, in the order in which they were measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub figures: Vec<Figure>,
    /// Where and when each part was measured.
    machines: BTreeMap<String, Machine>,
}

impl Report {
    /// Takes a figure in and tells it to whoever watches.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{figure}");
        self.figures.push(figure);
    }

    /// A part was measured, here and now.
    pub fn measured(&mut self, part: &str) {
        self.machines.insert(part.to_owned(), Machine::here());
    }

    /// Writes every form of it into the plan's directory. Parts that this run left out are kept from the last report there.
    pub fn write(mut self, plan: &Plan) {
        std::fs::create_dir_all(&plan.out).expect("a directory");
        self.keep(&json::read(&plan.out));
        json::write(&self, &plan.out);
        let text = markdown::report(&self, "curves");
        written(&plan.out.join("report.md"), &text);
        curve::write(&self, &plan.out.join("curves"));
        if plan.publish {
            publish::publish(&self);
        }
        println!("{text}");
    }

    /// The parts, in the suite's order.
    fn parts(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !parts.contains(&&*figure.part) {
                parts.push(&figure.part);
            }
        }
        parts
    }

    fn of<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.figures.iter().filter(move |figure| figure.part == part)
    }

    fn keep(&mut self, earlier: &Self) {
        for (part, machine) in &earlier.machines {
            if self.machines.contains_key(part) {
                continue;
            }
            self.machines.insert(part.clone(), machine.clone());
            // Some figures of a part are found while another is measured.
            let kept = earlier.of(part).filter(|old| !self.figures.iter().any(|new| new.replaces(old)));
            let kept: Vec<Figure> = kept.cloned().collect();
            self.figures.extend(kept);
        }
        self.figures.sort_by_key(|figure| crate::plan::place(&figure.part));
    }
}

fn written(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
