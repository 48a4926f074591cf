//! An issuer's keys come, go and cannot be had: rotation, caching, outages, and answers out of bounds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::testing_issuer::{Answer, TestIssuer, TestKey, token};
use super::{InvalidToken, Issuers, JwksClient, TokenRefusal, config};

const NOW: i64 = 1_800_000_000;
const DISCOVERY: &str = "/.well-known/openid-configuration";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

fn trusting(setting: &str) -> Issuers {
    Issuers::new(config::parse(setting).unwrap(), &JwksClient::new().unwrap())
}

async fn stage() -> (TestIssuer, Issuers) {
    let issuer = TestIssuer::start().await;
    let issuers = trusting(&issuer.setting());
    (issuer, issuers)
}

/// What becomes, after so many seconds, of a token just signed with the key.
async fn after(
    seconds: i64,
    issuers: &Issuers,
    issuer: &TestIssuer,
    key: &TestKey,
) -> Result<(), TokenRefusal> {
    issuers.verify(&key.token(&issuer.claims("u", NOW + seconds)), at(seconds)).await.map(|_| ())
}

fn unnamed(issuer: &TestIssuer, key: &TestKey) -> String {
    token(&json!({"alg": key.alg()}), &issuer.claims("u", NOW), |message| key.sign(message))
}

const UNKNOWN: Result<(), TokenRefusal> = Err(TokenRefusal::Invalid(InvalidToken::UnknownKey));
const UNAVAILABLE: Result<(), TokenRefusal> = Err(TokenRefusal::Unavailable);

#[tokio::test]
async fn two_keys_count_side_by_side_and_a_token_must_name_its_own() {
    let (issuer, issuers) = stage().await;
    let (second, other_kind) = (TestKey::es256("key-2"), TestKey::ed25519("key-3"));
    issuer.publish(&[&issuer.key, &second, &other_kind]);
    for key in [&issuer.key, &second, &other_kind] {
        assert_eq!(after(0, &issuers, &issuer, key).await, Ok(()));
    }
    let ambiguous = issuers.verify(&unnamed(&issuer, &second), at(0)).await;
    assert_eq!(ambiguous, Err(InvalidToken::AmbiguousKey.into()));
    assert!(issuers.verify(&unnamed(&issuer, &other_kind), at(0)).await.is_ok(), "the only EdDSA key");
    let swapped =
        token(&json!({"alg": "ES256", "kid": "key-1"}), &issuer.claims("u", NOW), |m| second.sign(m));
    assert_eq!(issuers.verify(&swapped, at(0)).await, Err(InvalidToken::Signature.into()));
    assert_eq!(issuer.asked("/jwks"), 1);
}

#[tokio::test]
async fn odd_keys_in_the_set_cost_and_give_nothing() {
    let (issuer, issuers) = stage().await;
    let change = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let (enc, ops, alg) = (TestKey::es256("enc"), TestKey::es256("ops"), TestKey::es256("alg"));
    let good = issuer.key.jwk();
    issuer.publish_jwks(&[
        json!(7),
        json!({"kty": "oct", "kid": "key-1", "k": "c2VjcmV0"}),
        json!({"kty": "RSA", "kid": "key-1", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-521", "kid": "key-1", "x": "AA", "y": "AA"}),
        change(enc.jwk(), "use", json!("enc")),
        change(ops.jwk(), "key_ops", json!(["deriveKey"])),
        change(alg.jwk(), "alg", json!("ECDH-ES")),
        good.clone(),
        good.clone(),
        change(good, "kid", json!("second name")),
    ]);
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, Ok(()));
    assert!(issuers.verify(&unnamed(&issuer, &issuer.key), at(0)).await.is_ok(), "duplicates are one key");
    for key in [&enc, &ops, &alg] {
        assert_eq!(after(0, &issuers, &issuer, key).await, UNKNOWN, "{}", key.kid);
    }
}

#[tokio::test]
async fn a_rotation_is_picked_up_and_strangers_cannot_make_us_hammer() {
    let (mut issuer, issuers) = stage().await;
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, Ok(()));
    let old = issuer.rotate(TestKey::ed25519("new"));
    assert_eq!(after(1, &issuers, &issuer, &issuer.key).await, Ok(()), "at once");
    assert_eq!(after(2, &issuers, &issuer, &old).await, UNKNOWN);
    assert_eq!(issuer.asked("/jwks"), 2);
    let stranger = TestKey::es256("stranger");
    for second in 3..31 {
        assert_eq!(after(second, &issuers, &issuer, &stranger).await, UNKNOWN);
    }
    assert_eq!(issuer.asked("/jwks"), 2, "not within 30 s of the last");
    assert_eq!(after(32, &issuers, &issuer, &stranger).await, UNKNOWN);
    assert_eq!(issuer.asked("/jwks"), 3);
    issuer.publish_jwks(&[]);
    assert_eq!(
        after(33 + 600, &issuers, &issuer, &issuer.key).await,
        UNKNOWN,
        "withdrawn, at the latest now"
    );
}

