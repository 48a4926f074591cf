//! What every command over HTTP shares: the caller, the idempotency key, the precondition, and the answer's way out.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tenure_aggregates::WorkspaceId;
use uuid::Uuid;

use super::App;
use super::admission;
use super::base::conditional::{IdempotencyKey, IfMatch, TENURE_POSITION, etag};
use super::base::problem::Problem;
use super::base::query::{NoQuery, Query};
use super::caller::Caller;
use super::witness::Witness;
use crate::clock;
use crate::commands::{Precondition, upkeep};
use crate::overload::Lane;
use crate::resources::{Answer, Secret};
use crate::secrets::{api_key, invitation_token, invite_code, webhook_secret};
use crate::store::idempotency::{KeyScope, RequestKey};
use crate::store::retry::{Command, Done};
use crate::store::{Failure, Origin, Refusal, StoreError};

pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An authenticated request to do something.
#[derive(Debug)]
pub struct Act {
    pub app: Arc<App>,
    pub caller: Caller,
    pub precondition: Precondition,
    pub witness: Witness,
    key: Option<String>,
    method: String,
    path: String,
    lane: Lane,
}

impl FromRequestParts<Arc<App>> for Act {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        NoQuery::from_request_parts(parts, app).await?;
        Self::of(caller, parts, app).await
    }
}

/// A command whose terms stand in the query, for a method that has no body.
#[derive(Debug)]
pub struct QueriedAct<Q>(pub Act, pub Q);

impl<Q> FromRequestParts<Arc<App>> for QueriedAct<Q>
where
    Q: DeserializeOwned + Validate<Context = ()> + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Query(query) = Query::from_request_parts(parts, app).await?;
        Ok(Self(Act::of(caller, parts, app).await?, query))
    }
}

impl Act {
    async fn of(caller: Caller, parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, app).await?;
        let precondition = match IfMatch::from_request_parts(parts, app).await? {
            IfMatch::Absent => Precondition::None,
            IfMatch::Any => Precondition::Any,
            IfMatch::OneOf(seen) => {
                Precondition::OneOf(seen.into_iter().filter_map(|seen| i64::try_from(seen).ok()).collect())
            }
        };
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |whole| whole.as_str());
        let (method, path) = (parts.method.to_string(), path.to_owned());
        let witness = Witness::of(parts);
        let lane = admission::lane(parts);
        Ok(Self { app: app.clone(), caller, precondition, witness, key, method, path, lane })
    }
}

impl Act {
    pub fn origin(&self) -> Arc<Origin> {
        self.caller.0.clone()
    }

    /// For requests that change nothing.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// The idempotency key, bound to this request; `workspace` is the one the path names.
    pub fn key(&self, workspace: Option<WorkspaceId>, body: &[u8]) -> Option<Arc<RequestKey>> {
        let key = self.key.clone()?;
        let mut digest = Sha256::new();
        for part in [self.method.as_bytes(), self.path.as_bytes(), body] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let scope = KeyScope {
            workspace: workspace.map_or(Uuid::nil(), Uuid::from),
            principal: self.caller.0.principal(),
            key,
        };
        Some(Arc::new(RequestKey::new(scope, digest.finalize().into())))
    }

