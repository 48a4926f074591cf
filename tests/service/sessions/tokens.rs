//! What vouches for a session token, and what does not pass for one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::clock;
use tenure_guard::{AUDIENCE, RemoteVerifier};

use super::support::{Client, claims, header, sign_in, verified};
use crate::support::issuer::{TestKey, token};
use crate::support::{Acme, Answer, TestService};

fn now() -> i64 {
    clock::now().timestamp()
}

#[tokio::test]
async fn the_keys_are_published_for_everybody_and_vouch_for_tokens_without_asking() {
    let acme = Acme::found().await;
    let (client, _) = sign_in(&acme.ada(), None).await;
    let said = verified(&acme.service, &client.token).await.expect("signed by a published key");
    assert_eq!(said["sub"], "ada");
    let (message, signature) = client.token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[5] ^= 1;
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(verified(&acme.service, &forged).await, None);
    let published = acme.service.bare(Method::GET, "/.well-known/jwks.json", &[]).await;
    assert_eq!(published.header("cache-control"), Some("public, max-age=3600"));
    let keys = published.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3, "the previous one, the current one and the next one");
    for key in keys {
        assert_eq!(key.get("d"), None, "the private key is nobody's business");
    }
    assert_eq!(keys[1]["kid"], header(&client.token)["kid"], "the current one signs");
    let sibling = acme.service.sibling().await;
    let elsewhere = sibling.bare(Method::GET, "/.well-known/jwks.json", &[]).await;
    assert_eq!(elsewhere.body, published.body, "all processes agree without a table");
    sibling.leave().await;
    acme.stop().await;
}

// S0.7-12: what other services go by.
#[tokio::test]
async fn the_guard_of_other_services_takes_what_is_issued() {
    let acme = Acme::found().await;
    let published = format!("{}/.well-known/jwks.json", acme.service.url);
    for (name, role) in [("ada", "owner"), ("bob", "admin"), ("carol", "member")] {
        let (client, _) = sign_in(&acme.service.user(name), Some(&acme.id)).await;
        let issuer = claims(&client.token)["iss"].as_str().unwrap().to_owned();
        let verifier = RemoteVerifier::with_jwks_url(issuer, AUDIENCE, &published).unwrap();
        let session = verifier.verify(&client.token, clock::now().into()).await.unwrap();
        assert_eq!((session.user_id(), session.role()), (name, role));
        assert_eq!(session.workspace_id().to_string(), acme.id);
        session.require("content:read").unwrap();
        assert_eq!(session.require("members:invite").is_ok(), role != "member");
        assert_eq!(session.require("workspace:delete").is_ok(), role == "owner");
    }
    acme.stop().await;
}

// Attack 14.
#[tokio::test]
async fn a_token_that_is_not_in_order_opens_nothing() {
    let acme = Acme::found().await;
    let service = &acme.service;
    let (client, _) = sign_in(&acme.ada(), None).await;
    let good = claims(&client.token);
    let head = header(&client.token);
    let published = service.bare(Method::GET, "/.well-known/jwks.json", &[]).await.body;
    let current = published["keys"][1].clone();
    let public = URL_SAFE_NO_PAD.decode(current["x"].as_str().unwrap()).unwrap();
    let kid = current["kid"].as_str().unwrap();
    let hmac = |secret: &[u8], message: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        ring::hmac::sign(&key, message).as_ref().to_vec()
    };
    let keys = &service.app().sessions.keys;
    // Signed by the right key, but saying something else.
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        keys.sign(claims.to_string().as_bytes(), clock::now())
    };
    let stranger = TestKey::ed25519(kid);
    let with = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let parts: Vec<&str> = client.token.split('.').collect();
    let mut flipped = client.token.clone().into_bytes();
    let middle = parts[0].len() + 1 + parts[1].len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let bad = [
        ("alg none", token(&with("none", kid), &good, |_| Vec::new())),
        ("alg None", token(&with("None", kid), &good, |_| Vec::new())),
        ("no alg", token(&json!({"typ": "JWT", "kid": kid}), &good, |m| stranger.sign(m))),
        ("HS256 with the public key", token(&with("HS256", kid), &good, |m| hmac(&public, m))),
        (
            "HS256 with the JWK",
            token(&with("HS256", kid), &good, |m| hmac(current.to_string().as_bytes(), m)),
        ),
        ("another's key under the kid", stranger.token(&good)),
        ("unknown kid", TestKey::ed25519("key-9").token(&good)),
        ("the key in the header", {
            let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "jwk": stranger.jwk()});
            token(&header, &good, |m| stranger.sign(m))
        }),
        ("another header of the same signature", {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": kid}).to_string());
            format!("{header}.{}.{}", parts[1], parts[2])
        }),
        ("wrong aud", changed("aud", json!("other"))),
        ("aud list", changed("aud", json!(["tenure"]))),
        ("wrong iss", changed("iss", json!("http://127.0.0.1:7374"))),
        ("expired", changed("exp", json!(now()))),
        ("exp as text", changed("exp", json!((now() + 300).to_string()))),
        ("another user", changed("sub", json!("bob"))),
        ("another workspace", changed("workspace_id", json!(acme.id))),
        ("another generation", changed("gen", json!(2))),
        ("another session", changed("sid", json!(tenure::ids::new_v7()))),
        ("a session id that is none", changed("sid", json!("x"))),
        ("truncated", client.token[..client.token.len() - 8].to_owned()),
        ("without signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{}.x", client.token)),
        ("one letter changed", String::from_utf8(flipped).unwrap()),
        (
            "a header of its own",
            format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(head.to_string() + " "), parts[1], parts[2]),
        ),
    ];
    for (what, bad) in bad {
        let client = Client { service, token: bad };
        for request in
            [client.request(Method::GET, "/v1/session"), client.with_cookie(Method::GET, "/v1/session")]
        {
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
            assert!(
                !answer.refused(401, "unauthenticated").body.to_string().contains(&client.token),
                "{what}"
            );
        }
    }
    client.shows().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_token_expires_and_so_does_a_session() {
    let short = TestService::start_with(|settings| {
        settings.session_token_lifetime = Duration::from_secs(1);
    })
    .await;
    let (client, _) = sign_in(&short.provision("ada").await, None).await;
    while client.get("/v1/permissions").await.status != StatusCode::UNAUTHORIZED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.is_dead().await;
    short.stop().await;
    // However long its token would last, a session ends when its time has come.
    let short = TestService::start_with(|settings| {
        settings.session_lifetime = Duration::from_secs(1);
    })
    .await;
    let (client, answer) = sign_in(&short.provision("ada").await, None).await;
    let instant = |value: &Value| value.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(instant(&answer.body["token_expires_at"]) <= instant(&answer.body["session"]["expires_at"]));
    while client.get("/v1/session").await.status != StatusCode::UNAUTHORIZED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.is_dead().await;
    short.stop().await;
}

#[tokio::test]
async fn keys_rotate_without_a_break() {
    let service = TestService::start_with(|settings| {
        settings.session_token_lifetime = Duration::from_secs(5);
        settings.session_key_rotation = Duration::from_secs(5);
    })
    .await;
    let (mut client, _) = sign_in(&service.provision("ada").await, None).await;
    let first = header(&client.token)["kid"].clone();
    while header(&client.token)["kid"] == first {
        assert!(verified(&service, &client.token).await.is_some());
        client = Client::of(&service, &client.shows().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(verified(&service, &client.token).await.is_some(), "the new key was published before it signed");
    service.stop().await;
}
