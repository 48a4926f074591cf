//! Webhook endpoints: create, change, rotate the secret, test, deliver again, delete.

use std::sync::Arc;

use chrono::Duration;
use tenure_aggregates::webhook_endpoint::{self, WebhookEndpointCommand};
use tenure_aggregates::{Permission, WebhookEndpoint, WebhookEndpointId, WorkspaceId};
use tenure_projections::{deliveries, webhook_endpoints};
use uuid::Uuid;

use super::Precondition;
use super::authorize::{Acting, authority};
use crate::deliveries::repeated;
use crate::reads::Reads;
use crate::resources::{self, Answer, DeliveryRequested, RedeliveryRequested, Secret};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, Refusal, StoreError, UnitOfWork};

/// So many endpoints a workspace may have. Those who create at the same instant may pass it by a few.
const MAX_ENDPOINTS: i64 = 50;

/// Creates an endpoint; the secret it is signed with is told once.
#[derive(Debug, Clone)]
pub struct CreateWebhook {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub url: String,
    pub events: Vec<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub reads: Reads,
    pub precondition: Precondition,
}

impl Command for CreateWebhook {
    const NAME: &'static str = "CreateWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::WebhooksManage)?;
        self.precondition.check_new()?;
        acting.workspace.writable()?;
        self.require_room().await?;
        unit.begin_stream::<WebhookEndpoint>(&stream);
        let create = WebhookEndpointCommand::Create {
            endpoint_id: self.id,
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            enabled: self.enabled,
            created_by: unit.origin().user().cloned(),
            now: unit.now(),
        };
        let endpoint = unit.execute::<WebhookEndpoint>(id, &stream, create).await?;
        let answer = describe(&unit, id, self.id, &endpoint, 201)?.with_secret(secret(self.id, &endpoint)?);
        unit.commit(answer.at(format!("/v1/workspaces/{id}/webhooks/{stream}")).to_text()?).await
    }
}

impl CreateWebhook {
    async fn require_room(&self) -> Result<(), Failure> {
        let mut tx = self.reads.workspace(self.workspace, None).await?;
        if webhook_endpoints::count(&mut tx).await.map_err(StoreError::from)? < MAX_ENDPOINTS {
            return Ok(());
        }
        let detail = format!("A workspace has at most {MAX_ENDPOINTS} webhook endpoints: delete one first.");
        Err(Refusal::new("too_many_webhooks", detail).into())
    }
}

/// Changes what is named, and enables or disables.
#[derive(Debug, Clone)]
pub struct ChangeWebhook {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub description: Option<Option<String>>,
    pub enabled: Option<bool>,
    pub precondition: Precondition,
}

impl Command for ChangeWebhook {
    const NAME: &'static str = "ChangeWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let before = manage(&mut unit, id, self.id, &self.precondition).await?;
        let change = WebhookEndpointCommand::Change {
            url: self.url.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            enabled: self.enabled,
        };
        let after = unit.execute::<WebhookEndpoint>(id, &stream, change).await?;
        let answer = if after == before {
            // When it last changed, only the read model can tell.
            Answer { status: 200, ..Answer::no_content() }
        } else {
            describe(&unit, id, self.id, &after, 200)?
        };
        unit.commit(answer.to_text()?).await
    }
}

/// Gives an endpoint a new secret; the old one signs, too, for the overlap.
#[derive(Debug, Clone)]
pub struct RotateWebhookSecret {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub overlap: Duration,
    pub precondition: Precondition,
}

impl Command for RotateWebhookSecret {
    const NAME: &'static str = "RotateWebhookSecret";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        manage(&mut unit, id, self.id, &self.precondition).await?;
        let rotate = WebhookEndpointCommand::RotateSecret { overlap: self.overlap, now: unit.now() };
        let endpoint = unit.execute::<WebhookEndpoint>(id, &stream, rotate).await?;
        let answer = describe(&unit, id, self.id, &endpoint, 200)?.with_secret(secret(self.id, &endpoint)?);
        unit.commit(answer.to_text()?).await
    }
}

/// Has this very command's event delivered, whatever the endpoint asks for, and also while it is disabled.
#[derive(Debug, Clone)]
pub struct TestWebhook {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub delivery_id: Uuid,
    pub precondition: Precondition,
}

impl Command for TestWebhook {
    const NAME: &'static str = "TestWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        manage(&mut unit, id, self.id, &self.precondition).await?;
        let test = WebhookEndpointCommand::Test { delivery_id: self.delivery_id };
        unit.execute::<WebhookEndpoint>(id, &stream, test).await?;
        let body = DeliveryRequested { delivery_id: self.delivery_id };
        let answer = Answer::of(202, unit.sequence_of::<WebhookEndpoint>(&stream), &body)?;
        unit.commit(answer.to_text()?).await
    }
}

