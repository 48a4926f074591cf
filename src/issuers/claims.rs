//! What the claims of a token must say before it counts. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};

use super::config::IssuerConfig;
use super::refusal::InvalidToken;

/// How far an issuer's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
const MAX_TEXT: usize = 255;

/// What a verified token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    pub issuer: String,
    /// Unique within the issuer only.
    pub subject: String,
    /// As the issuer wrote it: whoever compares it applies the one rule for e-mail addresses first.
    pub email: Option<String>,
    /// True only if the issuer says so of an address that is there.
    pub email_verified: bool,
    pub name: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// The claims as they stand in the token. Serde refuses a claim that comes twice.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    #[serde(deserialize_with = "instant")]
    exp: DateTime<Utc>,
    #[serde(default, deserialize_with = "instant_if_present")]
    nbf: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "instant_if_present")]
    iat: Option<DateTime<Utc>>,
    email: Option<String>,
    /// Some issuers write "true": that is a string, and no statement.
    #[serde(default)]
    email_verified: serde_json::Value,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    fn includes(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }
}

/// Seconds since 1970, with a fraction or without. Anything else is an error and never "absent".
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    // The cast saturates, and what chrono cannot hold is refused.
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are all we compare")]
    let seconds = number.as_i64().or_else(|| number.as_f64().map(|float| float.floor() as i64));
    seconds
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or_else(|| serde::de::Error::custom("not an instant"))
}

fn instant_if_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    instant(deserializer).map(Some)
}

/// Checks everything but the signature.
pub(super) fn check(
    claims: &Claims,
    config: &IssuerConfig,
    now: DateTime<Utc>,
) -> Result<VerifiedToken, InvalidToken> {
    if claims.iss != config.issuer {
        return Err(InvalidToken::UnknownIssuer);
    }
    if !claims.aud.includes(&config.audience) {
        return Err(InvalidToken::Audience);
    }
    // On the side of `now`: a claim at the end of time must not overflow.
    if claims.exp <= now - LEEWAY {
        return Err(InvalidToken::Expired);
    }
    if [claims.nbf, claims.iat].into_iter().flatten().any(|from| from > now + LEEWAY) {
        return Err(InvalidToken::NotYetValid);
    }
    let subject = plain_text(&claims.sub).ok_or(InvalidToken::Subject)?;
    let email = claims.email.as_deref().and_then(plain_text);
    Ok(VerifiedToken {
        issuer: config.issuer.clone(),
        subject,
        email_verified: email.is_some() && claims.email_verified == true,
        email,
        name: claims.name.as_deref().and_then(plain_text),
        expires_at: claims.exp,
    })
}

/// 1 to 255 characters, none of them a control character.
fn plain_text(text: &str) -> Option<String> {
    let fits = (1..=MAX_TEXT).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn verdict(change: &Value) -> Result<VerifiedToken, InvalidToken> {
        let mut claims = json!({"iss": "https://a.example", "aud": "tenure", "sub": "u1", "exp": NOW + 300});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let config =
            IssuerConfig { issuer: "https://a.example".into(), audience: "tenure".into(), jwks_url: None };
        let claims: Claims = serde_json::from_value(claims).map_err(|_| InvalidToken::Malformed)?;
        check(&claims, &config, DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        for fine in [
            json!({"exp": NOW - 59}),
            json!({"exp": 253_402_300_799_i64}),
            json!({"exp": 1_800_000_300.75}),
            json!({"exp": 1.8e9}),
            json!({"nbf": NOW + 60}),
            json!({"iat": NOW + 60}),
        ] {
            assert!(verdict(&fine).is_ok(), "{fine}");
        }
        for late in [json!({"exp": NOW - 60}), json!({"exp": 0}), json!({"exp": -1})] {
            assert_eq!(verdict(&late), Err(InvalidToken::Expired), "{late}");
        }
        for early in [json!({"nbf": NOW + 61}), json!({"iat": NOW + 61}), json!({"nbf": 99_999_999_999_i64})]
        {
            assert_eq!(verdict(&early), Err(InvalidToken::NotYetValid), "{early}");
        }
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_never_taken_as_absent() {
        for name in ["exp", "nbf", "iat"] {
            for odd in [
                json!("1900000000"),
                json!(null),
                json!([NOW]),
                json!({}),
                json!(true),
                json!(1e300),
                json!(u64::MAX),
            ] {
                assert_eq!(verdict(&json!({ name: odd })), Err(InvalidToken::Malformed), "{name} {odd}");
            }
        }
        for odd in
            [json!({"aud": 7}), json!({"aud": [7]}), json!({"sub": 7}), json!({"iss": ["https://a.example"]})]
        {
            assert_eq!(verdict(&odd), Err(InvalidToken::Malformed), "{odd}");
        }
    }

    #[test]
    fn audience_and_issuer_are_exact() {
        assert!(verdict(&json!({"aud": ["other", "tenure"]})).is_ok());
        for aud in [
            json!("Tenure"),
            json!("tenure "),
            json!(""),
            json!([]),
            json!(["tenure2"]),
            json!("other,tenure"),
        ] {
            assert_eq!(verdict(&json!({ "aud": aud })), Err(InvalidToken::Audience), "{aud}");
        }
        for iss in ["https://a.example/", "HTTPS://a.example", "https://a.example.evil", ""] {
            assert_eq!(verdict(&json!({ "iss": iss })), Err(InvalidToken::UnknownIssuer), "{iss}");
        }
    }

    #[test]
    fn subject_and_the_rest() {
        for sub in [json!(""), json!("a\u{0}b"), json!("a\nb"), json!("x".repeat(256))] {
            assert_eq!(verdict(&json!({ "sub": sub })), Err(InvalidToken::Subject), "{sub}");
        }
        assert!(verdict(&json!({"sub": "ö".repeat(255)})).is_ok());
        let full = verdict(&json!({"email": "a@x.example", "email_verified": true, "name": "Zoë"})).unwrap();
        assert_eq!((full.email.as_deref(), full.email_verified), (Some("a@x.example"), true));
        assert_eq!(full.name.as_deref(), Some("Zoë"));
        for unproven in [json!(false), json!("true"), json!(1), json!(null)] {
            let token = verdict(&json!({"email": "a@x.example", "email_verified": unproven})).unwrap();
            assert!(!token.email_verified, "{unproven}");
        }
        let forged = verdict(&json!({"email": "a@x.example\r\nBcc: b", "email_verified": true})).unwrap();
        assert_eq!((forged.email, forged.email_verified), (None, false));
    }
}
