//! A command's answer, as it is kept with an idempotency key: complete but for secrets, which are made again.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::store::{Failure, StoreError};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Secrets that belong into the body when it is sent. No secret is ever kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
}

/// How to make a secret again, and where in the body it belongs (a JSON pointer to the object).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Secret {
    InvitationToken { at: String, invitation: Uuid, generation: u32 },
    InviteCode { at: String, workspace: Uuid, nonce: Uuid },
    ApiKey { at: String, workspace: Uuid, nonce: Uuid },
    WebhookSecret { at: String, endpoint: Uuid, generation: u32 },
}

impl Answer {
    /// An answer whose body is a resource.
    pub fn of(status: u16, etag: i64, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_value(body).map_err(|error| StoreError::Internal(error.to_string()))?;
        Ok(Self { status, etag: Some(etag), location: None, body: Some(body), secrets: Vec::new() })
    }

    /// An answer that says only that it was done.
    pub fn no_content() -> Self {
        Self { status: 204, etag: None, location: None, body: None, secrets: Vec::new() }
    }

    #[must_use]
    pub fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// The text that is kept.
    pub fn to_text(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| StoreError::Internal(error.to_string()).into())
    }

    pub fn from_text(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|error| StoreError::Internal(error.to_string()).into())
    }
}
