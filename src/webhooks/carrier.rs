//! Carries what is due to endpoints: renders the event, signs it, sends it, and says what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::TimeDelta;
use hyper::{HeaderMap, StatusCode};
use sqlx::PgPool;
use tenure_aggregates::WebhookEndpointId;
use tenure_aggregates::webhook_endpoint::Disabling;
use url::Url;

use super::give_up::GiveUpWebhookEndpoint;
use super::retry_after::retry_after;
use super::{Answer, Client, Unanswered, reply, signature};
use crate::clock;
use crate::data_keys::{Owner, Vault};
use crate::deliveries::content::event_at;
use crate::deliveries::outbox::Outbox;
use crate::deliveries::target::{Target, TargetKey};
use crate::deliveries::{Carrier, Channel, Due, Outcome, Report, Retry, Times, Trigger};
use crate::feeds::CloudEvent;
use crate::secrets::{WebhookSecretKey, webhook_secret};
use crate::store::{Failure, Origin, Store, StoreError};

const UNREACHABLE_LOG: &str = "database";
const UNREADABLE: &str = "event_unreadable";
const DISABLED: &str = "endpoint_disabled";

/// Carries webhooks.
#[derive(Debug)]
pub struct WebhookCarrier {
    client: Client,
    /// Reads the log and the targets of all tenants.
    projector: PgPool,
    vault: Vault,
    store: Store,
    target_key: TargetKey,
    secrets: WebhookSecretKey,
    times: Times,
}

/// An event as it is sent.
struct Letter {
    body: Bytes,
    /// Whose key what comes back is sealed with.
    owner: Owner,
}

/// What one sending came to.
struct Sent {
    answer: Result<Answer, Unanswered>,
    latency: Duration,
}

impl WebhookCarrier {
    pub fn new(client: Client, outbox: &Outbox, store: Store, secrets: WebhookSecretKey) -> Self {
        Self {
            client,
            projector: outbox.projector.clone(),
            vault: outbox.vault.clone(),
            store,
            target_key: outbox.target_key.clone(),
            secrets,
            times: outbox.times.clone(),
        }
    }

    async fn attempt(&self, due: &Due) -> Result<Outcome, StoreError> {
        let target = Target::load(&self.projector, &self.target_key, due.workspace.0, due.lane).await?;
        let wanted = |target: &Target| target.enabled || due.trigger == Trigger::Test;
        let Some(target) = target.filter(wanted) else { return Ok(Outcome::Cancelled(DISABLED)) };
        let letter = match self.letter(due).await {
            Ok(letter) => letter,
            Err(error @ StoreError::Corrupt(_)) => return Ok(unreadable(due, &error)),
            Err(error) => return Err(error),
        };
        let headers = self.headers(due, &target, &letter)?;
        let sent = self.send(&target, headers, letter.body.clone()).await;
        self.tell(due, &target, &letter, sent).await
    }

