//! The name of a stream: an aggregate's type and id.

use std::sync::Arc;

use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub aggregate_type: &'static str,
    pub id: Arc<str>,
}

impl StreamKey {
    pub fn of<A: cqrs_es::Aggregate>(id: &str) -> Self {
        Self { aggregate_type: A::TYPE, id: id.into() }
    }

    /// The workspace whose own stream this is.
    pub(super) fn workspace(&self) -> Option<Uuid> {
        if self.aggregate_type == <tenure_aggregates::Workspace as cqrs_es::Aggregate>::TYPE {
            self.id.parse().ok()
        } else {
            None
        }
    }

    /// A stream another process wrote; `None` for a type this build does not know, which nothing here can have read.
    pub fn known(aggregate_type: &str, id: &str) -> Option<Self> {
        use cqrs_es::Aggregate;
        use tenure_aggregates::{
            ApiKey, Catalogue, Claim, Invitation, Membership, Session, User, WebhookEndpoint, Workspace,
        };
        let types = [
            User::TYPE,
            Workspace::TYPE,
            Membership::TYPE,
            Invitation::TYPE,
            Session::TYPE,
            ApiKey::TYPE,
            WebhookEndpoint::TYPE,
            Catalogue::TYPE,
            Claim::TYPE,
        ];
        let aggregate_type = types.into_iter().find(|known| *known == aggregate_type)?;
        Some(Self { aggregate_type, id: id.into() })
    }
}