#[tokio::test]
async fn a_hundred_at_once_cause_one_fetch() {
    let (issuer, issuers) = stage().await;
    let slow =
        Answer { delay: Duration::from_millis(200), ..Answer::json(&json!({"keys": [issuer.key.jwk()]})) };
    issuer.answer("/jwks", slow);
    let token = issuer.token("u", NOW);
    let stranger = TestKey::es256("stranger").token(&issuer.claims("u", NOW));
    let all = |token: &str, now: DateTime<Utc>| {
        let ask =
            |issuers: Issuers, token: String| tokio::spawn(async move { issuers.verify(&token, now).await });
        (0..100).map(|_| ask(issuers.clone(), token.to_owned())).collect::<Vec<_>>()
    };
    for verified in all(&token, at(0)) {
        assert!(verified.await.unwrap().is_ok());
    }
    assert_eq!(issuer.asked("/jwks"), 1);
    for refused in all(&stranger, at(1)) {
        assert_eq!(refused.await.unwrap().map(|_| ()), UNKNOWN);
    }
    assert_eq!(issuer.asked("/jwks"), 2);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch() {
    let (issuer, issuers) = stage().await;
    let slow =
        Answer { delay: Duration::from_millis(200), ..Answer::json(&json!({"keys": [issuer.key.jwk()]})) };
    issuer.answer("/jwks", slow);
    let impatient = after(0, &issuers, &issuer, &issuer.key);
    assert!(tokio::time::timeout(Duration::from_millis(50), impatient).await.is_err());
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, Ok(()));
    assert_eq!(issuer.asked("/jwks"), 1);
}

#[tokio::test]
async fn a_down_issuer_is_unavailable_at_first_and_then_stale_for_a_day() {
    let (issuer, issuers) = stage().await;
    let (key, hour) = (&issuer.key, 3_600);
    issuer.down(true);
    assert_eq!(after(0, &issuers, &issuer, key).await, UNAVAILABLE);
    assert_eq!(after(1, &issuers, &issuer, key).await, UNAVAILABLE);
    assert_eq!(issuer.asked("/jwks"), 1, "a pause after a failure");
    issuer.down(false);
    assert_eq!(after(6, &issuers, &issuer, key).await, Ok(()));
    issuer.down(true);
    for time in [60, hour, 12 * hour, 24 * hour] {
        assert_eq!(after(time, &issuers, &issuer, key).await, Ok(()), "{time}");
    }
    assert_eq!(after(24 * hour + 6, &issuers, &issuer, key).await, UNAVAILABLE, "a day is over");
    issuer.down(false);
    assert_eq!(after(24 * hour + 60, &issuers, &issuer, key).await, Ok(()));
    // An expired token is a bad token, whoever is down.
    issuer.down(true);
    let expired = issuers.verify(&issuer.token("u", NOW), at(72 * hour)).await;
    assert_eq!(expired, Err(InvalidToken::Expired.into()));
}

#[tokio::test]
async fn nobody_listening_and_nobody_answering_are_unavailable() {
    let gone = { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    let (issuer, _) = stage().await;
    let issuers = trusting(&format!("{}|tenure|http://{gone}/jwks", issuer.url));
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, UNAVAILABLE);

    let silent = Answer { delay: Duration::from_mins(1), ..Answer::json(&json!({"keys": []})) };
    let (issuer, issuers) = stage().await;
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, Ok(()));
    issuer.answer("/jwks", silent);
    // The issuer keeps silent for a minute; nobody waits that long for it.
    let patience = Duration::from_secs(30);
    let stale = tokio::time::timeout(patience, after(700, &issuers, &issuer, &issuer.key)).await;
    assert_eq!(stale, Ok(Ok(())), "stale, after one wait");
    let stale = tokio::time::timeout(patience, after(720, &issuers, &issuer, &issuer.key)).await;
    assert_eq!(stale, Ok(Ok(())), "and again");
}

#[tokio::test]
async fn answers_out_of_bounds_are_no_keys() {
    let keys = |issuer: &TestIssuer| json!({"keys": [issuer.key.jwk()], "pad": ""});
    for case in ["redirect", "too long", "not json", "no keys", "404"] {
        let (issuer, issuers) = stage().await;
        let good = Answer::json(&keys(&issuer));
        let bad = match case {
            "redirect" => {
                Answer { status: 302, location: Some(format!("{}/elsewhere", issuer.url)), ..good.clone() }
            }
            "too long" => Answer {
                body: good.body.replace(r#""pad":"""#, &format!(r#""pad":"{}""#, "x".repeat(262_144))),
                ..good.clone()
            },
            "not json" => Answer { body: "<html>".into(), ..good.clone() },
            "no keys" => Answer { body: "{}".into(), ..good.clone() },
            _ => Answer { status: 404, ..good.clone() },
        };
        issuer.answer("/elsewhere", good);
        issuer.answer("/jwks", bad);
        assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, UNAVAILABLE, "{case}");
        assert_eq!(issuer.asked("/elsewhere"), 0);
    }
}

#[tokio::test]
async fn keys_are_found_by_discovery_of_the_same_issuer_only() {
    let issuer = TestIssuer::start().await;
    let issuers = trusting(&format!("{}|tenure", issuer.url));
    assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, Ok(()));
    assert_eq!((issuer.asked(DISCOVERY), issuer.asked("/jwks")), (1, 1));
    let keys = format!("{}/jwks", issuer.url);
    for (name, uri) in [
        (format!("{}/", issuer.url), keys.as_str()),
        ("https://other.example".to_owned(), keys.as_str()),
        (issuer.url.clone(), "http://other.example/jwks"),
        (issuer.url.clone(), "file:///etc/passwd"),
        (issuer.url.clone(), "/jwks"),
    ] {
        issuer.answer(DISCOVERY, Answer::json(&json!({"issuer": name, "jwks_uri": uri})));
        let issuers = trusting(&format!("{}|tenure", issuer.url));
        assert_eq!(after(0, &issuers, &issuer, &issuer.key).await, UNAVAILABLE, "{name} {uri}");
    }
    assert_eq!(issuer.asked("/jwks"), 1);
}