    /// The event as it reads now: what was forgotten meanwhile is not told any more.
    async fn letter(&self, due: &Due) -> Result<Letter, StoreError> {
        let opened = event_at(&self.projector, &self.vault, due.position).await?;
        let owner = reply::owner(&opened.logged);
        let event = CloudEvent::of(opened)?;
        let body = serde_json::to_vec(&event).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Letter { body: body.into(), owner })
    }

    fn headers(&self, due: &Due, target: &Target, letter: &Letter) -> Result<HeaderMap, StoreError> {
        let now = clock::now();
        let issue = |generation| webhook_secret::issue(&self.secrets, target.endpoint, generation);
        let secrets: Vec<String> = target.signing(now).map(issue).collect();
        signature::headers(due.event_id, now, &secrets, &letter.body)
            .map_err(|error| StoreError::Internal(error.to_string()))
    }

    async fn send(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Sent {
        let begun = Instant::now();
        let answer = match Url::parse(&target.url) {
            Ok(url) => self.client.post(&url, headers, body).await,
            Err(_) => Err(Unanswered::Url),
        };
        Sent { answer, latency: begun.elapsed() }
    }

    /// What came of it, and what that means for the endpoint.
    async fn tell(
        &self,
        due: &Due,
        target: &Target,
        letter: &Letter,
        sent: Sent,
    ) -> Result<Outcome, StoreError> {
        let report = self.report(due, letter, &sent).await;
        let Some(retry) = retry(&sent.answer) else {
            self.note_success(target).await;
            return Ok(Outcome::Delivered(report));
        };
        // An endpoint that is disabled is only tried out: nothing follows from that.
        let because = if target.enabled { self.given_up(target, retry).await } else { None };
        let retry = match because {
            // Where it cannot be disabled now, the next attempt will.
            Some(because) if !self.give_up(due, because).await => Retry::Scheduled,
            Some(_) => Retry::Never,
            None => retry,
        };
        Ok(Outcome::Failed(report, retry))
    }

    async fn report(&self, due: &Due, letter: &Letter, sent: &Sent) -> Report {
        let latency = sent.latency;
        let answer = match &sent.answer {
            Ok(answer) => answer,
            Err(why) => return Report { reason: Some(why.to_string()), latency, ..Report::default() },
        };
        let status = answer.status;
        let reason = (!status.is_success()).then(|| format!("http_{}", status.as_u16()));
        Report { status: Some(status.as_u16()), reason, latency, reply: self.kept(due, letter, answer).await }
    }

    /// What is kept of a reply: nothing of what came from a network that nobody outside should see into.
    async fn kept(&self, due: &Due, letter: &Letter, answer: &Answer) -> Option<String> {
        if answer.private {
            return None;
        }
        let sealed = reply::seal(&self.vault, letter.owner, due.id, due.attempt, &answer.reply).await;
        sealed.unwrap_or_else(|error| {
            tracing::warn!(delivery = %due.id, %error, "a reply cannot be sealed, and is not kept");
            None
        })
    }

    async fn note_success(&self, target: &Target) {
        if let Err(error) = target.succeeded(&self.projector).await {
            tracing::warn!(endpoint = %target.endpoint, %error, "that a webhook arrived cannot be noted");
        }
    }

    /// Why the endpoint is to be disabled, if it is.
    async fn given_up(&self, target: &Target, retry: Retry) -> Option<Disabling> {
        if retry == Retry::Never {
            return Some(Disabling::Gone);
        }
        let now = clock::now();
        let since = target.failed(&self.projector, now).await.unwrap_or_else(|error| {
            tracing::warn!(endpoint = %target.endpoint, %error, "that a webhook failed cannot be noted");
            now
        });
        let failing = TimeDelta::from_std(self.times.failing).unwrap_or(TimeDelta::MAX);
        // The first failure begins the span, however short it is.
        (since < now && now - since >= failing).then_some(Disabling::Failing)
    }

    /// Disables the endpoint; whether there is nothing left to disable.
    async fn give_up(&self, due: &Due, because: Disabling) -> bool {
        let endpoint = WebhookEndpointId(due.lane);
        let command = GiveUpWebhookEndpoint { workspace: due.workspace, endpoint, because };
        let origin = Origin { causation_id: Some(due.event_id.to_string()), ..Origin::system() };
        match self.store.run(&command, Arc::new(origin), None, clock::now).await {
            // Deleted meanwhile, or with its workspace.
            Ok(_) | Err(Failure::Refused(_)) => true,
            Err(error) => {
                tracing::warn!(%endpoint, ?error, "a webhook endpoint cannot be disabled; trying again later");
                false
            }
        }
    }
}

impl Carrier for WebhookCarrier {
    const CHANNEL: Channel = Channel::Webhook;
    const AT_ONCE: usize = 256;
    const PER_LANE: usize = 4;

    fn schedule(&self) -> &[Duration] {
        &self.times.webhook_schedule
    }

    async fn carry(&self, due: &Due) -> Outcome {
        self.attempt(due).await.unwrap_or_else(|error| {
            tracing::warn!(delivery = %due.id, %error, "a webhook cannot be sent now");
            Outcome::NotNow(UNREACHABLE_LOG)
        })
    }
}

/// Not the receiver's fault: it is tried as often as any other, and nothing follows for the endpoint.
fn unreadable(due: &Due, error: &StoreError) -> Outcome {
    tracing::error!(position = due.position, %error, "an event cannot be read, and is not delivered");
    let report = Report { reason: Some(UNREADABLE.to_owned()), ..Report::default() };
    Outcome::Failed(report, Retry::Scheduled)
}

/// When it is tried again; none where it arrived.
fn retry(answer: &Result<Answer, Unanswered>) -> Option<Retry> {
    let Ok(answer) = answer else { return Some(Retry::Scheduled) };
    match answer.status {
        status if status.is_success() => None,
        StatusCode::GONE => Some(Retry::Never),
        _ => Some(retry_after(&answer.headers, clock::now()).map_or(Retry::Scheduled, Retry::After)),
    }
}
