//! API keys: create, rotate, revoke, and note a network one was not used from before.

use std::collections::BTreeSet;

use chrono::Duration;
use tenure_aggregates::api_key::{self, ApiKeyCommand, Secret as KeptSecret};
use tenure_aggregates::{ApiKey, ApiKeyId, Permission, PermissionName, Rights, Time, Workspace, WorkspaceId};
use tenure_projections::api_keys;
use uuid::Uuid;

use super::Precondition;
use super::authorize::authority;
use super::roles::require_known;
use crate::reads::Reads;
use crate::resources::{self, Answer, Secret};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, Refusal, StoreError, UnitOfWork};

/// So many keys a workspace may have that are not revoked. Those who create at the same instant may pass it by a few.
const MAX_KEYS: i64 = 1_000;

/// A secret made for a key: what is kept of it, and from what it is made again for a replayed request.
#[derive(Debug, Clone)]
pub struct NewSecret {
    pub nonce: Uuid,
    pub kept: KeptSecret,
}

/// Creates a key with permissions of its own, none beyond its creator's.
#[derive(Debug, Clone)]
pub struct CreateApiKey {
    pub workspace: WorkspaceId,
    pub id: ApiKeyId,
    pub name: String,
    pub secret: NewSecret,
    pub permissions: BTreeSet<PermissionName>,
    pub expires_at: Option<Time>,
    pub networks: Vec<String>,
    pub reads: Reads,
    pub precondition: Precondition,
}

impl Command for CreateApiKey {
    const NAME: &'static str = "CreateApiKey";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::ApiKeysManage)?;
        acting.authority.require_rights(&Rights::of_names(&self.permissions))?;
        self.precondition.check_new()?;
        acting.workspace.writable()?;
        require_known(&mut unit, &self.permissions).await?;
        self.require_room().await?;
        unit.begin_stream::<ApiKey>(&stream);
        let create = ApiKeyCommand::Create {
            key_id: self.id,
            name: self.name.clone(),
            secret: self.secret.kept.clone(),
            permissions: self.permissions.clone(),
            expires_at: self.expires_at,
            networks: self.networks.clone(),
            created_by: unit.origin().user().cloned(),
            now: unit.now(),
        };
        let key = unit.execute::<ApiKey>(id, &stream, create).await?;
        let answer = describe(&unit, id, self.id, &key, 201)?.with_secret(self.secret.made_again(id));
        unit.commit(answer.at(format!("/v1/workspaces/{id}/api-keys/{stream}")).to_text()?).await
    }
}

impl CreateApiKey {
    async fn require_room(&self) -> Result<(), Failure> {
        let mut tx = self.reads.workspace(self.workspace, None).await?;
        if api_keys::count_active(&mut tx).await.map_err(StoreError::from)? < MAX_KEYS {
            return Ok(());
        }
        let detail = format!("A workspace has at most {MAX_KEYS} API keys: revoke one first.");
        Err(Refusal::new("too_many_api_keys", detail).into())
    }
}

/// Gives a key a new secret; the old one stays good for the overlap.
#[derive(Debug, Clone)]
pub struct RotateApiKey {
    pub workspace: WorkspaceId,
    pub id: ApiKeyId,
    pub secret: NewSecret,
    pub overlap: Duration,
    pub precondition: Precondition,
}

impl Command for RotateApiKey {
    const NAME: &'static str = "RotateApiKey";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::ApiKeysManage)?;
        let before = unit.load::<ApiKey>(id, &stream).await?;
        let terms = before.terms().ok_or(api_key::Refusal::NotFound)?;
        // Whoever learns a key's secret holds what the key holds.
        acting.authority.require_rights(&Rights::of_names(&terms.permissions))?;
        self.precondition.check::<ApiKey>(&unit, &stream)?;
        acting.workspace.writable()?;
        let rotate = ApiKeyCommand::Rotate {
            secret: self.secret.kept.clone(),
            overlap: self.overlap,
            now: unit.now(),
        };
        let key = unit.execute::<ApiKey>(id, &stream, rotate).await?;
        let answer = describe(&unit, id, self.id, &key, 200)?.with_secret(self.secret.made_again(id));
        unit.commit(answer.to_text()?).await
    }
}

/// Revokes a key: it opens nothing from that position on.
#[derive(Debug, Clone)]
pub struct RevokeApiKey {
    pub workspace: WorkspaceId,
    pub id: ApiKeyId,
    pub precondition: Precondition,
}

impl Command for RevokeApiKey {
    const NAME: &'static str = "RevokeApiKey";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.id.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::ApiKeysManage)?;
        unit.load::<ApiKey>(id, &stream).await?;
        self.precondition.check::<ApiKey>(&unit, &stream)?;
        acting.workspace.writable()?;
        unit.execute::<ApiKey>(id, &stream, ApiKeyCommand::Revoke).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// Records that a key was used from a network it was not used from before.
#[derive(Debug, Clone)]
pub struct NoteNetwork {
    pub workspace: WorkspaceId,
    pub id: ApiKeyId,
    pub network: String,
}

impl Command for NoteNetwork {
    const NAME: &'static str = "NoteNetwork";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        // What is deleted has no history to go on with.
        unit.load::<Workspace>(self.workspace, &self.workspace.to_string()).await?.living()?;
        let note = ApiKeyCommand::NoteNetwork { network: self.network.clone() };
        unit.execute::<ApiKey>(self.workspace, &self.id.to_string(), note).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

impl NewSecret {
    fn made_again(&self, workspace: WorkspaceId) -> Secret {
        Secret::ApiKey { at: String::new(), workspace: workspace.0, nonce: self.nonce }
    }
}

/// Answers with the key as the command leaves it.
fn describe(
    unit: &UnitOfWork,
    workspace: WorkspaceId,
    id: ApiKeyId,
    state: &ApiKey,
    status: u16,
) -> Result<Answer, Failure> {
    let terms = state.terms().ok_or(api_key::Refusal::NotFound)?;
    let body = resources::ApiKey::from_state(workspace, id, terms, unit.now());
    Answer::of(status, unit.sequence_of::<ApiKey>(&id.to_string()), &body)
}
