//! Reads as the data grow: pages, single resources and switchers over HTTP, from a Tenure process for each size.
//!
//! The sizes are measured in turns, since what counts is how much more a read takes where there is more. Half of the
//! cases are about any workspace or user, the others about the one that grows with the data: the largest workspace, its
//! long audit log, and a user who is in very many.

mod questions;

use std::collections::BTreeMap;

use questions::{Case, Requests};

use crate::history::filled::{Filled, OfSize};
use crate::load::Measured;
use crate::load::closed::Load;
use crate::plan::{Part, Plan, order};
use crate::report::{Figure, Goal, Report, TENURE};
use crate::server::Server;
use crate::startup;

const PART: &str = "reads";
/// How much more the largest size may take than the smallest.
const FLAT: f64 = 1.2;
const CONNECTIONS: [usize; 2] = [1, 16];

/// One size, served, and what it is asked.
struct Side<'a> {
    size: &'a OfSize,
    server: Server,
    requests: Requests,
}

pub async fn run(plan: &Plan, report: &mut Report) {
    let filled = Filled::of(plan).await;
    if plan.parts.contains(&Part::Startup) {
        startup::measure(&filled, plan, report).await;
    }
    told_of_filling(&filled, report);
    let mut sides = Vec::new();
    for size in &filled.sizes {
        let server = size.serve();
        let requests = Requests::of(&server, &size.history.shape).await;
        sides.push(Side { size, server, requests });
    }
    for case in Case::ALL {
        for connections in CONNECTIONS {
            in_turns(case, connections, &sides, plan, report).await;
        }
    }
    for side in sides {
        side.server.stop();
    }
    filled.stop();
}

/// What it took to fill the read models is a figure of its own.
fn told_of_filling(filled: &Filled, report: &mut Report) {
    for size in &filled.sizes {
        let (written, rebuilt) = (&size.history.written, &size.history.rebuilt);
        let case = "all read models of a scattered history";
        let figure = Figure::new("rebuild", case, TENURE).at_size(rebuilt.events).rate(rebuilt.per_second());
        report.add(figure.goal(Goal::PerSecond(40_000.0)));
        eprintln!("the history itself was written at {:.0} events/s", written.per_second());
    }
}

async fn in_turns(case: Case, connections: usize, sides: &[Side<'_>], plan: &Plan, report: &mut Report) {
    let mut rounds: BTreeMap<usize, Vec<Measured>> = BTreeMap::new();
    let all: Vec<usize> = (0..sides.len()).collect();
    for round in 0..plan.rounds {
        for at in order(&all, round) {
            let load = Load {
                address: sides[at].server.address.clone(),
                requests: sides[at].requests.of_case(case),
                again: true,
                connections,
                seconds: plan.seconds,
                per_second: None,
            };
            rounds.entry(at).or_default().push(load.run().await);
        }
    }
    for (at, rounds) in rounds {
        let name = format!("{}, {connections} in flight", case.name());
        let figure = Measured::median(&rounds).figure(PART, name, TENURE);
        report.add(figure.at_size(sides[at].size.memberships).goal(Goal::Flat(FLAT)));
    }
}
