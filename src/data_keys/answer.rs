//! Answers kept for idempotency keys: sealed under a key derived from the root key, until they are forgotten in time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenure_aggregates::Time;

use super::wrapped::{decrypt, encrypt};
use crate::store::idempotency::KeyScope;

const PREFIX: &str = "sealed:";

/// Seals kept answers.
#[derive(Clone)]
pub struct AnswerKey([u8; 32]);

impl std::fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerKey([redacted])")
    }
}

impl AnswerKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The answer as it is stored, with the instant its command was decided at.
    pub fn seal(&self, scope: &KeyScope, decided: Time, answer: &str) -> String {
        let text = format!("{}\n{answer}", decided.timestamp_micros());
        let bytes = encrypt(&self.0, &bound_to(scope), text.as_bytes());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The answer, and when its command was decided; `None` if it was not sealed for this request's key.
    pub fn open(&self, scope: &KeyScope, stored: &str) -> Option<(Time, String)> {
        let bytes = URL_SAFE_NO_PAD.decode(stored.strip_prefix(PREFIX)?).ok()?;
        let text = String::from_utf8(decrypt(&self.0, &bound_to(scope), &bytes)?).ok()?;
        let (decided, answer) = text.split_once('\n')?;
        Some((Time::from_timestamp_micros(decided.parse().ok()?)?, answer.to_owned()))
    }
}

fn bound_to(scope: &KeyScope) -> Vec<u8> {
    [scope.workspace.as_bytes(), scope.principal.as_bytes(), &[0], scope.key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(key: &str) -> KeyScope {
        KeyScope {
            workspace: uuid::Uuid::from_u128(1),
            principal: "user:ada".to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn opens_for_the_same_key_only() {
        let (key, decided) = (AnswerKey::new([1; 32]), Time::UNIX_EPOCH);
        let stored = key.seal(&scope("k"), decided, "{\"email\":\"bob@acme.com\"}\n");
        assert!(!stored.contains("bob"));
        let (at, answer) = key.open(&scope("k"), &stored).unwrap();
        assert_eq!((at, answer.as_str()), (decided, "{\"email\":\"bob@acme.com\"}\n"));
        assert_eq!(key.open(&scope("other"), &stored), None);
        assert_eq!(AnswerKey::new([2; 32]).open(&scope("k"), &stored), None);
        assert!(!format!("{key:?}").contains('1'));
    }
}
