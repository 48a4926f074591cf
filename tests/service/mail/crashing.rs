//! The service is killed while mail goes out (attack 38): every mail arrives, and whoever gets one twice can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::post_office::PostOffice;
use crate::support::process::{Place, Serving};

const ROUNDS: usize = 3;
const EACH: usize = 6;

async fn serves(place: &Place, post: &PostOffice) -> Serving {
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TENURE_SMTP_URL", format!("smtp://127.0.0.1:{}", post.port()));
    command.env("TENURE_MAIL_FROM", "Tenure <tenure@mail.example>");
    Serving::start(command).await
}

async fn sends(serving: &Serving, key: &str, method: Method, path: &str, body: Value) -> Value {
    let request = serving.request(key, method, path).json(&body);
    let request = if path.starts_with("/v1/users") { request } else { request.header("Tenure-Actor", "ada") };
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    response.json().await.unwrap()
}

/// The `Message-ID`s of what arrived, by address.
fn arrived(post: &PostOffice) -> BTreeMap<String, BTreeSet<String>> {
    let mut arrived = BTreeMap::<String, BTreeSet<String>>::new();
    for mail in post.mails() {
        arrived.entry(mail.to().to_owned()).or_default().insert(mail.header("Message-ID").to_owned());
    }
    arrived
}

#[tokio::test]
async fn a_service_that_is_killed_while_it_sends_loses_no_mail() {
    let Some(post) = PostOffice::plain() else { return };
    let (place, mut random) = (Place::new(), SmallRng::seed_from_u64(38));
    let mut serving = serves(&place, &post).await;
    let key = place.key();
    sends(&serving, &key, Method::PUT, "/v1/users/ada", json!({"name": "Ada"})).await;
    let acme = sends(&serving, &key, Method::POST, "/v1/workspaces", json!({"name": "Acme"})).await;
    let path = format!("/v1/workspaces/{}/invitations", acme["id"].as_str().unwrap());
    for round in 0..ROUNDS {
        for n in 0..EACH {
            let email = format!("guest{round}x{n}@example.com");
            sends(&serving, &key, Method::POST, &path, json!({"email": email})).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..120))).await;
        serving.kill();
        serving = serves(&place, &post).await;
    }
    let (started, all) = (Instant::now(), ROUNDS * EACH);
    loop {
        let waits =
            place.runs(&["deliveries", "--channel", "mail", "--status", "pending", "--json"]).await.well();
        if waits.is_empty() {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "still waiting: {waits}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let arrived = arrived(&post);
    assert_eq!(arrived.len(), all, "{arrived:?}");
    assert!(arrived.values().all(|ids| ids.len() == 1), "the same mail has the same name: {arrived:?}");
    let shown = place.runs(&["deliveries", "--status", "delivered", "--limit", "500", "--json"]).await.well();
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown.len(), all, "each is there once");
    let one = shown[0]["id"].as_str().unwrap();
    let details: Value =
        serde_json::from_str(&place.runs(&["deliveries", "show", one]).await.well()).unwrap();
    assert_eq!(details["attempt_log"].as_array().unwrap().last().unwrap()["delivered"], true);
    let again = place.runs(&["deliveries", "retry", one]).await.badly();
    assert!(again.contains("nothing to try again"), "what arrived is not sent again: {again}");
    serving.interrupt().await;
}
