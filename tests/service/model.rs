//! Random histories of eight clients at once: the log explains every answer, and the read models are its fold
//! (attack 35, invariants 1 to 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure_aggregates::Role;
use tenure_aggregates::workspace::Kind;

use crate::support::invariants::read_models_are_the_fold;
use crate::support::{Answer, TestService, User, log, model};

/// Eight clients, three requests of each under way at a time.
const CLIENTS: usize = 24;
const USERS: usize = 6;
const COMMANDS: usize = 15;

/// What the clients have heard of, from all of which they draw.
#[derive(Default)]
struct Heard {
    workspaces: Vec<String>,
    invitations: Vec<(String, String)>,
    tokens: Vec<(usize, String)>,
    codes: Vec<String>,
}

struct Client<'a> {
    service: &'a TestService,
    heard: &'a Mutex<Heard>,
    random: StdRng,
}

/// Refusals that some order of the commands explains; everything else is a mistake of ours.
const EXPLAINED: &[&str] = &[
    "not_found",
    "permission_denied",
    "role_above_own",
    "owner_required",
    "owner_cannot_leave",
    "already_member",
    "not_an_active_member",
    "seats_exhausted",
    "code_exhausted",
    "workspace_suspended",
    "workspace_archived",
    "personal_workspace",
    "token_invalid",
    "invitation_not_pending",
    "inviter_not_permitted",
    "email_mismatch",
    "slug_taken",
    "conflict",
];

impl<'a> Client<'a> {
    /// Mostly one of the two newest, so that the clients get in each other's way.
    fn pick<T: Clone>(&mut self, of: impl Fn(&Heard) -> &Vec<T>) -> Option<T> {
        let heard = self.heard.lock().unwrap();
        let all = of(&heard);
        let from = if self.random.random_bool(0.7) { all.len().saturating_sub(2) } else { 0 };
        (!all.is_empty()).then(|| all[self.random.random_range(from..all.len())].clone())
    }

    fn anybody(&mut self) -> (usize, User<'a>) {
        let n = self.random.random_range(0..USERS);
        (n, self.service.user(&format!("user-{n}")))
    }

