//! What is asked: every request is of the operator's service for somebody who may see what they ask for.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tenure_aggregates::UserId;

use crate::history::{Shape, large, members_of, switcher, user, workspace};
use crate::load::request::Request;
use crate::server::{OPERATOR_KEY, Server};

/// How many different requests a case has at most.
const REQUESTS: usize = 2_048;
/// How many pages of the largest workspace's lists are known by their cursors.
const CURSORS: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    Members,
    Member,
    Invitations,
    Audit,
    Switcher,
    LargeMembers,
    LargeMembersDeep,
    LargeInvitations,
    LargePending,
    LargeAudit,
    LargeAuditDeep,
    LargeAuditOfActor,
    LargeAuditOfAction,
    LargeAuditOfTime,
    SwitcherOfMany,
}

impl Case {
    pub const ALL: [Self; 15] = [
        Self::Members,
        Self::Member,
        Self::Invitations,
        Self::Audit,
        Self::Switcher,
        Self::LargeMembers,
        Self::LargeMembersDeep,
        Self::LargeInvitations,
        Self::LargePending,
        Self::LargeAudit,
        Self::LargeAuditDeep,
        Self::LargeAuditOfActor,
        Self::LargeAuditOfAction,
        Self::LargeAuditOfTime,
        Self::SwitcherOfMany,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Members => "a page of members, any workspace",
            Self::Member => "one member, any workspace",
            Self::Invitations => "a page of invitations, any workspace",
            Self::Audit => "a page of the audit log, any workspace",
            Self::Switcher => "the switcher, any user",
            Self::LargeMembers => "a page of members, the largest workspace",
            Self::LargeMembersDeep => "a page of members by cursor, the largest workspace",
            Self::LargeInvitations => "a page of invitations, the largest workspace",
            Self::LargePending => "the open invitations, the largest workspace",
            Self::LargeAudit => "a page of the audit log, the largest workspace",
            Self::LargeAuditDeep => "a page of the audit log by cursor, the largest workspace",
            Self::LargeAuditOfActor => "a page of the audit log of one actor, the largest workspace",
            Self::LargeAuditOfAction => "a page of the audit log of one action, the largest workspace",
            Self::LargeAuditOfTime => "a page of the audit log of long ago, the largest workspace",
            Self::SwitcherOfMany => "the switcher of 500 workspaces",
        }
    }
}

/// The requests of every case, for a history of one size.
pub struct Requests(BTreeMap<Case, Vec<Request>>);

impl Requests {
    pub async fn of(server: &Server, shape: &Shape) -> Self {
        let mut random = SmallRng::seed_from_u64(11);
        let mut requests = Self(BTreeMap::new());
        for _ in 0..REQUESTS {
            let team = random.random_range(1..shape.workspaces);
            let members: Vec<u64> = members_of(shape, team).collect();
            let (owner, member) = (user(members[0]), user(members[random.random_range(1..members.len())]));
            let path = format!("/v1/workspaces/{}", workspace(team));
            requests.put(Case::Members, &format!("{path}/members"), &owner);
            requests.put(Case::Member, &format!("{path}/members/{member}"), &owner);
            requests.put(Case::Invitations, &format!("{path}/invitations"), &owner);
            requests.put(Case::Audit, &format!("{path}/audit-log"), &owner);
            requests.put(Case::Switcher, &format!("/v1/users/{member}/workspaces"), &member);
        }
        requests.large(server, shape, &mut random).await;
        let many = switcher();
        requests.put(Case::SwitcherOfMany, &format!("/v1/users/{many}/workspaces"), &many);
        requests
    }

    /// Of the largest workspace; its owner is the first user.
    async fn large(&mut self, server: &Server, shape: &Shape, random: &mut SmallRng) {
        let (path, owner) = (format!("/v1/workspaces/{}", large()), user(0));
        self.put(Case::LargeMembers, &format!("{path}/members"), &owner);
        self.put(Case::LargeInvitations, &format!("{path}/invitations"), &owner);
        self.put(Case::LargePending, &format!("{path}/invitations?status=pending"), &owner);
        self.put(Case::LargeAudit, &format!("{path}/audit-log"), &owner);
        for (case, list) in [(Case::LargeMembersDeep, "members"), (Case::LargeAuditDeep, "audit-log")] {
            for cursor in cursors(server, &format!("{path}/{list}"), &owner).await {
                self.put(case, &format!("{path}/{list}?cursor={cursor}"), &owner);
            }
        }
        for _ in 0..64 {
            let actor = user(random.random_range(1..shape.large / 2));
            self.put(Case::LargeAuditOfActor, &format!("{path}/audit-log?actor={actor}"), &owner);
        }
        for action in ["membership.deactivated", "membership.role_changed", "invitation.accepted"] {
            self.put(Case::LargeAuditOfAction, &format!("{path}/audit-log?action={action}"), &owner);
        }
        for days in [40, 80, 120, 160] {
            let to = (tenure::clock::now() - chrono::TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ");
            self.put(Case::LargeAuditOfTime, &format!("{path}/audit-log?to={to}"), &owner);
        }
    }

    fn put(&mut self, case: Case, path: &str, actor: &UserId) {
        let key = format!("Bearer {OPERATOR_KEY}");
        let headers = [("authorization", key.as_str()), ("tenure-actor", actor.as_str())];
        self.0.entry(case).or_default().push(Request::get(path, &headers));
    }

    pub fn of_case(&self, case: Case) -> Vec<Request> {
        self.0[&case].clone()
    }
}

/// Where the pages of a list begin, far into it.
async fn cursors(server: &Server, path: &str, actor: &UserId) -> Vec<String> {
    let (mut cursors, mut query) = (Vec::new(), "?limit=100".to_owned());
    while cursors.len() < CURSORS {
        let request = server.request(Method::GET, &format!("{path}{query}"), Some(actor.as_str()));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}{query}");
        let page: Value = answer.json().await.expect("a page");
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=100&cursor={cursor}");
        cursors.push(cursor.to_owned());
    }
    assert!(!cursors.is_empty(), "{path} has one page only");
    cursors
}
