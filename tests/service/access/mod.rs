//! Access over HTTP: what is decided, how fresh, for whom, and that nothing is allowed where nothing is known.

mod certification;
mod decisions;
mod fast;
mod freshness;
mod past;
mod questions;
mod searches;
mod who_may_ask;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, TestService, User};

pub const EVALUATION: &str = "/access/v1/evaluation";
pub const EVALUATIONS: &str = "/access/v1/evaluations";

/// One question, as AuthZEN spells it.
pub fn question(user: &str, permission: &str, workspace: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user},
        "action": {"name": permission},
        "resource": {"type": "workspace", "id": workspace},
    })
}

impl User<'_> {
    /// Asks, and gives the decision; anything but a decision fails.
    pub async fn asks(&self, user: &str, permission: &str, workspace: &str) -> bool {
        self.is_told(question(user, permission, workspace)).await
    }

    pub async fn is_told(&self, question: Value) -> bool {
        let answer = self.post(EVALUATION, question).await.expect(StatusCode::OK);
        answer.body["decision"].as_bool().unwrap()
    }

    /// Asks why, and gives the whole answer.
    pub async fn asks_why(&self, user: &str, permission: &str, workspace: &str) -> Value {
        let path = format!("{EVALUATION}?explain");
        self.post(&path, question(user, permission, workspace)).await.expect(StatusCode::OK).body
    }

    /// The decision and its reason.
    pub async fn reason(&self, user: &str, permission: &str, workspace: &str) -> (bool, String) {
        let answer = self.asks_why(user, permission, workspace).await;
        let code = answer["context"]["reason"]["code"].as_str().unwrap().to_owned();
        (answer["decision"].as_bool().unwrap(), code)
    }

    /// What a search finds: ids of subjects and resources, names of actions; all pages.
    pub async fn finds(&self, what: &str, search: Value) -> Vec<String> {
        let (mut all, mut search) = (Vec::new(), search);
        loop {
            let answer = self.post(&format!("/access/v1/search/{what}"), search.clone()).await;
            let answer = answer.expect(StatusCode::OK);
            for result in answer.body["results"].as_array().unwrap() {
                let name = result.get("id").or_else(|| result.get("name")).unwrap();
                all.push(name.as_str().unwrap().to_owned());
            }
            let token = answer.body["page"]["next_token"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return all;
            }
            search["page"] = json!({"token": token});
        }
    }
}

impl TestService {
    /// Until the index has been loaded and is fresh: from then on it answers.
    pub async fn index_answers(&self) {
        while !self.app().access.is_fresh() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Until the index has everything the log has.
    pub async fn index_catches_up(&self) {
        let head = self.head().await;
        while self.app().access.position().is_none_or(|position| position < head) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Registers a product's permission.
    pub async fn register(&self, permission: &str, granted_to: &[&str]) {
        let body = json!({"granted_to": granted_to});
        let answer = self.operator().put(&format!("/v1/permissions/{permission}"), body).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
    }

    /// A body as it is, with the operator's key.
    pub async fn raw(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.request(Method::POST, path, None);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body)).await
    }
}
