//! Keys that come over HTTP, are rotated, withdrawn, and not to be had.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::key_cache::{FRESH, RETRY, STALE, UNKNOWN_KEY};
use crate::testing::{ISSUER, TestKey, claims, now};
use crate::{AUDIENCE, InvalidToken, Refusal, RemoteVerifier, Session};

/// What a Tenure answers at its JWKS address.
#[derive(Default)]
struct Site {
    answer: Mutex<Answer>,
    asked: AtomicUsize,
}

#[derive(Clone, Default)]
enum Answer {
    #[default]
    Down,
    Body(String),
    Elsewhere(String),
    /// Not before it is told to.
    After(Arc<Notify>, Box<Answer>),
}

async fn respond(State(site): State<Arc<Site>>) -> Response {
    site.asked.fetch_add(1, Ordering::Relaxed);
    let mut answer = site.answer.lock().unwrap().clone();
    while let Answer::After(go, then) = answer {
        go.notified().await;
        answer = *then;
    }
    match answer {
        Answer::After(..) | Answer::Down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::Body(body) => body.into_response(),
        Answer::Elsewhere(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
    }
}

struct Stage {
    site: Arc<Site>,
    url: String,
    verifier: RemoteVerifier,
}

impl Stage {
    async fn publishing(keys: &[&TestKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let site = Arc::<Site>::default();
        let router = Router::new().fallback(respond).with_state(Arc::clone(&site));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let verifier = RemoteVerifier::with_jwks_url(ISSUER, AUDIENCE, &url).unwrap();
        let stage = Self { site, url, verifier };
        stage.publish(keys);
        stage
    }

    fn answers(&self, answer: Answer) {
        *self.site.answer.lock().unwrap() = answer;
    }

    fn publish(&self, keys: &[&TestKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answers(Answer::Body(json!({ "keys": keys }).to_string()));
    }

    fn asked(&self) -> usize {
        self.site.asked.load(Ordering::Relaxed)
    }

    async fn until_asked(&self) {
        while self.asked() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// What is said of a token of this key, `later` than now; it is valid for two days.
    async fn verdict(&self, key: &TestKey, later: Duration) -> Result<Session, Refusal> {
        let token = key.token(&claims(&json!({"exp": crate::testing::NOW + 172_800})));
        self.verifier.verify(&token, now() + later).await
    }

    async fn refused(&self, key: &TestKey, later: Duration) -> Refusal {
        self.verdict(key, later).await.unwrap_err()
    }
}

const SOON: Duration = Duration::from_secs(1);
const UNKNOWN: Refusal = Refusal::Unauthenticated(InvalidToken::UnknownKey);

#[tokio::test]
async fn keys_are_fetched_once_and_held() {
    let key = TestKey::new("k");
    let stage = Stage::publishing(&[&key]).await;
    assert_eq!(stage.asked(), 0, "nothing is asked before there is a token");
    let garbage = stage.verifier.verify("a.b.c", now()).await;
    assert_eq!(garbage.unwrap_err(), InvalidToken::Malformed.into());
    for odd in [json!({"exp": 1}), json!({"iss": "https://evil.example"}), json!({"aud": "other"})] {
        assert!(stage.verifier.verify(&key.token(&claims(&odd)), now()).await.is_err());
    }
    assert_eq!(stage.asked(), 0, "a token that is no good anyway causes no traffic");
    for later in [Duration::ZERO, SOON, FRESH / 2] {
        assert_eq!(stage.verdict(&key, later).await.unwrap().user_id(), "ada");
    }
    assert_eq!(stage.asked(), 1);
    assert!(stage.verdict(&key, FRESH).await.is_ok());
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_and_a_withdrawn_one_dies() {
    let (old, new) = (TestKey::new("old"), TestKey::new("new"));
    let stage = Stage::publishing(&[&old]).await;
    assert!(stage.verdict(&old, Duration::ZERO).await.is_ok());
    stage.publish(&[&new]);
    assert!(stage.verdict(&new, SOON).await.is_ok());
    assert_eq!(stage.asked(), 2);
    assert_eq!(stage.refused(&old, SOON).await, UNKNOWN);
}

#[tokio::test]
async fn unknown_keys_do_not_flood_tenure() {
    let (key, stranger) = (TestKey::new("k"), TestKey::new("other"));
    let stage = Stage::publishing(&[&key]).await;
    assert!(stage.verdict(&key, Duration::ZERO).await.is_ok());
    for _ in 0..20 {
        assert_eq!(stage.refused(&stranger, SOON).await, UNKNOWN);
    }
    assert_eq!(stage.asked(), 2);
    assert_eq!(stage.refused(&stranger, SOON + UNKNOWN_KEY).await, UNKNOWN);
    assert_eq!(stage.asked(), 3);
    assert!(stage.verdict(&key, SOON).await.is_ok());
}

#[tokio::test]
async fn while_tenure_is_away_the_keys_at_hand_serve_for_a_day() {
    let key = TestKey::new("k");
    let stage = Stage::publishing(&[&key]).await;
    assert!(stage.verdict(&key, Duration::ZERO).await.is_ok());
    for away in [Answer::Down, Answer::Body("no keys".into())] {
        stage.answers(away);
        for later in [FRESH, FRESH + RETRY, STALE / 2] {
            assert!(stage.verdict(&key, later).await.is_ok(), "{later:?}");
        }
    }
    assert_eq!(stage.refused(&key, STALE + RETRY + SOON).await, Refusal::Unavailable);
    stage.publish(&[&key]);
    assert!(stage.verdict(&key, STALE + RETRY * 3).await.is_ok());
}

#[tokio::test]
async fn without_any_key_nobody_is_let_in_nor_blamed() {
    let key = TestKey::new("k");
    let stage = Stage::publishing(&[]).await;
    let long = format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(64 * 1024));
    let other = Stage::publishing(&[&key]).await;
    let answers =
        [Answer::Down, Answer::Body("[]".into()), Answer::Body(long), Answer::Elsewhere(other.url.clone())];
    for (round, answer) in (0..).zip(answers) {
        stage.answers(answer);
        assert_eq!(stage.refused(&key, RETRY * 2 * round).await, Refusal::Unavailable);
    }
    assert_eq!((stage.asked(), other.asked()), (4, 0), "a redirect is not followed");
    // Within the pause, nobody is asked again.
    assert_eq!(stage.refused(&key, RETRY * 6 + SOON).await, Refusal::Unavailable);
    assert_eq!(stage.asked(), 4);
}

#[tokio::test]
async fn a_client_that_hangs_up_costs_nobody_the_keys() {
    let key = TestKey::new("k");
    let stage = Stage::publishing(&[&key]).await;
    let published = stage.site.answer.lock().unwrap().clone();
    let go = Arc::new(Notify::new());
    stage.answers(Answer::After(Arc::clone(&go), Box::new(published)));
    tokio::select! {
        _ = stage.verdict(&key, Duration::ZERO) => panic!("answered without a key"),
        () = stage.until_asked() => {}
    }
    go.notify_one();
    assert!(stage.verdict(&key, Duration::ZERO).await.is_ok());
    assert_eq!(stage.asked(), 1, "the fetch went on by itself");
}

#[tokio::test]
async fn who_waited_for_a_fetch_does_not_begin_another() {
    let key = TestKey::new("k");
    let stage = Stage::publishing(&[]).await;
    let go = Arc::new(Notify::new());
    stage.answers(Answer::After(Arc::clone(&go), Box::new(Answer::Down)));
    let release = async {
        stage.until_asked().await;
        go.notify_one();
    };
    // As far apart as a timeout would make them: the pause after a failure is over for the second.
    let (first, second, ()) =
        tokio::join!(stage.verdict(&key, Duration::ZERO), stage.verdict(&key, RETRY * 2), release);
    assert_eq!((first.err(), second.err()), (Some(Refusal::Unavailable), Some(Refusal::Unavailable)));
    assert_eq!(stage.asked(), 1);
}
