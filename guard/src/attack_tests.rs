//! What a session token must not get away with (attack 14).

use ring::hmac;
use serde_json::{Value, json};

use crate::testing::{ELSEWHERE, ISSUER, NOW, TestKey, WORKSPACE, at, claims, keys, now, token, without};
use crate::{AUDIENCE, InvalidToken, Refusal, Session, Verifier, WorkspaceKind, WorkspaceStatus};

fn verdict(key: &TestKey, token: &str) -> Result<Session, Refusal> {
    key.verifier().verify(token, now())
}

#[track_caller]
fn assert_refused(key: &TestKey, token: &str, why: InvalidToken) {
    assert_eq!(verdict(key, token).err(), Some(Refusal::Unauthenticated(why)), "{token}");
}

#[test]
fn a_session_says_who_where_and_until_when() {
    let session = TestKey::new("k").session(&json!({"gen": 3, "workspace_kind": "personal"}));
    assert_eq!((session.user_id(), session.role(), session.generation()), ("ada", "member", 3));
    assert_eq!((session.workspace_id(), session.session_id().as_u128()), (WORKSPACE, 7));
    assert_eq!(session.workspace_kind(), WorkspaceKind::Personal);
    assert_eq!(session.workspace_status(), WorkspaceStatus::Active);
    assert_eq!(session.expires_at(), at(NOW + 300));
}

#[test]
fn only_eddsa_by_a_known_key() {
    let key = TestKey::new("k");
    let claims = claims(&json!({})).to_string();
    let signed_as = |alg: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let header = json!({"alg": alg, "typ": "JWT", "kid": "k"}).to_string();
        token(&header, &claims, sign)
    };
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "RS256", "PS256", "ES256", "eddsa", "Ed25519"] {
        assert_refused(&key, &signed_as(json!(alg), &|_| Vec::new()), InvalidToken::Algorithm);
        assert_refused(&key, &signed_as(json!(alg), &|message| key.sign(message)), InvalidToken::Algorithm);
        // The public key as the secret.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public());
        let mac = |message: &[u8]| hmac::sign(&secret, message).as_ref().to_vec();
        assert_refused(&key, &signed_as(json!(alg), &mac), InvalidToken::Algorithm);
    }
    for alg in [json!(null), json!(7), json!(["EdDSA"]), json!({})] {
        assert_refused(&key, &signed_as(alg, &|message| key.sign(message)), InvalidToken::Malformed);
    }
    let stranger = TestKey::new("other");
    assert_refused(&key, &stranger.token(&crate::testing::claims(&json!({}))), InvalidToken::UnknownKey);
    let impostor = TestKey::new("k");
    assert_refused(&key, &impostor.token(&crate::testing::claims(&json!({}))), InvalidToken::Signature);
    assert_refused(&key, &signed_as(json!("EdDSA"), &|_| Vec::new()), InvalidToken::Signature);
    assert_refused(&key, &signed_as(json!("EdDSA"), &|_| vec![0; 64]), InvalidToken::Signature);
}

#[test]
fn a_header_never_says_where_the_key_is_and_names_its_own() {
    let (key, attacker) = (TestKey::new("k"), TestKey::new("k"));
    let claims = claims(&json!({})).to_string();
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5")),
        ("jwk", attacker.jwk()),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
        ("crit", json!(null)),
    ] {
        let mut header = key.header();
        header[name] = value;
        for signer in [&key, &attacker] {
            let forged = token(&header.to_string(), &claims, |message| signer.sign(message));
            assert_refused(&key, &forged, InvalidToken::Header);
        }
    }
    for typ in ["at+jwt", "logout+jwt", "jwt", ""] {
        let header = json!({"alg": "EdDSA", "typ": typ, "kid": "k"}).to_string();
        assert_refused(&key, &token(&header, &claims, |message| key.sign(message)), InvalidToken::Type);
    }
    for header in [
        json!({"alg": "EdDSA", "kid": "k"}),
        json!({"alg": "EdDSA", "typ": "JWT"}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": null}),
        json!({"alg": "EdDSA", "typ": 1, "kid": "k"}),
        json!({"typ": "JWT", "kid": "k"}),
        json!(["EdDSA", "JWT", "k", false]),
    ] {
        let unnamed = token(&header.to_string(), &claims, |message| key.sign(message));
        assert_refused(&key, &unnamed, InvalidToken::Malformed);
    }
}

