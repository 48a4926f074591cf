//! What is decided: every role, every permission, every state; and at the instant at which it changes.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tenure::access::Question;
use tenure_aggregates::{Permission, WorkspaceId};

use super::question;
use crate::support::{Acme, TestService};

/// The table of the contract, as the contract has it.
fn granted(role: &str, permission: &str) -> bool {
    let member = "workspace:read members:read projects:read content:read content:participate records:read";
    let moderator = format!("{member} content:write content:moderate records:write");
    let names = |list: &str| list.split(' ').any(|name| name == permission);
    match role {
        "owner" => true,
        "admin" => !names("workspace:delete workspace:transfer"),
        "moderator" => names(&moderator),
        "member" => names(member),
        "editor" => names("content:write records:write workspace:read workspace:delete billing:manage"),
        _ => false,
    }
}

fn usable(status: &str, permission: &str) -> bool {
    let reads = permission.ends_with(":read");
    match status {
        "suspended" => reads || permission == "billing:manage",
        "archived" => reads || permission == "workspace:delete",
        _ => true,
    }
}

/// Tenure's own permissions and a product's.
fn permissions() -> Vec<String> {
    let own = Permission::catalogue().map(|permission| permission.to_string());
    own.chain(["records:read", "records:write", "records:purge"].map(str::to_owned)).collect()
}

struct Everybody {
    service: TestService,
    id: String,
}

impl Everybody {
    /// A workspace with somebody of every role, named after it, and `nobody` who has nothing to do with it.
    async fn gathered() -> Self {
        let service = TestService::start().await;
        service.index_answers().await;
        service.register("records:read", &["member", "moderator"]).await;
        service.register("records:write", &["moderator"]).await;
        service.register("records:purge", &[]).await;
        let owner = service.provision("owner").await;
        service.provision("nobody").await;
        let id = owner.creates("Acme").await;
        let editor = json!({"permissions":
            ["content:write", "records:write", "workspace:read", "workspace:delete", "billing:manage"]});
        let role = format!("/v1/workspaces/{id}/roles/editor");
        owner.put(&role, editor).await.expect(StatusCode::CREATED);
        for role in ["admin", "moderator", "member", "editor"] {
            let user = service.provision(role).await;
            owner.brings(&id, &user, role).await;
        }
        drop(owner);
        Self { service, id }
    }

    async fn holds_in(&self, status: &str) {
        let now = tenure::clock::now();
        let workspace = WorkspaceId(self.id.parse().unwrap());
        for role in ["owner", "admin", "moderator", "member", "editor", "nobody"] {
            for permission in permissions() {
                let expected = granted(role, &permission) && usable(status, &permission);
                let asked = self.service.operator().asks(role, &permission, &self.id).await;
                assert_eq!(asked, expected, "{role} {permission} {status}");
                // From memory, where most answers come from.
                let question = Question { workspace, user: role, permission: &permission };
                let remembered = self.service.app().access.index.decide(&question, now).unwrap();
                assert_eq!(remembered.allows(), expected, "{role} {permission} {status} in memory");
            }
        }
    }
}

#[tokio::test]
async fn every_role_may_what_the_table_says_in_every_state() {
    let all = Everybody::gathered().await;
    let (operator, owner) = (all.service.operator(), all.service.user("owner"));
    let at = |rest: &str| format!("/v1/workspaces/{}{rest}", all.id);
    all.holds_in("active").await;
    operator.post(&at("/suspend"), json!({})).await.expect(StatusCode::OK);
    all.holds_in("suspended").await;
    operator.post(&at("/resume"), json!({})).await.expect(StatusCode::OK);
    owner.post(&at("/archive"), json!({})).await.expect(StatusCode::OK);
    all.holds_in("archived").await;
    owner.post(&at("/restore"), json!({})).await.expect(StatusCode::OK);
    all.holds_in("active").await;
    drop((operator, owner));
    all.service.stop().await;
}

