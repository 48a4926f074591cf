//! Webhooks from end to end: signed, carried to a real receiver, tried again, given up on, and never to where they must
//! not go.

mod addresses;
mod arriving;
mod fairness;
mod forgetting;
mod giving_up;
mod killing;
mod receiver;
mod retrying;
mod signatures;
mod unreadable;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tenure::config::Settings;

use crate::support::{Acme, User};

/// Receivers on this machine may be reached, and nobody waits for long.
fn at_home(settings: &mut Settings) {
    settings.webhook_allow_networks = Some("127.0.0.0/8".to_owned());
    let times = &mut settings.delivery_times;
    times.webhook_schedule = vec![Duration::ZERO; 6];
    times.webhook_schedule[1..].fill(Duration::from_millis(30));
    times.patience = Duration::from_secs(10);
    times.pace = Duration::from_millis(100);
}

/// An endpoint of Acme's.
struct Endpoint<'a> {
    acme: &'a Acme,
    id: String,
    secret: String,
}

impl<'a> Endpoint<'a> {
    async fn create(acme: &'a Acme, url: &str, events: &[&str]) -> Self {
        let body = json!({"url": url, "events": events});
        let made = acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED);
        Self { acme, id: made.text("id"), secret: made.text("secret") }
    }

    fn at(&self, rest: &str) -> String {
        self.acme.at(&format!("/webhooks/{}{rest}", self.id))
    }

    fn ada(&self) -> User<'a> {
        self.acme.ada()
    }

    async fn shown(&self) -> Value {
        self.ada().sees(&self.at("")).await.body
    }

    async fn deliveries(&self) -> Vec<Value> {
        self.ada().sees(&self.at("/deliveries?limit=100")).await.items().to_vec()
    }

    async fn delivery(&self, id: &str) -> Value {
        self.ada().sees(&self.at(&format!("/deliveries/{id}"))).await.body
    }

    /// Waits until the one delivery of this kind is as it should be, and shows it.
    async fn comes_to(&self, kind: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let waits = async {
            loop {
                let deliveries = self.deliveries().await;
                if let Some(found) = deliveries.iter().find(|d| d["type"] == kind && enough(d)) {
                    return found.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let Ok(found) = tokio::time::timeout(Duration::from_mins(1), waits).await else {
            panic!("no such delivery of {kind}: {:#?}", self.deliveries().await)
        };
        self.delivery(found["id"].as_str().unwrap()).await
    }

    async fn is_disabled(&self, because: &str) {
        let waits = async {
            while self.shown().await["enabled"] == true {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waits).await.expect("it stays enabled");
        assert_eq!(self.shown().await["disabled_because"], because);
    }

    /// Waits until so many deliveries are over.
    async fn ends(&self, count: usize) {
        let waits = async {
            while self.deliveries().await.iter().filter(|delivery| is_over(delivery)).count() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waits).await.expect("they do not come to an end");
    }

    /// The delivery that asks for nothing but to be heard.
    async fn tests(&self) -> String {
        let asked = self.ada().post(&self.at("/test"), json!({})).await.expect(StatusCode::ACCEPTED);
        asked.text("delivery_id")
    }
}

/// Something happens to a member of Acme's: `member.role_changed`.
async fn something_happens(acme: &Acme, role: &str) {
    acme.ada().patch(&acme.at("/members/carol"), json!({"role": role})).await.expect(StatusCode::OK);
}

fn is_over(delivery: &Value) -> bool {
    delivery["status"] != "pending"
}
