//! Seals what a unit of work records: personal data and a workspace's content, each under the key of whom it speaks.

use serde::Serialize;
use tenure_aggregates::personal::{self, Sealing};
use tenure_aggregates::values::Email;
use tenure_aggregates::{InvitationId, Workspace, WorkspaceId};

use super::UnitOfWork;
use super::error::{Failure, StoreError};
use super::origin::Sealed;
use crate::data_keys::{DataKey, Owner, Place, origin, seal};

/// What a key is needed for.
struct Need<'a> {
    owner: Owner,
    /// Whether whoever owns it begins with this unit, so that there can be no key yet.
    begins: bool,
    email: Option<&'a Email>,
}

impl UnitOfWork {
    /// The event as it is stored, and what of it is sealed. `begins`: it is the first of its stream.
    pub(super) async fn seal(
        &mut self,
        place: Place<'_>,
        event_type: &'static str,
        event: &impl Serialize,
        begins: bool,
    ) -> Result<(String, Sealed), Failure> {
        let workspace = WorkspaceId(place.workspace);
        let origin = self.seal_origin(place, begins).await?;
        let Some(personal) = personal::of(event_type) else {
            return Ok((to_json(event)?, Sealed { fields: None, origin }));
        };
        let mut payload = serde_json::to_value(event).map_err(internal)?;
        let key = match personal.sealing {
            Sealing::Workspace => {
                let begins = begins && begins_workspace(place);
                self.key(Need { owner: Owner::Workspace(workspace), begins, email: None }).await?
            }
            Sealing::Invitation => {
                let id = place.aggregate_id.parse().map(InvitationId).map_err(internal)?;
                let email = payload.get("email").cloned().map(serde_json::from_value::<Email>);
                let email = email.transpose().map_err(internal)?;
                let owner = Owner::Invitation(workspace, id);
                self.key(Need { owner, begins, email: email.as_ref() }).await?
            }
        };
        let fields = seal(&key, place, &mut payload, personal.fields);
        let fields = (!fields.is_empty()).then(|| fields.join(","));
        Ok((payload.to_string(), Sealed { fields, origin }))
    }

    /// From where a request came speaks of the user who acts; of a service or a key, of the workspace it acts in.
    async fn seal_origin(&mut self, place: Place<'_>, begins: bool) -> Result<Option<String>, Failure> {
        let request = self.origin.clone();
        if request.ip.is_none() && request.user_agent.is_none() {
            return Ok(None);
        }
        let here = WorkspaceId(place.workspace);
        let home = request.user().map_or(here, WorkspaceId::personal);
        // A workspace that begins here has no key yet; that of somebody who acts elsewhere is there.
        let begins = begins && home == here && begins_workspace(place);
        let key = self.key(Need { owner: Owner::Workspace(home), begins, email: None }).await?;
        Ok(origin(&key, place, request.ip.as_deref(), request.user_agent.as_deref()))
    }

    async fn key(&mut self, need: Need<'_>) -> Result<DataKey, Failure> {
        if let Some((_, key)) = self.keys.iter().find(|(owner, _)| *owner == need.owner) {
            return Ok(key.clone());
        }
        if !need.begins {
            // Whoever destroys the key moves this stream: then the commit is refused, and nothing sealed with it lost.
            let workspace = need.owner.workspace();
            self.load::<Workspace>(workspace, &workspace.to_string()).await?;
            if let Some(key) = self.store.vault.live_key(need.owner).await? {
                self.keys.push((need.owner, key.clone()));
                return Ok(key);
            }
        }
        let address = need.email.map(|email| self.store.vault.address_hash(email));
        let new = self.store.vault.new_key(need.owner, address);
        self.keys.push((need.owner, new.key.clone()));
        self.append.data_keys.push(new);
        Ok(self.keys[self.keys.len() - 1].1.clone())
    }
}

/// Whether the stream that begins is a workspace's, or the user's whose personal workspace it is.
fn begins_workspace(place: Place<'_>) -> bool {
    matches!(place.aggregate_type, "Workspace" | "User")
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string::<_>(value).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Failure {
    StoreError::Internal(error.to_string()).into()
}
