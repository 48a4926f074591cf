//! JWTs of a configured issuer, over real HTTP on both sides (attack 14).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::clock;

use crate::support::issuer::{TestIssuer, TestKey, token};
use crate::support::{Answer, TestService, log};

fn now() -> i64 {
    clock::now().timestamp()
}

async fn with(issuer: &TestIssuer) -> TestService {
    let setting = issuer.setting();
    TestService::start_with(|settings| settings.jwt_issuers = Some(setting)).await
}

async fn ask(service: &TestService, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = service.client.request(method.clone(), format!("{}{path}", service.url)).bearer_auth(token);
    Answer::of(if method == Method::GET { request } else { request.json(&body) }).await
}

async fn get(service: &TestService, token: &str) -> Answer {
    ask(service, token, Method::GET, "/v1/users/ada", Value::Null).await
}

#[tokio::test]
async fn a_token_speaks_for_its_user_and_for_nobody_else() {
    let issuer = TestIssuer::start().await;
    let service = with(&issuer).await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let token = issuer.token("ada", now());
    let me = get(&service, &token).await.expect(StatusCode::OK);
    assert_eq!(me.text("user_id"), "ada");
    assert_eq!(me.header("cache-control"), Some("no-store"));
    let acme = ask(&service, &token, Method::POST, "/v1/workspaces", json!({"name": "Acme"})).await;
    let acme = acme.expect(StatusCode::CREATED).text("id");
    let entry = ada.get(&format!("/v1/workspaces/{acme}/audit-log?limit=1")).await.body["items"][0].clone();
    assert_eq!(entry["actor"], json!({"type": "user", "id": "ada"}), "through nobody");
    let foreign = bob.creates("Bob's").await;
    for (method, path, body, status) in [
        (Method::GET, "/v1/users/bob".to_owned(), json!({}), 404),
        (Method::GET, format!("/v1/workspaces/{foreign}"), json!({}), 404),
        (Method::PATCH, format!("/v1/workspaces/{foreign}"), json!({"name": "x"}), 404),
        (Method::PUT, "/v1/users/ada".to_owned(), json!({"email_verified": true}), 403),
        (Method::PUT, "/v1/users/bob".to_owned(), json!({"name": "x"}), 403),
        (Method::PUT, "/v1/users/new".to_owned(), json!({"name": "x"}), 403),
        (Method::POST, format!("/v1/workspaces/{acme}/suspend"), json!({}), 403),
        (Method::POST, format!("/v1/workspaces/{acme}/resume"), json!({}), 403),
        (Method::PATCH, format!("/v1/workspaces/{acme}"), json!({"seats": {"limit": 50}}), 403),
        (Method::POST, "/v1/workspaces".to_owned(), json!({"name": "x", "owner_id": "bob"}), 403),
    ] {
        let before = log::head(&service).await;
        let answer = ask(&service, &token, method, &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        assert_eq!(log::head(&service).await, before, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_token_may_not_act_for_another() {
    let issuer = TestIssuer::start().await;
    let service = with(&issuer).await;
    service.provision("ada").await;
    service.provision("bob").await;
    let token = issuer.token("ada", now());
    for actor in ["ada", "bob", "nobody"] {
        let request = service.client.get(format!("{}/v1/users/ada", service.url)).bearer_auth(&token);
        let answer = Answer::of(request.header("Tenure-Actor", actor)).await;
        assert_eq!(answer.refused(403, "permission_denied").body["permission"], "operator");
    }
    // Nor does an unprovisioned subject have anything, or become anything.
    let token = issuer.token("nobody", now());
    let none = ask(&service, &token, Method::GET, "/v1/users/nobody", Value::Null).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let create = ask(&service, &token, Method::POST, "/v1/workspaces", json!({"name": "X"})).await;
    create.refused(404, "user_not_found");
    service.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_in_order_is_no_credential() {
    let issuer = TestIssuer::start().await;
    let service = with(&issuer).await;
    service.provision("ada").await;
    let key = &issuer.key;
    let good = issuer.claims("ada", now());
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.token(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        key.token(&claims)
    };
    let header = |alg: &str, kid: &str| json!({"typ": "JWT", "alg": alg, "kid": kid});
    let hmac = |secret: &[u8], message: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        ring::hmac::sign(&key, message).as_ref().to_vec()
    };
    let whole = key.token(&good);
    let parts: Vec<&str> = whole.split('.').collect();
    let mut flipped = whole.clone().into_bytes();
    let middle = parts[0].len() + 1 + parts[1].len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let stranger = TestKey::es256(&key.kid);
    let published = key.jwk().to_string();
    let bad = [
        ("alg none", token(&header("none", &key.kid), &good, |_| Vec::new())),
        ("alg None", token(&header("None", &key.kid), &good, |_| Vec::new())),
        ("no alg", token(&json!({"kid": key.kid}), &good, |message| key.sign(message))),
        ("alg none, signed", token(&header("none", &key.kid), &good, |message| key.sign(message))),
        (
            "HS256 with the public key",
            token(&header("HS256", &key.kid), &good, |m| hmac(key.public_bytes(), m)),
        ),
        ("HS256 with the JWK", token(&header("HS256", &key.kid), &good, |m| hmac(published.as_bytes(), m))),
        ("RS256 for an EC key", token(&header("RS256", &key.kid), &good, |message| key.sign(message))),
        ("ES384", token(&header("ES384", &key.kid), &good, |message| key.sign(message))),
        ("unknown kid", token(&header("ES256", "key-9"), &good, |message| key.sign(message))),
        ("another's key under the kid", stranger.token(&good)),
        ("the key in the header", {
            let header = json!({"alg": "ES256", "jwk": stranger.jwk(), "kid": "mine"});
            token(&header, &good, |message| stranger.sign(message))
        }),
        ("crit", {
            let header = json!({"alg": "ES256", "kid": key.kid, "crit": ["exp"]});
            token(&header, &good, |message| key.sign(message))
        }),
        ("wrong aud", changed("aud", json!("other"))),
        ("aud of a prefix", changed("aud", json!("tenure2"))),
        ("aud null", changed("aud", Value::Null)),
        ("no aud", without("aud")),
        ("wrong iss", changed("iss", json!("https://elsewhere.example"))),
        ("iss with a slash", changed("iss", json!(format!("{}/", issuer.url)))),
        ("no iss", without("iss")),
        ("expired", changed("exp", json!(now() - 120))),
        ("exp as text", changed("exp", json!((now() + 300).to_string()))),
        ("no exp", without("exp")),
        ("not yet valid", changed("nbf", json!(now() + 120))),
        ("issued in the future", changed("iat", json!(now() + 120))),
        ("no sub", without("sub")),
        ("empty sub", changed("sub", json!(""))),
        ("sub with a control", changed("sub", json!("ada\u{0}"))),
        ("truncated", whole[..whole.len() - 8].to_owned()),
        ("without signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{whole}.x")),
        ("claims changed", String::from_utf8(flipped).unwrap()),
        ("rubbish", "rubbish".to_owned()),
        ("empty", "..".to_owned()),
    ];
    for (what, bad) in &bad {
        let answer = get(&service, bad).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
        let text = answer.refused(401, "unauthenticated").body.to_string();
        assert!(!text.contains(bad.as_str()), "{what} is told back");
    }
    get(&service, &whole).await.expect(StatusCode::OK);
    // A skew of a minute is forgiven, in both directions.
    get(&service, &changed("exp", json!(now() - 20))).await.expect(StatusCode::OK);
    get(&service, &changed("nbf", json!(now() + 20))).await.expect(StatusCode::OK);
    // A secret in a query string is none, and neither is one of two.
    let url = format!("{}/v1/users/ada?access_token={whole}", service.url);
    Answer::of(service.client.get(&url)).await.refused(400, "secret_in_query");
    let twice = service.client.get(format!("{}/v1/users/ada", service.url));
    Answer::of(twice.bearer_auth(&whole).bearer_auth(&whole)).await.refused(401, "unauthenticated");
    let basic = service.client.get(format!("{}/v1/users/ada", service.url)).basic_auth("ada", Some(&whole));
    Answer::of(basic).await.refused(401, "unauthenticated");
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_a_bad_token() {
    let issuer = TestIssuer::start().await;
    let service = with(&issuer).await;
    service.provision("ada").await;
    let token = issuer.token("ada", now());
    issuer.down(true);
    let down = get(&service, &token).await.refused(503, "unavailable");
    assert!(down.header("retry-after").is_some());
    let before = log::head(&service).await;
    let write = ask(&service, &token, Method::POST, "/v1/workspaces", json!({"name": "X"})).await;
    write.refused(503, "unavailable");
    assert_eq!(log::head(&service).await, before);
    // Nothing of the operator's hangs on the issuer.
    service.user("ada").get("/v1/users/ada").await.expect(StatusCode::OK);
    service.stop().await;

    // Once the keys are here, the issuer may be away.
    let service = with(&issuer).await;
    service.provision("ada").await;
    issuer.down(false);
    get(&service, &token).await.expect(StatusCode::OK);
    issuer.down(true);
    get(&service, &token).await.expect(StatusCode::OK);
    assert_eq!(issuer.asked("/jwks"), 2, "neither asked again at once in vain, nor once the keys are known");
    service.stop().await;
}

#[tokio::test]
async fn every_kind_of_key_that_is_allowed_works() {
    let issuer = TestIssuer::start().await;
    let keys = [TestKey::es256("a"), TestKey::ed25519("b"), TestKey::rs256("c")];
    issuer.publish(&keys.iter().collect::<Vec<_>>());
    let service = with(&issuer).await;
    service.provision("ada").await;
    for key in &keys {
        get(&service, &key.token(&issuer.claims("ada", now()))).await.expect(StatusCode::OK);
    }
    service.stop().await;
}
