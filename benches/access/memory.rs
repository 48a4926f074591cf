//! What a membership takes in memory: a process of its own fills an index and looks how much it has grown.

use tenure::access::Index;
use tenure_aggregates::membership::Terms;
use tenure_aggregates::workspace::{Kind, Profile, WorkspaceEvent};
use tenure_aggregates::{Membership, MembershipId, Role, UserId, Workspace, WorkspaceId};

use crate::Plan;
use crate::seed::{home, user, workspace};

pub async fn run(plan: &Plan) -> String {
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--memory", "--memberships", &plan.memberships.to_string()]);
    child.args(["--workspaces", &plan.workspaces.to_string()]);
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .expect("waited")
        .expect("the other process");
    assert!(output.status.success(), "the other process: {}", output.status);
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// That other process: as the loader fills an index.
pub fn child(plan: &Plan) {
    let index = Index::default();
    // What a first entry costs, it costs once.
    fill(&index, plan, 1, 1);
    let before = resident();
    fill(&index, plan, plan.workspaces, plan.memberships);
    let grown = resident() - before;
    assert_eq!(index.memberships() as u64, plan.memberships);
    println!("{:.1}", grown as f64 / plan.memberships as f64);
}

fn fill(index: &Index, plan: &Plan, workspaces: u64, memberships: u64) {
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
        let workspace = id(home(number, plan));
        let role = if number < plan.workspaces { Role::Owner } else { Role::Member };
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
