//! Attack 14, line by line: tokens that must not count, against a real issuer on loopback.

use chrono::{DateTime, Utc};
use hmac::Mac;
use serde_json::{Value, json};

use super::testing_issuer::{TestIssuer, TestKey, token};
use super::{InvalidToken, Issuers, JwksClient, TokenRefusal, VerifiedToken, config};

const NOW: i64 = 1_800_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn issuers(settings: &[String]) -> Issuers {
    Issuers::new(config::parse(&settings.join(",")).unwrap(), &JwksClient::new().unwrap())
}

/// One issuer and a service that trusts it.
async fn stage() -> (TestIssuer, Issuers) {
    let issuer = TestIssuer::start().await;
    let issuers = issuers(&[issuer.setting()]);
    (issuer, issuers)
}

async fn verdict(issuers: &Issuers, token: &str) -> Result<VerifiedToken, TokenRefusal> {
    issuers.verify(token, now()).await
}

async fn assert_refused(issuers: &Issuers, token: &str, reason: InvalidToken) {
    assert_eq!(verdict(issuers, token).await, Err(TokenRefusal::Invalid(reason)), "{token}");
}

fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn a_good_token_of_each_algorithm_counts() {
    for key in [TestKey::es256("k"), TestKey::ed25519("k"), TestKey::rs256("k")] {
        let (mut issuer, issuers) = stage().await;
        issuer.rotate(key);
        let mut claims = issuer.claims("user-1", NOW);
        claims["email"] = json!("a@x.example");
        claims["email_verified"] = json!(true);
        let verified = verdict(&issuers, &issuer.key.token(&claims)).await.unwrap();
        let expected = VerifiedToken {
            issuer: issuer.url.clone(),
            subject: "user-1".into(),
            email: Some("a@x.example".into()),
            email_verified: true,
            name: None,
            expires_at: DateTime::from_timestamp(NOW + 300, 0).unwrap(),
        };
        assert_eq!(verified, expected);
    }
}

#[tokio::test]
async fn alg_none_and_hs256_under_the_public_key() {
    let (mut issuer, issuers) = stage().await;
    issuer.rotate(TestKey::rs256("k"));
    let (key, claims) = (&issuer.key, issuer.claims("u", NOW));
    assert!(verdict(&issuers, &key.token(&claims)).await.is_ok());
    for alg in
        ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS384", "PS256", "ES384", "es256", "Ed25519"]
    {
        let header = json!({"alg": alg, "kid": "k"});
        assert_refused(&issuers, &token(&header, &claims, |_| Vec::new()), InvalidToken::Algorithm).await;
        let jwk = key.jwk();
        for secret in
            [key.public_bytes(), jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes(), b""]
        {
            let forged = token(&header, &claims, |message| hs256(secret, message));
            assert_refused(&issuers, &forged, InvalidToken::Algorithm).await;
        }
    }
    // The allowed name over a MAC, over nothing, and over another kind of key.
    let header = json!({"alg": "RS256", "kid": "k"});
    let forged = token(&header, &claims, |message| hs256(key.public_bytes(), message));
    assert_refused(&issuers, &forged, InvalidToken::Signature).await;
    assert_refused(&issuers, &token(&header, &claims, |_| Vec::new()), InvalidToken::Signature).await;
    let other_kind = token(&json!({"alg": "ES256", "kid": "k"}), &claims, |message| key.sign(message));
    assert_refused(&issuers, &other_kind, InvalidToken::UnknownKey).await;
}

#[tokio::test]
async fn wrong_audience_issuer_and_times() {
    let (issuer, issuers) = stage().await;
    for (claim, value, reason) in [
        ("aud", json!("other"), InvalidToken::Audience),
        ("aud", Value::from(Vec::<String>::new()), InvalidToken::Audience),
        ("iss", json!("https://evil.example"), InvalidToken::UnknownIssuer),
        ("iss", json!(format!("{}/", issuer.url)), InvalidToken::UnknownIssuer),
        ("exp", json!(NOW - 61), InvalidToken::Expired),
        ("exp", json!("never"), InvalidToken::Malformed),
        ("nbf", json!(NOW + 61), InvalidToken::NotYetValid),
        ("nbf", json!("99999999999"), InvalidToken::Malformed),
        ("iat", json!(NOW + 3_600), InvalidToken::NotYetValid),
        ("sub", json!(""), InvalidToken::Subject),
    ] {
        let mut claims = issuer.claims("u", NOW);
        claims[claim] = value;
        assert_refused(&issuers, &issuer.key.token(&claims), reason).await;
    }
    for (missing, reason) in [
        ("iss", InvalidToken::Malformed),
        ("exp", InvalidToken::Malformed),
        ("aud", InvalidToken::Audience),
        ("sub", InvalidToken::Subject),
    ] {
        let mut claims = issuer.claims("u", NOW);
        claims.as_object_mut().unwrap().remove(missing);
        assert_refused(&issuers, &issuer.key.token(&claims), reason).await;
    }
    assert_eq!(issuer.asked("/jwks"), 0, "none of these is worth a fetch");
}

