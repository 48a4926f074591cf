//! Giving up on an endpoint: its receiver said that it is gone, or nothing has arrived there for days.

use tenure_aggregates::webhook_endpoint::{Disabling, WebhookEndpointCommand};
use tenure_aggregates::{WebhookEndpoint, WebhookEndpointId, Workspace, WorkspaceId};

use crate::resources::Answer;
use crate::store::retry::Command;
use crate::store::{Committed, Failure, UnitOfWork};

/// Disables an endpoint that is enabled, whatever state its workspace is in, as long as it is not deleted.
#[derive(Debug, Clone)]
pub struct GiveUpWebhookEndpoint {
    pub workspace: WorkspaceId,
    pub endpoint: WebhookEndpointId,
    pub because: Disabling,
}

impl Command for GiveUpWebhookEndpoint {
    const NAME: &'static str = "GiveUpWebhookEndpoint";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        unit.load::<Workspace>(id, &id.to_string()).await?.living()?;
        let give_up = WebhookEndpointCommand::GiveUp { because: self.because };
        unit.execute::<WebhookEndpoint>(id, &self.endpoint.to_string(), give_up).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}
