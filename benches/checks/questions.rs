//! What is asked, and what the seed makes of the answer.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::Size;
use super::seed::{home, user, workspace};
use crate::load::request::Request;
use crate::server::OPERATOR_KEY;

/// How many different questions there are.
const QUESTIONS: u64 = 65_536;
const PERMISSIONS: [&str; 4] = ["workspace:read", "content:write", "members:invite", "content:read"];

/// Every second one is about somebody who is no member.
pub(super) fn questions(size: &Size) -> Vec<Request> {
    let mut random = SmallRng::seed_from_u64(42);
    let bearer = format!("Bearer {OPERATOR_KEY}");
    let one = |n: u64| {
        let member = random.random_range(0..size.memberships);
        let stranger = n % 2 == 1 && size.workspaces > 1;
        let place = (home(member, size) + u64::from(stranger)) % size.workspaces;
        let permission = PERMISSIONS[random.random_range(0..PERMISSIONS.len())];
        let body = json!({
            "subject": {"type": "user", "id": user(member)},
            "action": {"name": permission},
            "resource": {"type": "workspace", "id": workspace(place)},
        });
        let allowed = !stranger && role(member, size) >= needed(permission);
        Request::new("POST", "/access/v1/evaluation", &[("authorization", &bearer)], &body)
            .answered(if allowed { ":true}" } else { ":false}" })
    };
    (0..QUESTIONS).map(one).collect()
}

/// Owners first, then moderators, then members.
fn role(member: u64, size: &Size) -> u8 {
    if member < size.workspaces { 2 } else { u8::from(member.is_multiple_of(3)) }
}

fn needed(permission: &str) -> u8 {
    match permission {
        "members:invite" => 2,
        "content:write" => 1,
        _ => 0,
    }
}