    /// Runs a command to its end, whether or not the client stays to hear of it.
    pub async fn run<C>(
        &self,
        workspace: Option<WorkspaceId>,
        body: &[u8],
        command: C,
    ) -> Result<Outcome, Problem>
    where
        C: Command + 'static,
    {
        self.witness.commands(C::NAME);
        let (app, origin, key) = (self.app.clone(), self.origin(), self.key(workspace, body));
        let turn = self.app.admission.commands(self.lane).await?;
        let started = std::time::Instant::now();
        let done = tokio::spawn(async move {
            let _turn = turn;
            let done = app.store.run(&command, origin.clone(), key.clone(), clock::now).await;
            match done {
                // Perhaps a seat is held by somebody whose time has come, and only nobody has recorded it yet; or
                // somebody else did just now, so that there is nothing left to record, and yet a seat.
                Err(Failure::Refused(refusal)) if refusal.code == "seats_exhausted" => {
                    // Whose time has come is read from the read models, which must know of everybody.
                    let known = *app.store.position().borrow();
                    app.reads.wait_for(known).await?;
                    upkeep::record_expiries(&app.store, &app.projector_pool, refusal.workspace).await?;
                    app.store.run(&command, origin, key, clock::now).await
                }
                other => other,
            }
        });
        let done = done.await.map_err(|_| Problem::from(StoreError::OutcomeUnknown))?;
        let done = done.map_err(|failure| match failure {
            Failure::Store(StoreError::Overloaded) => {
                admission::turned_away(self.app.store.seconds_to_drain())
            }
            other => other.into(),
        })?;
        metrics::histogram!("tenure_command_seconds").record(started.elapsed());
        self.outcome(&done)
    }

    pub fn outcome(&self, done: &Done) -> Result<Outcome, Problem> {
        let answer = Answer::from_text(&done.committed.answer)?;
        if let Some(refusal) = done.refusal.as_ref().filter(|refusal| refusal.code == "unauthenticated") {
            return Err(refusal.clone().into());
        }
        // Whoever has lost the right to be told a secret is not told it again.
        let lost = |refusal: &&Refusal| matches!(refusal.code, "permission_denied" | "not_found");
        if let Some(refusal) = done.refusal.as_ref().filter(lost)
            && !answer.secrets.is_empty()
        {
            return Err(refusal.clone().into());
        }
        let answer = answer.complete(|secret| self.make(secret))?;
        Ok(Outcome { answer, position: done.committed.position, replayed: done.replayed })
    }

    /// Makes a secret again, and names it. It is nowhere else.
    fn make(&self, secret: &Secret) -> (&'static str, String) {
        let keys = &self.app.keys;
        match secret {
            Secret::InvitationToken { invitation, generation, .. } => {
                ("token", invitation_token::issue(&keys.invitation_token, *invitation, *generation))
            }
            Secret::InviteCode { workspace, nonce, .. } => {
                ("code", invite_code::issue(&keys.invite_code, *workspace, *nonce))
            }
            Secret::ApiKey { workspace, nonce, .. } => {
                ("key", api_key::issue(&keys.api_key, *workspace, *nonce))
            }
            Secret::WebhookSecret { endpoint, generation, .. } => {
                ("secret", webhook_secret::issue(&keys.webhook_secret, *endpoint, *generation))
            }
        }
    }
}

/// A command's answer on its way out.
#[derive(Debug)]
pub struct Outcome {
    answer: Answer,
    pub position: i64,
    replayed: bool,
}

impl Outcome {
    /// Whether the answer is that of an earlier request with the same idempotency key.
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// What the command answered.
    pub fn read_body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(self.answer.read_body()?)
    }

    /// Says it in another way.
    pub fn with_body(mut self, body: &impl Serialize) -> Result<Self, Problem> {
        self.answer = self.answer.with_body(body)?;
        Ok(self)
    }

    /// Where nothing changed, the answer is the resource as it stands, which only the read model can tell.
    pub async fn or_read<T: Serialize>(
        mut self,
        read: impl Future<Output = Result<(i64, T), Problem>>,
    ) -> Result<Response, Problem> {
        if self.answer.body.is_none() && self.answer.status == 200 {
            let (sequence, body) = read.await?;
            self.answer = self.answer.with_body(&body)?;
            self.answer.etag = Some(sequence);
        }
        Ok(self.into_response())
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let Answer { status, etag: sequence, location, body, .. } = self.answer;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let mut response = match body {
            Some(body) => (status, axum::Json(body)).into_response(),
            None => status.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(TENURE_POSITION, HeaderValue::from(self.position));
        if let Some(sequence) = sequence.and_then(|sequence| u64::try_from(sequence).ok()) {
            headers.insert(ETAG, etag(sequence));
        }
        if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            headers.insert(LOCATION, location);
        }
        if self.replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