    /// Mostly a user; now and then the operator's service itself.
    fn actor(&mut self) -> User<'a> {
        if self.random.random_bool(0.25) { self.service.operator() } else { self.anybody().1 }
    }

    async fn send(&mut self) -> Answer {
        let Some(workspace) = self.pick(|heard| &heard.workspaces) else { return self.create().await };
        let base = format!("/v1/workspaces/{workspace}");
        let (n, somebody) = self.anybody();
        let member = format!("{base}/members/user-{n}");
        let role = ["member", "moderator", "admin", "owner"][self.random.random_range(0..4)];
        let (actor, what) = (self.actor(), self.random.random_range(0..100));
        match what {
            0..2 => self.create().await,
            2..22 => actor.put(&member, json!({"role": role})).await,
            22..32 => actor.patch(&member, json!({"role": role})).await,
            32..38 => actor.delete(&member).await,
            38..42 => somebody.delete(&member).await,
            42..45 => actor.post(&format!("{member}/deactivate"), json!({})).await,
            45..48 => actor.post(&format!("{member}/reactivate"), json!({})).await,
            48..55 => {
                actor.post(&format!("{base}/transfer-ownership"), json!({"to": format!("user-{n}")})).await
            }
            55..58 => self.service.operator().post(&format!("{base}/suspend"), json!({})).await,
            58..63 => self.service.operator().post(&format!("{base}/resume"), json!({})).await,
            63..65 => actor.post(&format!("{base}/archive"), json!({})).await,
            65..69 => actor.post(&format!("{base}/restore"), json!({})).await,
            69..70 => actor.delete(&base).await,
            70..74 => {
                let limit = self.random.random_range(1..8);
                self.service.operator().patch(&base, json!({"seats": {"limit": limit}})).await
            }
            74..82 => self.invite(&actor, &workspace, n, role).await,
            82..84 => self.answer_invitation(&actor).await,
            84..90 => self.redeem().await,
            90..94 => {
                let uses = self.random.random_range(1..4);
                let body = json!({"role": "member", "max_uses": uses});
                let issued = actor.put(&format!("{base}/invite-code"), body).await;
                if let Some(code) = issued.body["code"].as_str().filter(|_| issued.status.is_success()) {
                    self.heard.lock().unwrap().codes.push(code.to_owned());
                }
                issued
            }
            94..99 => match self.pick(|heard| &heard.codes) {
                Some(code) => somebody.post("/v1/join", json!({"code": code})).await,
                None => self.create().await,
            },
            _ => actor.delete(&format!("{base}/invite-code")).await,
        }
    }

    async fn create(&mut self) -> Answer {
        let (_, user) = self.anybody();
        let slug = self.random.random_bool(0.3).then(|| format!("slug-{}", self.random.random_range(0..3)));
        let answer = user.post("/v1/workspaces", json!({"name": "Any", "slug": slug})).await;
        if answer.status.is_success() {
            self.heard.lock().unwrap().workspaces.push(answer.text("id"));
        }
        answer
    }

    async fn invite(&mut self, actor: &User<'_>, workspace: &str, n: usize, role: &str) -> Answer {
        let body = json!({"email": format!("user-{n}@example.com"), "role": role, "notify": false});
        let answer = actor.post(&format!("/v1/workspaces/{workspace}/invitations"), body).await;
        if answer.status.is_success() {
            let mut heard = self.heard.lock().unwrap();
            heard.invitations.push((workspace.to_owned(), answer.text("id")));
            heard.tokens.push((n, answer.text("token")));
        }
        answer
    }

    async fn answer_invitation(&mut self, actor: &User<'_>) -> Answer {
        let Some((workspace, id)) = self.pick(|heard| &heard.invitations) else { return self.create().await };
        let action = if self.random.random_bool(0.5) { "revoke" } else { "resend" };
        actor.post(&format!("/v1/workspaces/{workspace}/invitations/{id}/{action}"), json!({})).await
    }

    async fn redeem(&mut self) -> Answer {
        let Some((n, token)) = self.pick(|heard| &heard.tokens) else { return self.create().await };
        let action = if self.random.random_bool(0.85) { "accept" } else { "decline" };
        let user = self.service.user(&format!("user-{n}"));
        user.post(&format!("/v1/invitations/{action}"), json!({"token": token})).await
    }
}

/// All clients at once, each with its own commands.
async fn history(service: &TestService, seed: u64) -> Vec<Answer> {
    for n in 0..USERS {
        service.provision(&format!("user-{n}")).await;
    }
    let heard = Mutex::new(Heard::default());
    for n in 0..3 {
        let id = service.user(&format!("user-{n}")).creates("First").await;
        heard.lock().unwrap().workspaces.push(id);
    }
    let clients = (0..CLIENTS).map(|n| Client {
        service,
        heard: &heard,
        random: StdRng::seed_from_u64(seed * 1000 + n as u64),
    });
    let answers = join_all(clients.map(async |mut client| {
        let mut answers = Vec::with_capacity(COMMANDS);
        for _ in 0..COMMANDS {
            answers.push(client.send().await);
        }
        answers
    }));
    answers.await.into_iter().flatten().collect()
}

/// Every acknowledged command stands in the log where its answer says; every refused one is not there at all.
async fn answers_are_explained(service: &TestService, answers: &[Answer]) {
    let events = log::events(service).await;
    let mut requests: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for event in &events {
        if let Some(request) = &event.metadata.request_id {
            requests.entry(request).or_default().push(event.position);
        }
    }
    let mut codes = BTreeSet::new();
    let mut done = 0;
    for answer in answers {
        let positions = requests.get(answer.header("x-request-id").unwrap());
        if answer.status.is_success() {
            done += 1;
            let told = log::position(answer);
            assert!(told <= i64::try_from(events.len()).unwrap(), "{answer:?}");
            if let Some(positions) = positions {
                assert_eq!(positions.last(), Some(&told), "{answer:?}");
                let whole: Vec<i64> = (positions[0]..=told).collect();
                assert_eq!(*positions, whole, "torn apart: {answer:?}");
            }
        } else {
            let code = answer.body["code"].as_str().unwrap_or("none");
            assert!(EXPLAINED.contains(&code), "{answer:?}");
            assert_eq!(positions, None, "refused, and yet there: {answer:?}");
            codes.insert(code.to_owned());
        }
    }
    assert!(done * 6 > answers.len(), "only {done} of {} commands happened", answers.len());
    assert!(codes.len() > 6, "too tame: {codes:?}");
}