#[test]
fn every_claim_must_be_there_and_of_its_type() {
    let key = TestKey::new("k");
    let needed = [
        "iss",
        "aud",
        "sub",
        "iat",
        "exp",
        "sid",
        "gen",
        "workspace_id",
        "workspace_kind",
        "workspace_status",
        "role",
    ];
    for name in needed {
        assert_refused(&key, &key.token(&without(name)), InvalidToken::Malformed);
        for odd in [json!(null), json!(true), json!([]), json!({}), json!(1.5), json!("\u{0}")] {
            let odd = key.token(&claims(&json!({ name: odd })));
            assert!(matches!(verdict(&key, &odd), Err(Refusal::Unauthenticated(_))), "{name} {odd}");
        }
    }
    for odd in [
        json!({"aud": ["tenure"]}),
        json!({"exp": (NOW + 300).to_string()}),
        json!({"exp": -1}),
        json!({"iat": 1.8e9}),
        json!({"nbf": null}),
        json!({"nbf": "1"}),
        json!({"gen": "1"}),
        json!({"sid": "7"}),
        json!({"workspace_id": 7}),
        json!({"workspace_kind": "Team"}),
        json!({"workspace_status": "deleted"}),
        json!({"permissions": null}),
        json!({"permissions": "invoices:read"}),
        json!({"permissions": ["invoices:read", 7]}),
        json!({"permissions": {}}),
        json!({"permissions_omitted": "true"}),
        json!({"permissions_omitted": null}),
    ] {
        assert_refused(&key, &key.token(&claims(&odd)), InvalidToken::Malformed);
    }
    for odd in [
        json!({"gen": 0}),
        json!({"sub": ""}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(256)}),
        json!({"role": ""}),
        json!({"exp": u64::MAX}),
        // A list, and no list.
        json!({"permissions_omitted": true}),
    ] {
        assert_refused(&key, &key.token(&claims(&odd)), InvalidToken::Claims);
    }
    // Only owner and admin are what they are without a list.
    for role in ["member", "moderator", "Owner", "accountant"] {
        let mut claims = without("permissions");
        claims["role"] = json!(role);
        assert_refused(&key, &key.token(&claims), InvalidToken::Claims);
    }
}

#[test]
fn issuer_and_audience_are_exact() {
    let key = TestKey::new("k");
    for iss in ["https://tenure.example/", "HTTPS://tenure.example", "https://tenure.example.evil", ""] {
        assert_refused(&key, &key.token(&claims(&json!({ "iss": iss }))), InvalidToken::Issuer);
    }
    for aud in ["Tenure", "tenure ", "", "tenure2", "other"] {
        assert_refused(&key, &key.token(&claims(&json!({ "aud": aud }))), InvalidToken::Audience);
    }
}

#[test]
fn clocks_may_differ_by_ten_seconds() {
    let key = TestKey::new("k");
    for fine in
        [json!({"exp": NOW - 9}), json!({"iat": NOW + 10}), json!({"nbf": NOW + 10}), json!({"nbf": 0})]
    {
        assert!(verdict(&key, &key.token(&claims(&fine))).is_ok(), "{fine}");
    }
    for late in [NOW - 10, NOW - 300, 0] {
        assert_refused(&key, &key.token(&claims(&json!({ "exp": late }))), InvalidToken::Expired);
    }
    for early in [json!({"iat": NOW + 11}), json!({"nbf": NOW + 11}), json!({"nbf": u64::MAX})] {
        assert_refused(&key, &key.token(&claims(&early)), InvalidToken::NotYetValid);
    }
    let before_time = at(0) - std::time::Duration::from_secs(1);
    let refused = key.verifier().verify(&key.token(&claims(&json!({}))), before_time);
    assert_eq!(refused.err(), Some(InvalidToken::NotYetValid.into()));
}