#[tokio::test]
async fn each_refusal_says_which_rule_it_was() {
    let all = Everybody::gathered().await;
    let (operator, owner) = (all.service.operator(), all.service.user("owner"));
    let at = |rest: &str| format!("/v1/workspaces/{}{rest}", all.id);
    let told = async |user: &str, permission: &str| operator.reason(user, permission, &all.id).await.1;
    assert_eq!(told("member", "workspace:read").await, "role_allows");
    assert_eq!(told("member", "members:invite").await, "permission_not_held");
    assert_eq!(told("owner", "records:fly").await, "permission_unknown");
    assert_eq!(told("owner", "no permission at all").await, "permission_unknown");
    assert_eq!(told("nobody", "workspace:read").await, "not_a_member");
    let elsewhere = uuid::Uuid::from_u128(7).to_string();
    assert_eq!(operator.reason("owner", "workspace:read", &elsewhere).await.1, "workspace_not_found");
    owner.post(&at("/members/member/deactivate"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(told("member", "workspace:read").await, "membership_deactivated");
    operator.post(&at("/suspend"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(told("admin", "members:invite").await, "workspace_suspended");
    operator.post(&at("/resume"), json!({})).await.expect(StatusCode::OK);
    owner.post(&at("/archive"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(told("admin", "members:invite").await, "workspace_archived");
    drop((operator, owner));
    all.service.stop().await;
}

#[tokio::test]
async fn what_changes_counts_at_once() {
    let all = Everybody::gathered().await;
    let (operator, owner) = (all.service.operator(), all.service.user("owner"));
    let at = |rest: &str| format!("/v1/workspaces/{}{rest}", all.id);
    let may = async |user: &str, permission: &str| operator.asks(user, permission, &all.id).await;

    owner.post(&at("/members/member/deactivate"), json!({})).await.expect(StatusCode::OK);
    assert!(!may("member", "workspace:read").await);
    owner.post(&at("/members/member/reactivate"), json!({})).await.expect(StatusCode::OK);
    assert!(may("member", "workspace:read").await);

    owner.patch(&at("/members/member"), json!({"role": "editor"})).await.expect(StatusCode::OK);
    assert!(may("member", "records:write").await && !may("member", "content:participate").await);
    let narrower = json!({"permissions": ["content:participate"]});
    owner.put(&at("/roles/editor"), narrower).await.expect(StatusCode::OK);
    assert!(!may("member", "records:write").await && may("member", "content:participate").await);
    let removed = owner.delete(&at("/roles/editor?replacement=moderator")).await;
    assert!(removed.status.is_success(), "{:#}", removed.body);
    assert!(may("member", "content:moderate").await);

    operator.delete("/v1/permissions/records:write").await.expect(StatusCode::NO_CONTENT);
    for user in ["owner", "admin", "moderator"] {
        assert!(!may(user, "records:write").await, "{user}");
    }
    all.service.register("records:write", &[]).await;
    assert!(may("owner", "records:write").await && !may("moderator", "records:write").await);

    owner.post(&at("/transfer-ownership"), json!({"to": "moderator"})).await.expect(StatusCode::OK);
    assert!(!may("owner", "workspace:delete").await && may("owner", "members:invite").await);
    assert!(may("moderator", "workspace:delete").await);

    all.service.user("moderator").delete(&at("/members/owner")).await.expect(StatusCode::NO_CONTENT);
    assert!(!may("owner", "workspace:read").await);
    all.service.user("moderator").delete(&at("")).await.expect(StatusCode::NO_CONTENT);
    assert!(!may("moderator", "workspace:read").await);
    drop((operator, owner));
    all.service.stop().await;
}

#[tokio::test]
async fn a_membership_is_worth_something_until_its_end_and_not_at_it() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let end = (tenure::clock::now() + TimeDelta::hours(2)).trunc_subsecs(3);
    acme.ada().patch(&acme.at("/members/carol"), json!({"expires_at": end})).await.expect(StatusCode::OK);
    let workspace = WorkspaceId(acme.id.parse().unwrap());
    let question = Question { workspace, user: "carol", permission: "workspace:read" };
    let access = &acme.service.app().access;
    let just_before = end - TimeDelta::microseconds(1);
    assert_eq!(access.index.decide(&question, just_before).unwrap().as_str(), "role_allows");
    assert_eq!(access.index.decide(&question, end).unwrap().as_str(), "membership_expired");
    let log = tenure::access::log::Log::new(acme.service.app().store.loader().clone());
    assert_eq!(log.decide(&question, just_before).await.unwrap().as_str(), "role_allows");
    assert_eq!(log.decide(&question, end).await.unwrap().as_str(), "membership_expired");
    acme.ada().patch(&acme.at("/members/carol"), json!({"expires_at": null})).await.expect(StatusCode::OK);
    assert_eq!(access.index.decide(&question, end).unwrap().as_str(), "role_allows");
    acme.stop().await;
}

#[tokio::test]
async fn why_is_told_with_the_event_that_made_it_so() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let operator = acme.service.operator();
    let changed = acme.ada().patch(&acme.at("/members/carol"), json!({"role": "moderator"})).await;
    let position = changed.expect(StatusCode::OK).header("tenure-position").unwrap().to_owned();
    // What makes no difference to the role is not what is told.
    acme.ada().patch(&acme.at(""), json!({"name": "Renamed"})).await.expect(StatusCode::OK);
    let why = operator.asks_why("carol", "content:write", &acme.id).await;
    assert_eq!(why["decision"], true);
    let reason = &why["context"]["reason"];
    assert_eq!(reason["code"], "role_allows");
    assert_eq!(reason["role"], "moderator");
    assert_eq!(reason["status"], "active");
    assert_eq!(reason["workspace_status"], "active");
    assert_eq!(reason["since"]["position"].to_string(), position);
    assert_eq!(reason["since"]["event"], "MembershipRoleChanged");
    assert!(reason["since"]["time"].as_str().unwrap().parse::<DateTime<Utc>>().is_ok());
    assert_eq!(reason["by"], json!({"type": "user", "id": "ada", "via": "operator"}));
    assert!(reason["command"].as_str().is_some_and(|command| !command.is_empty()));
    assert!(reason["request_id"].is_string());

    // The same in the body, and for one of many.
    let mut asked = question("carol", "content:write", &acme.id);
    asked["context"] = json!({"explain": true});
    let answer = operator.post(super::EVALUATION, asked.clone()).await.expect(StatusCode::OK);
    assert_eq!(answer.body, why);
    let plain = question("ada", "content:write", &acme.id);
    let batch = json!({"evaluations": [asked, plain]});
    let answer = operator.post(super::EVALUATIONS, batch).await.expect(StatusCode::OK);
    assert_eq!(answer.body["evaluations"][0], why);
    assert_eq!(answer.body["evaluations"][1], json!({"decision": true}));

    acme.ada().delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    let why = operator.asks_why("carol", "content:write", &acme.id).await;
    let reason = &why["context"]["reason"];
    assert_eq!(
        (&reason["code"], &reason["since"]["event"]),
        (&json!("not_a_member"), &json!("MembershipEnded"))
    );
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn without_being_asked_why_an_answer_is_the_decision_alone() {
    let acme = Acme::found().await;
    for (user, expected) in BTreeMap::from([("ada", true), ("dave", false)]) {
        for explain in ["", "?explain=false"] {
            let asked = question(user, "workspace:read", &acme.id);
            let answer =
                acme.service.operator().post(&format!("{}{explain}", super::EVALUATION), asked).await;
            assert_eq!(answer.expect(StatusCode::OK).body, json!({"decision": expected}) as Value);
        }
    }
    acme.stop().await;
}
