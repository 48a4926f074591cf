//! Access checks over HTTP: Tenure, a PostgreSQL look-up per check, and a server that has no store.
//!
//! The read models are seeded (see [`seed`]). The three servers listen on loopback in this process, on one runtime of two
//! threads: Tenure whole, as `tenure serve` runs it; axum with `Json` in and out and nothing behind it; and the same with
//! one prepared look-up per check on a pool of 16. Half of the questions are about members. Then: how much memory a
//! membership takes, how long loading took, and how long a removal takes to count in another process.

mod freshness;
pub(crate) mod memory;
mod questions;
mod seed;
mod servers;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tenure::database::migrate;

use crate::load::Measured;
use crate::load::closed::Load;
use crate::load::request::Request;
use crate::plan::{Part, Plan, order};
use crate::postgres::Postgres;
use crate::report::{Figure, Goal, Report, TENURE};

const BARE: &str = "axum, JSON in and out, no store";
const LOOK_UP: &str = "axum, one PostgreSQL look-up per check";

/// How many there are of everything.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Size {
    memberships: u64,
    workspaces: u64,
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let postgres = Postgres::start();
    for &memberships in &plan.sizes.memberships {
        let size = Size { memberships, workspaces: (memberships / 10).max(1) };
        at_size(plan, &postgres, &size, report).await;
    }
    postgres.stop();
}

async fn at_size(plan: &Plan, postgres: &Postgres, size: &Size, report: &mut Report) {
    let database = postgres.database("bench").await;
    migrate(&database).await.expect("migrated");
    seed::fill(&database, size).await;
    let begun = Instant::now();
    let tenure = servers::tenure(&database).await;
    let loaded = begun.elapsed();
    let addresses = [servers::bare().await, servers::look_up(&database).await, tenure.address.clone()];
    let questions = questions::questions(size);
    for &connections in &plan.connections {
        compare(plan, &addresses, &questions, connections, size, report).await;
    }
    let figure = |case: &str| Figure::new(Part::Checks.name(), case, TENURE).at_size(size.memberships);
    let bytes = memory::run(size).await;
    report.add(figure("memory per membership").amount(bytes, "bytes").goal(Goal::AtMost(40.0)));
    report.add(figure("loading, to the first fresh answer").amount(loaded.as_secs_f64(), "s"));
    if Some(&size.memberships) == plan.sizes.memberships.last() {
        for figure in freshness::measure(&postgres.url("bench"), &tenure).await {
            report.add(figure.at_size(size.memberships));
        }
    }
    tenure.stop().await;
}

/// Everybody in turns, bare first.
async fn compare(
    plan: &Plan,
    addresses: &[String; 3],
    questions: &[Request],
    connections: usize,
    size: &Size,
    report: &mut Report,
) {
    let subjects = [BARE, LOOK_UP, TENURE];
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); subjects.len()];
    for round in 0..plan.rounds {
        for at in order(&[0, 1, 2], round) {
            let requests = if subjects[at] == BARE {
                questions.iter().map(|question| question.clone().answered("")).collect()
            } else {
                questions.to_vec()
            };
            let load = Load {
                address: addresses[at].clone(),
                requests,
                again: true,
                connections,
                seconds: plan.seconds,
                per_second: None,
            };
            measured[at].push(load.run().await);
        }
    }
    for (subject, rounds) in subjects.into_iter().zip(&measured) {
        let case = format!("access check, {connections} connections");
        let figure =
            Measured::median(rounds).figure(Part::Checks.name(), case, subject).at_size(size.memberships);
        report.add(if subject == TENURE && connections == 64 {
            figure
                .goal(Goal::TimesRateOf(BARE.to_owned(), 0.9))
                .goal(Goal::TimesRateOf(LOOK_UP.to_owned(), 3.5))
        } else {
            figure
        });
    }
}
