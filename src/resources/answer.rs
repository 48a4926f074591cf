//! A command's answer, as it is kept with an idempotency key: complete but for secrets, which are made again.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::store::{Failure, StoreError};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Already written: nobody looks into it but for its secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
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
        let answer = Self { status, etag: Some(etag), location: None, body: None, secrets: Vec::new() };
        answer.with_body(body)
    }

    /// An answer that says only that it was done.
    pub fn no_content() -> Self {
        Self { status: 204, etag: None, location: None, body: None, secrets: Vec::new() }
    }

    /// Says this, in place of whatever it said.
    pub fn with_body(self, body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { body: Some(to_raw_value(body).map_err(|error| internal(&error))?), ..self })
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
        serde_json::to_string(self).map_err(|error| internal(&error))
    }

    pub fn from_text(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|error| internal(&error))
    }

    /// What the body says; of an answer without one, what nothing says.
    pub fn read_body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let body = self.body.as_ref().map_or("null", |body| body.get());
        serde_json::from_str(body).map_err(|error| internal(&error))
    }

    /// The answer as it is sent: every secret made again by `make`, which names it and says it, and put where it belongs.
    pub fn complete(self, make: impl Fn(&Secret) -> (&'static str, String)) -> Result<Self, Failure> {
        if self.secrets.is_empty() {
            return Ok(self);
        }
        let mut body: Value = self.read_body()?;
        for secret in &self.secrets {
            let (name, value) = make(secret);
            if let Some(Value::Object(object)) = body.pointer_mut(secret.at()) {
                object.insert(name.to_owned(), value.into());
            }
        }
        Self { secrets: Vec::new(), ..self }.with_body(&body)
    }
}

impl Secret {
    fn at(&self) -> &str {
        match self {
            Self::InvitationToken { at, .. }
            | Self::InviteCode { at, .. }
            | Self::ApiKey { at, .. }
            | Self::WebhookSecret { at, .. } => at,
        }
    }
}

fn internal(error: &serde_json::Error) -> Failure {
    StoreError::Internal(error.to_string()).into()
}
