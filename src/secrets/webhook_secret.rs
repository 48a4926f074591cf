//! Webhook secrets: derived from the endpoint and its generation, so that none is ever stored; spelt as Standard
//! Webhooks says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::mac::MacKey;

pub const PREFIX: &str = "whsec_";
const LABEL: &[u8] = b"tenure webhook secret v1";

/// The key that derives webhook secrets.
#[derive(Clone, Debug)]
pub struct WebhookSecretKey(MacKey);

impl WebhookSecretKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(MacKey::new(key))
    }
}

/// The secret of this generation of the endpoint: always the same one, 32 bytes in Base64.
pub fn issue(key: &WebhookSecretKey, endpoint: Uuid, generation: u32) -> String {
    let secret: [u8; 32] = key.0.mac(&[LABEL, endpoint.as_bytes(), &generation.to_be_bytes()]);
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> WebhookSecretKey {
        WebhookSecretKey::new([7; 32])
    }

    #[test]
    fn is_repeatable_and_another_for_each_endpoint_and_generation() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let secret = issue(&key(), one, 1);
        assert_eq!(secret, issue(&key(), one, 1));
        assert_ne!(secret, issue(&key(), one, 2));
        assert_ne!(secret, issue(&key(), other, 1));
        assert_ne!(secret, issue(&WebhookSecretKey::new([8; 32]), one, 1));
    }

    #[test]
    fn is_spelt_as_standard_webhooks_says() {
        let secret = issue(&key(), Uuid::from_u128(1), 1);
        let bytes = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(bytes.len(), 32);
        assert!(standardwebhooks::Webhook::new(&secret).is_ok());
    }
}
