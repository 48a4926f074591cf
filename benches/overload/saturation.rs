//! Offered load from half of what the service can do to three times as much, equally from all workspaces.

use super::place::{Kind, Place};
use crate::load::open::{Load, Outcome, Stream};
use crate::plan::Plan;
use crate::report::{Figure, Goal, Report, TENURE};

const TIMES: [f64; 5] = [0.5, 1.0, 1.5, 2.0, 3.0];
const PART: &str = "overload";
/// The least that is done past saturation, as a share of the most that ever was.
const FLAT: f64 = 0.9;

pub async fn run(place: &Place, plan: &Plan, report: &mut Report) {
    let seconds = plan.seconds * 3.0;
    let capacity = place.capacity(Kind::Invite, seconds).await;
    report.add(Figure::new(PART, "invite, 64 who wait for their answers", TENURE).rate(capacity));
    let mut done = Vec::new();
    for (number, times) in TIMES.into_iter().enumerate() {
        let stream = Stream { requests: place.requests(Kind::Invite), per_second: capacity * times };
        let load =
            Load { address: place.address.clone(), streams: vec![stream], seconds, seed: number as u64 };
        place.settles().await;
        let (outcomes, depth) = tokio::join!(load.run(), deepest(place, seconds));
        let outcome = outcomes[0];
        told(report, times, &outcome, depth, place.memory());
        done.push((times, outcome.good.per_second));
    }
    let most = done.iter().map(|(_, done)| *done).fold(0.0, f64::max);
    let least = done.iter().filter(|(times, _)| *times > 1.0).map(|(_, done)| *done).fold(most, f64::min);
    let case = "invite, the peak over the least past saturation";
    report.add(Figure::new(PART, case, TENURE).amount(most / least, "times").goal(Goal::AtMost(1.0 / FLAT)));
}

fn told(report: &mut Report, times: f64, outcome: &Outcome, depth: f64, memory: f64) {
    let case = format!("invite, offered {times} of that");
    let done = outcome.good.figure(PART, case.clone(), TENURE);
    report.add(done);
    let amounts = [
        ("turned away", outcome.turned_away * 100.0, "%"),
        ("failed otherwise", outcome.failed * 100.0, "%"),
        ("p99 of being turned away", outcome.turned_away_p99_ms, "ms"),
        ("most requests in flight", depth, "requests"),
        ("memory", memory, "MiB"),
    ];
    for (what, amount, unit) in amounts {
        report.add(Figure::new(PART, format!("{case}: {what}"), TENURE).amount(amount, unit));
    }
}

/// The most requests that were seen in flight.
async fn deepest(place: &Place, seconds: f64) -> f64 {
    let mut deepest = 0.0_f64;
    for _ in 0..(seconds * 2.0).ceil() as u32 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        deepest = deepest.max(place.gauge("tenure_requests_in_flight ").await);
    }
    deepest
}
