//! What Standard Webhooks says goes with a webhook, so that its receiver knows whom it is from.

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue, USER_AGENT};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use standardwebhooks::{Webhook, WebhookError};
use tenure_aggregates::Time;
use uuid::Uuid;

pub const CONTENT: &str = "application/cloudevents+json; charset=utf-8";
pub const AGENT: &str = concat!("Tenure-Webhooks/", env!("CARGO_PKG_VERSION"));

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("a webhook cannot be signed: {0}")]
    Secret(#[from] WebhookError),
    #[error("a webhook's headers cannot be written: {0}")]
    Header(#[from] InvalidHeaderValue),
}

/// The headers of a webhook: who it is known as, when it was sent, and one signature for each secret (`whsec_…`).
pub fn headers(
    event_id: Uuid,
    sent_at: Time,
    secrets: &[String],
    body: &[u8],
) -> Result<HeaderMap, SignatureError> {
    let (id, timestamp) = (event_id.to_string(), sent_at.timestamp());
    let signed = secrets.iter().map(|secret| Webhook::new(secret)?.sign(&id, timestamp, body));
    let signatures = signed.collect::<Result<Vec<_>, _>>()?.join(" ");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(HeaderName::from_static(HEADER_WEBHOOK_ID), HeaderValue::from_str(&id)?);
    headers.insert(HeaderName::from_static(HEADER_WEBHOOK_TIMESTAMP), HeaderValue::from(timestamp));
    headers.insert(HeaderName::from_static(HEADER_WEBHOOK_SIGNATURE), HeaderValue::from_str(&signatures)?);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn agrees_with_the_example_of_the_specification() {
        // Of the Standard Webhooks reference libraries.
        let sent = Time::from_timestamp(1_614_265_330, 0).unwrap();
        let signed = Webhook::new(OLD).unwrap();
        let signed =
            signed.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent.timestamp(), br#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs_and_no_other_verifies() {
        let (id, now, body) = (Uuid::from_u128(7), crate::clock::now(), br#"{"a":1}"#);
        let headers = headers(id, now, &[NEW.to_owned(), OLD.to_owned()], body).unwrap();
        assert_eq!(headers["webhook-id"], id.to_string());
        assert_eq!(headers["webhook-timestamp"], now.timestamp().to_string());
        assert_eq!(headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2);
        for secret in [NEW, OLD] {
            let receiver = Webhook::new(secret).unwrap();
            assert!(receiver.verify(body, &headers).is_ok());
            assert!(receiver.verify(br#"{"a":2}"#, &headers).is_err());
        }
        let stranger = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert!(stranger.verify(body, &headers).is_err());
    }

    #[test]
    fn a_secret_that_is_none_signs_nothing() {
        assert!(headers(Uuid::nil(), Time::UNIX_EPOCH, &["whsec_?".to_owned()], b"{}").is_err());
    }
}
