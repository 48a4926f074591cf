//! More is asked than can be done: whether as much is done as before, and whether the others notice who asks for it.
//!
//! - [`place`]: a `tenure serve` of its own with a hundred workspaces
//! - [`saturation`]: from half of what it can do to three times as much
//! - [`fairness`]: one workspace at a hundred times its share beside the ninety-nine others

mod fairness;
mod place;
mod saturation;

use crate::plan::Plan;
use crate::report::Report;
use place::Place;

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let place = Place::start().await;
    saturation::run(&place, plan, report).await;
    fairness::run(&place, plan, report).await;
    place.stop().await;
}