/// What the service shows is what the model folds out of the log.
async fn read_models_equal(service: &TestService, model: &model::Model) {
    let operator = service.operator();
    let head = log::head(service).await;
    let get = async |path: &str| {
        let request = operator.request(Method::GET, path).header("Tenure-Position", head);
        Answer::of(request).await
    };
    let mut switchers: BTreeMap<&str, BTreeMap<String, (String, String)>> = BTreeMap::new();
    for (id, space) in &model.spaces {
        let path = format!("/v1/workspaces/{id}");
        let shown = get(&path).await;
        if space.deleted {
            shown.refused(404, "not_found");
            get(&format!("{path}/members")).await.refused(404, "not_found");
            continue;
        }
        let shown = shown.expect(StatusCode::OK).body;
        assert_eq!(shown["owner_id"], space.owner);
        assert_eq!(shown["status"], space.status());
        assert_eq!(shown["seats"], json!({"used": space.seats(), "limit": space.limit}));
        assert_eq!(shown["kind"], if space.kind == Kind::Team { "team" } else { "personal" });
        let list = get(&format!("{path}/members?limit=500")).await.expect(StatusCode::OK).body;
        let shown: BTreeMap<&str, (&str, &str, bool)> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| {
                let text = |field: &str| member[field].as_str().unwrap();
                (text("user_id"), (text("role"), text("status"), member["is_owner"] == Value::Bool(true)))
            })
            .collect();
        let folded = space.members.iter().map(|(user, member)| {
            let status = if member.active { "active" } else { "deactivated" };
            (user.as_str(), (member.role.as_str(), status, member.role == Role::Owner))
        });
        assert_eq!(shown, folded.collect(), "{id}");
        for (user, member) in &space.members {
            let row = (member.role.as_str().to_owned(), space.status().to_owned());
            switchers.entry(user).or_default().insert(id.to_string(), row);
        }
        let list = get(&format!("{path}/invitations?limit=500")).await.expect(StatusCode::OK).body;
        let shown: BTreeMap<String, String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["id"].as_str().unwrap().into(), item["status"].as_str().unwrap().into()))
            .collect();
        let invited = model.invitations.iter().filter(|(_, invited)| invited.workspace == *id);
        assert_eq!(shown, invited.map(|(id, invited)| (id.clone(), invited.status.to_owned())).collect());
    }
    for (user, expected) in switchers {
        let list = get(&format!("/v1/users/{user}/workspaces")).await.expect(StatusCode::OK).body;
        let items = list["items"].as_array().unwrap();
        assert_eq!(items[0]["kind"], "personal", "the personal one first");
        let shown: BTreeMap<String, (String, String)> = items
            .iter()
            .map(|item| {
                let text = |field: &str| item[field].as_str().unwrap().to_owned();
                (text("workspace_id"), (text("role"), text("status")))
            })
            .collect();
        assert_eq!(shown, expected, "the switcher of {user}");
    }
}

async fn a_history(seed: u64) {
    let service = TestService::start().await;
    let answers = history(&service, seed).await;
    let model = model::replay(&service).await;
    answers_are_explained(&service, &answers).await;
    read_models_equal(&service, &model).await;
    let admin = service.admin().await;
    read_models_are_the_fold(&admin, &service.app().vault).await;
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn some_order_explains_every_answer_1() {
    a_history(1).await;
}

#[tokio::test]
async fn some_order_explains_every_answer_2() {
    a_history(2).await;
}

#[tokio::test]
async fn some_order_explains_every_answer_3() {
    a_history(3).await;
}