#[tokio::test]
async fn truncated_changed_and_malformed() {
    let (issuer, issuers) = stage().await;
    let good = issuer.token("u", NOW);
    assert!(verdict(&issuers, &good).await.is_ok());
    for cut in 0..good.len() {
        assert!(matches!(verdict(&issuers, &good[..cut]).await, Err(TokenRefusal::Invalid(_))), "{cut}");
    }
    for position in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[position] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(matches!(verdict(&issuers, &changed).await, Err(TokenRefusal::Invalid(_))), "{position}");
    }
    for odd in [format!("{good}="), format!("{good}.x"), format!("{good} "), format!(".{good}"), "..".into()]
    {
        assert!(matches!(verdict(&issuers, &odd).await, Err(TokenRefusal::Invalid(_))), "{odd}");
    }
    let mut claims = issuer.claims("u", NOW);
    claims["pad"] = json!("x".repeat(8_192));
    assert_refused(&issuers, &issuer.key.token(&claims), InvalidToken::TooLong).await;
}

#[tokio::test]
async fn a_claim_or_header_that_comes_twice() {
    let (issuer, issuers) = stage().await;
    let key = &issuer.key;
    let raw = |header: &str, claims: &str| {
        use base64::Engine;
        let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        format!("{message}.{}", b64(&key.sign(message.as_bytes())))
    };
    let header = r#"{"alg":"ES256","kid":"key-1"}"#;
    let claims = issuer.claims("u", NOW).to_string();
    assert!(verdict(&issuers, &raw(header, &claims)).await.is_ok());
    let twice = claims.replace(r#""sub":"u""#, r#""sub":"u","sub":"root""#);
    assert_refused(&issuers, &raw(header, &twice), InvalidToken::Malformed).await;
    let header_twice = r#"{"alg":"none","kid":"key-1","alg":"ES256"}"#;
    assert_refused(&issuers, &raw(header_twice, &claims), InvalidToken::Malformed).await;
    for odd in ["[]", "null", "7", "", "{", r#"["ES256","key-1",null]"#] {
        assert_refused(&issuers, &raw(odd, &claims), InvalidToken::Malformed).await;
        assert_refused(&issuers, &raw(header, odd), InvalidToken::Malformed).await;
    }
}

#[tokio::test]
async fn a_header_never_says_where_the_key_is() {
    let (issuer, issuers) = stage().await;
    let attacker = TestIssuer::start().await;
    let claims = issuer.claims("u", NOW);
    for (name, value) in [
        ("jku", json!(format!("{}/jwks", attacker.url))),
        ("x5u", json!(format!("{}/jwks", attacker.url))),
        ("jwk", attacker.key.jwk()),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
        ("crit", Value::Null),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "key-1"});
        header[name] = value;
        for key in [&issuer.key, &attacker.key] {
            let forged = token(&header, &claims, |message| key.sign(message));
            assert_refused(&issuers, &forged, InvalidToken::Header).await;
        }
    }
    assert_eq!(attacker.asked("/jwks"), 0);
    let logout =
        token(&json!({"alg": "ES256", "kid": "key-1", "typ": "logout+jwt"}), &claims, |m| issuer.key.sign(m));
    assert_refused(&issuers, &logout, InvalidToken::Type).await;
}

#[tokio::test]
async fn the_key_of_one_issuer_does_not_speak_for_another() {
    let (mut a, mut b) = (TestIssuer::start().await, TestIssuer::start().await);
    a.rotate(TestKey::es256("a"));
    b.rotate(TestKey::es256("b"));
    let issuers = issuers(&[a.setting(), b.setting()]);
    assert!(verdict(&issuers, &a.token("u", NOW)).await.is_ok());
    assert!(verdict(&issuers, &b.token("u", NOW)).await.is_ok());
    // B signs in A's name, under its own kid, under A's, under none.
    let claims = a.claims("u", NOW);
    assert_refused(&issuers, &b.key.token(&claims), InvalidToken::UnknownKey).await;
    let under = |header: Value| token(&header, &claims, |message| b.key.sign(message));
    assert_refused(&issuers, &under(json!({"alg": "ES256", "kid": "a"})), InvalidToken::Signature).await;
    assert_refused(&issuers, &under(json!({"alg": "ES256"})), InvalidToken::Signature).await;
    // An issuer we never heard of is not asked for its keys.
    let stranger = TestIssuer::start().await;
    assert_refused(&issuers, &stranger.token("u", NOW), InvalidToken::UnknownIssuer).await;
    assert_eq!(stranger.asked("/jwks"), 0);
}
