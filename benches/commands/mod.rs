//! Whole commands over HTTP: authenticated, authorized, audited, idempotent, with the read models running.
//!
//! Tenure runs as a process of its own, as `tenure serve` runs it, without rate limits. Beside it the same four commands
//! on stock cqrs-es, the plain way (see [`peer`]). A service with the operator key acts for signed-in users; every
//! request has an idempotency key of its own.

mod lag;
mod peer;
mod peer_aggregates;
mod tenure;

use sqlx::postgres::PgPoolOptions;

use crate::load::Measured;
use crate::load::closed::Load;
use crate::load::request::Request;
use crate::plan::{Part, Plan, order};
use crate::postgres::Postgres;
use crate::quiet::caught_up;
use crate::report::{Figure, Goal, Report, TENURE};
use peer::Peer;
use tenure::Tenure;

const STOCK: &str = "axum on stock cqrs-es";
/// Measured once on two such cores; not run again here.
const RECORDED: &str = "a TypeScript auth library (recorded)";
/// With so many connections, and so many more commands a second are wanted.
const RECORDED_CONNECTIONS: usize = 64;
const WANTED: f64 = 20.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Create,
    Invite,
    Accept,
    ChangeRole,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create workspace",
            Self::Invite => "invite",
            Self::Accept => "accept",
            Self::ChangeRole => "change role",
        }
    }

    fn recorded(self) -> Option<f64> {
        match self {
            Self::Create => Some(299.0),
            Self::Invite => Some(275.0),
            Self::Accept => Some(245.0),
            Self::ChangeRole => None,
        }
    }
}

/// The requests of a round, and whether they may be sent again.
struct Requests {
    requests: Vec<Request>,
    again: bool,
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let postgres = Postgres::as_served();
    let tenure = Tenure::start(&postgres, plan).await;
    let peer = Peer::start(&postgres).await;
    let mut full_load = None;
    for case in [Case::Create, Case::Invite, Case::Accept, Case::ChangeRole] {
        for &connections in &plan.connections {
            let measured = compare(plan, &tenure, &peer, case, connections).await;
            if case == Case::Create && connections <= RECORDED_CONNECTIONS {
                full_load = Some((measured[1].per_second, connections));
            }
            tell(case, connections, measured, report);
        }
    }
    if let Some((per_second, connections)) = full_load {
        lag::measure(plan, &tenure, per_second / 2.0, connections, report).await;
    }
    peer.stop();
    tenure.stop();
    postgres.stop();
}

/// Both in turns; the peer's median, then Tenure's.
async fn compare(plan: &Plan, tenure: &Tenure, peer: &Peer, case: Case, connections: usize) -> [Measured; 2] {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(tenure.database.clone());
    let mut measured = [Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for subject in order(&[0, 1], round) {
            let (address, requests) = if subject == 0 {
                (&peer.address, peer.requests(case, plan).await)
            } else {
                let requests = tenure.requests(case, plan).await;
                caught_up(&pool).await;
                (&tenure.server.address, requests)
            };
            measured[subject].push(load(plan, address, requests, connections).run().await);
        }
    }
    pool.close().await;
    measured.map(|rounds| Measured::median(&rounds))
}

fn load(plan: &Plan, address: &str, requests: Requests, connections: usize) -> Load {
    let Requests { requests, again } = requests;
    Load {
        address: address.to_owned(),
        requests,
        again,
        connections,
        seconds: plan.seconds,
        per_second: None,
    }
}

fn tell(case: Case, connections: usize, [peer, tenure]: [Measured; 2], report: &mut Report) {
    let (part, name) = (Part::Commands.name(), format!("{}, {connections} connections", case.name()));
    report.add(peer.figure(part, &name, STOCK));
    let mut figure = tenure.figure(part, &name, TENURE);
    if connections == RECORDED_CONNECTIONS {
        figure = figure.goal(Goal::P99Ms(30.0));
        if case == Case::Create {
            figure = figure.goal(Goal::PerSecond(6_000.0));
        }
        if let Some(recorded) = case.recorded() {
            report.add(Figure::new(part, &name, RECORDED).rate(recorded));
            figure = figure.goal(Goal::TimesRateOf(RECORDED.to_owned(), WANTED));
        }
    }
    report.add(figure);
}