/// What is delivered once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// What the endpoint asks for of a stretch of the workspace's history.
    Stretch { from_seq: i64, to_seq: i64 },
    /// One delivery of the endpoint, whatever it asks for by now.
    Delivery(Uuid),
}

/// Has something delivered once more.
#[derive(Debug, Clone)]
pub struct RedeliverWebhook {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub redelivery_id: Uuid,
    pub again: Again,
    pub reads: Reads,
    pub precondition: Precondition,
}

impl Command for RedeliverWebhook {
    const NAME: &'static str = "RedeliverWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        manage(&mut unit, id, self.id, &self.precondition).await?;
        let asked = self.asked().await?;
        let redeliver = WebhookEndpointCommand::Redeliver {
            redelivery_id: self.redelivery_id,
            from_seq: asked.from_seq,
            to_seq: asked.to_seq,
            delivery_id: match self.again {
                Again::Delivery(delivery) => Some(delivery),
                Again::Stretch { .. } => None,
            },
            // A history only grows.
            head: self.reads.end_of(id).await?.0,
        };
        unit.execute::<WebhookEndpoint>(id, &stream, redeliver).await?;
        let answer = Answer::of(202, unit.sequence_of::<WebhookEndpoint>(&stream), &asked)?;
        unit.commit(answer.to_text()?).await
    }
}

impl RedeliverWebhook {
    /// The stretch it comes to. A delivery of another endpoint is none.
    async fn asked(&self) -> Result<RedeliveryRequested, Failure> {
        let redelivery_id = self.redelivery_id;
        match self.again {
            Again::Stretch { from_seq, to_seq } => {
                Ok(RedeliveryRequested { redelivery_id, from_seq, to_seq, delivery_id: None })
            }
            Again::Delivery(delivery) => {
                let mut tx = self.reads.within(self.workspace).await?;
                let found = deliveries::find(&mut tx, self.id.0, delivery).await.map_err(StoreError::from)?;
                let found = found.ok_or_else(|| Refusal::new("not_found", "There is no such delivery."))?;
                let (from_seq, to_seq) = (found.workspace_seq, found.workspace_seq);
                let delivery_id = Some(repeated(redelivery_id, found.event_id));
                Ok(RedeliveryRequested { redelivery_id, from_seq, to_seq, delivery_id })
            }
        }
    }
}

/// Deletes an endpoint: nothing goes out to it from that position on.
#[derive(Debug, Clone)]
pub struct DeleteWebhook {
    pub workspace: WorkspaceId,
    pub id: WebhookEndpointId,
    pub precondition: Precondition,
}

impl Command for DeleteWebhook {
    const NAME: &'static str = "DeleteWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let acting = manager(&mut unit, id).await?;
        unit.load::<WebhookEndpoint>(id, &stream).await?;
        self.precondition.check::<WebhookEndpoint>(&unit, &stream)?;
        acting.workspace.writable()?;
        unit.execute::<WebhookEndpoint>(id, &stream, WebhookEndpointCommand::Delete).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

async fn manager(unit: &mut UnitOfWork, workspace: WorkspaceId) -> Result<Acting, Failure> {
    let acting = authority(unit, workspace).await?;
    acting.require(Permission::WebhooksManage)?;
    Ok(acting)
}

/// The endpoint, for whoever may manage it, in a workspace that may be written to.
async fn manage(
    unit: &mut UnitOfWork,
    workspace: WorkspaceId,
    id: WebhookEndpointId,
    precondition: &Precondition,
) -> Result<Arc<WebhookEndpoint>, Failure> {
    let acting = manager(unit, workspace).await?;
    let endpoint = unit.load::<WebhookEndpoint>(workspace, &id.to_string()).await?;
    endpoint.target().ok_or(webhook_endpoint::Refusal::NotFound)?;
    precondition.check::<WebhookEndpoint>(unit, &id.to_string())?;
    acting.workspace.writable()?;
    Ok(endpoint)
}

/// How the secret that signs from now on is made again.
fn secret(id: WebhookEndpointId, endpoint: &WebhookEndpoint) -> Result<Secret, Failure> {
    let target = endpoint.target().ok_or(webhook_endpoint::Refusal::NotFound)?;
    Ok(Secret::WebhookSecret { at: String::new(), endpoint: id.0, generation: target.generation })
}

/// Answers with the endpoint as the command leaves it.
fn describe(
    unit: &UnitOfWork,
    workspace: WorkspaceId,
    id: WebhookEndpointId,
    endpoint: &WebhookEndpoint,
    status: u16,
) -> Result<Answer, Failure> {
    let target = endpoint.target().ok_or(webhook_endpoint::Refusal::NotFound)?;
    let body = resources::WebhookEndpoint::from_state(workspace, id, target, unit.now());
    Answer::of(status, unit.sequence_of::<WebhookEndpoint>(&id.to_string()), &body)
}
