//! Ninety-nine workspaces go about their business, and one asks a hundred times its share.

use super::place::{Kind, Place, WORKSPACES};
use crate::load::Measured;
use crate::load::open::{Load, Outcome, Stream};
use crate::plan::Plan;
use crate::report::{Figure, Goal, Report, TENURE};

const PART: &str = "overload";
/// By how much the others' p99 may grow.
const MOVED: f64 = 2.0;

/// How much is asked, as shares of what the service can do.
struct Case {
    name: &'static str,
    /// Of all workspaces together, the noisy one among them.
    usual: f64,
    /// Of the noisy one, once it is noisy.
    noisy: f64,
}

/// A hundredth of the usual load is what one asks; a hundred times that once more is below what can be done.
const BELOW: Case = Case { name: "below saturation", usual: 0.25, noisy: 0.25 };
/// A hundred times the hundredth of what can be done: with the others half as much again as can be done.
const PAST: Case = Case { name: "past saturation", usual: 0.5, noisy: 1.0 };

pub async fn run(place: &Place, plan: &Plan, report: &mut Report) {
    for kind in [Kind::Invite, Kind::Members, Kind::Check] {
        let capacity = place.capacity(kind, plan.seconds).await;
        report.add(
            Figure::new(PART, format!("{}, 64 who wait for their answers", kind.name()), TENURE)
                .rate(capacity),
        );
        for case in [BELOW, PAST] {
            // Access checks are answered from memory before any bound: there is no share of them to give.
            if kind != Kind::Check || case.noisy < 1.0 {
                compare(place, plan, report, kind, capacity, &case).await;
            }
        }
    }
}

async fn compare(place: &Place, plan: &Plan, report: &mut Report, kind: Kind, capacity: f64, case: &Case) {
    let (mut before, mut during, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let seed = round as u64;
        before.push(asked(place, plan, kind, capacity * case.usual, 0.0, seed).await[0].good);
        let outcomes = asked(place, plan, kind, capacity * case.usual, capacity * case.noisy, seed).await;
        let [others, noisy]: [Outcome; 2] =
            outcomes.try_into().unwrap_or_else(|_| unreachable!("two streams"));
        during.push(others.good);
        noise.push(noisy);
        assert!(others.failed < 0.001, "{others:?}");
        report.add(
            Figure::new(PART, format!("{}, {}: others turned away", kind.name(), case.name), TENURE)
                .amount(others.turned_away * 100.0, "%"),
        );
    }
    let (before, during) = (Measured::median(&before), Measured::median(&during));
    let told = |who: &str| format!("{}, {}: {who}", kind.name(), case.name);
    report.add(before.figure(PART, told("others, alone"), TENURE));
    report.add(during.figure(PART, told("others, beside the noisy one"), TENURE));
    let noisy = Measured::median(&noise.iter().map(|outcome| outcome.good).collect::<Vec<_>>());
    report.add(noisy.figure(PART, told("the noisy one"), TENURE));
    let moved = during.p99_ms / before.p99_ms;
    report.add(
        Figure::new(PART, told("the others' p99, by how much it grew"), TENURE)
            .amount(moved, "times")
            .goal(Goal::AtMost(MOVED)),
    );
}

/// So many a second from the others together, and so many from the noisy one.
async fn asked(place: &Place, plan: &Plan, kind: Kind, others: f64, noisy: f64, seed: u64) -> Vec<Outcome> {
    let mut requests = place.requests(kind);
    let noisy_one = requests.split_off(WORKSPACES - 1);
    let streams =
        vec![Stream { requests, per_second: others }, Stream { requests: noisy_one, per_second: noisy }];
    let load = Load { address: place.address.clone(), streams, seconds: plan.seconds * 3.0, seed };
    place.settles().await;
    load.run().await
}