#[test]
fn nothing_may_come_twice() {
    let key = TestKey::new("k");
    let sign = |message: &[u8]| key.sign(message);
    let (header, claims) = (key.header().to_string(), claims(&json!({})).to_string());
    assert!(verdict(&key, &token(&header, &claims, sign)).is_ok());
    for (name, value) in [
        ("sub", json!("root")),
        ("role", json!("owner")),
        ("workspace_id", json!(ELSEWHERE)),
        ("permissions", json!(["invoices:approve"])),
        ("exp", json!(NOW + 9_000)),
    ] {
        let twice = claims.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        assert_refused(&key, &token(&header, &twice, sign), InvalidToken::Malformed);
    }
    let twice = header.replacen('{', r#"{"alg":"none","#, 1);
    assert_refused(&key, &token(&twice, &claims, sign), InvalidToken::Malformed);
}

#[test]
fn what_is_no_token() {
    let key = TestKey::new("k");
    let good = key.token(&claims(&json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let mut odd = vec![String::new(), ".".into(), "..".into(), "...".into(), "a.b.c".into(), "é.é.é".into()];
    odd.extend((1..good.len()).step_by(7).map(|end| good[..end].to_owned()));
    odd.extend([
        format!("{good}."),
        format!(".{good}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
    ]);
    odd.extend([format!("{}.{}.", parts[0], parts[1]), format!("{}..{}", parts[0], parts[2])]);
    odd.push(format!("{}.{}.{}.{}", parts[0], parts[1], parts[1], parts[2]));
    for odd in odd {
        assert!(matches!(verdict(&key, &odd), Err(Refusal::Unauthenticated(_))), "{odd}");
    }
    // One bit anywhere.
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let odd = String::from_utf8(bytes).unwrap();
        assert!(odd == good || verdict(&key, &odd).is_err(), "{odd}");
    }
    for odd in ["[]", "null", "7", "", "{", "\"EdDSA\""] {
        let sign = |message: &[u8]| key.sign(message);
        assert_refused(&key, &token(odd, &claims(&json!({})).to_string(), sign), InvalidToken::Malformed);
        assert_refused(&key, &token(&key.header().to_string(), odd, sign), InvalidToken::Malformed);
    }
    let long = key.token(&claims(&json!({"pad": "x".repeat(8_192)})));
    assert_refused(&key, &long, InvalidToken::TooLong);
}

#[test]
fn only_signing_keys_of_our_kind_count() {
    let key = TestKey::new("k");
    let good = key.token(&claims(&json!({})));
    for (name, odd) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("HS256")),
        ("kty", json!("oct")),
        ("crv", json!("X25519")),
        ("kid", json!(null)),
        ("x", json!("AAAA")),
    ] {
        let mut jwk = key.jwk();
        jwk[name] = odd;
        // Beside a key we can use, an odd one is left out and costs nothing.
        let other = TestKey::new("other");
        let verifier = Verifier::new(ISSUER, AUDIENCE, keys(&[jwk, other.jwk()]));
        assert_eq!(verifier.verify(&good, now()).err(), Some(InvalidToken::UnknownKey.into()), "{name}");
        assert!(verifier.verify(&other.token(&claims(&json!({}))), now()).is_ok());
    }
    // Two keys of one name, as in a rotation gone wrong, are both Tenure's.
    let twin = TestKey::new("k");
    let both = Verifier::new(ISSUER, AUDIENCE, keys(&[twin.jwk(), key.jwk()]));
    assert!(
        both.verify(&good, now()).is_ok() && both.verify(&twin.token(&claims(&json!({}))), now()).is_ok()
    );
}
