//! What a membership takes in memory: a process of its own fills an index and looks how much it has grown.

use tenure::access::Index;
use tenure_aggregates::membership::Terms;
use tenure_aggregates::workspace::{Kind, Profile, WorkspaceEvent};
use tenure_aggregates::{Membership, MembershipId, Role, UserId, Workspace, WorkspaceId};

use super::Size;
use super::seed::{home, user, workspace};
use crate::child;

/// Bytes per membership.
pub(super) async fn run(size: &Size) -> f64 {
    child::run("memory", size).await
}

/// That other process: as the loader fills an index.
pub(crate) fn work(size: Size) -> f64 {
    let index = Index::default();
    // What a first entry costs, it costs once.
    fill(&index, &size, 1, 1);
    let before = resident();
    fill(&index, &size, size.workspaces, size.memberships);
    let grown = resident() - before;
    assert_eq!(index.memberships() as u64, size.memberships);
    grown as f64 / size.memberships as f64
}

fn fill(index: &Index, size: &Size, workspaces: u64, memberships: u64) {
    let now = tenure::clock::now();
    for number in 0..workspaces {
        let created = WorkspaceEvent::WorkspaceCreated {
            kind: Kind::Team,
            owner_id: UserId::parse(&user(number)).expect("an id"),
            profile: Profile::default(),
            seats_limit: 1_000,
            created_at: now,
        };
        index.put_workspace(id(number), 1, &Workspace::default().evolve(created));
    }
    for number in 0..memberships {
        let user_id = UserId::parse(&user(number)).expect("an id");
        let workspace = id(home(number, size));
        let role = if number < size.workspaces { Role::Owner } else { Role::Member };
        let terms = Terms { user_id: user_id.clone(), role, joined_at: now, expires_at: None };
        index.put_membership(MembershipId::of(workspace, &user_id), 1, &Membership::Active(terms));
    }
}

fn id(number: u64) -> WorkspaceId {
    WorkspaceId(workspace(number).parse().expect("an id"))
}

/// Bytes of memory in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}
