//! What the reads answer about then: the states there were, made into the same resources as those of now. Lists are in
//! [`super::lists`].

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenure_aggregates::user::User as UserState;
use tenure_aggregates::workspace::Details;
use tenure_aggregates::{
    Invitation as InvitationState, InvitationId, Membership, UserId, Workspace as WorkspaceState, WorkspaceId,
};
use tenure_projections::TenantTx;
use tenure_projections::states::{self, Counters, Kind, MemberVersion, Version};
use uuid::Uuid;

use super::Past;
use crate::data_keys::{SealedValue, Stream, Vault};
use crate::resources::{Invitation, Member, Role, User, Workspace};
use crate::store::{StoreError, append};

/// A resource with its `ETag`.
type Tagged<T> = Option<(i64, T)>;

/// The past, and what opens the personal data in it; what cannot be opened any more reads `[erased]`.
#[derive(Debug, Clone, Copy)]
pub struct Then<'a> {
    pub(super) past: Past,
    vault: &'a Vault,
}

impl Past {
    pub fn seen(self, vault: &Vault) -> Then<'_> {
        Then { past: self, vault }
    }
}

/// A state as it is kept.
pub(super) fn closed<S: DeserializeOwned>(text: &str) -> Result<S, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(&error))
}

fn corrupt(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("a state: {error}"))
}

/// The stream that a user's states are of: its workspace and its id.
pub fn user_stream(user_id: &str) -> (Uuid, String) {
    let personal = UserId::parse(user_id).map(|user| WorkspaceId::personal(&user).0).unwrap_or_default();
    (personal, personal.to_string())
}

/// States of aggregates of one type, opened, each of the stream beside it.
pub async fn opened<S: DeserializeOwned>(
    vault: &Vault,
    aggregate_type: &str,
    states: &[((Uuid, String), &str)],
) -> Result<Vec<S>, StoreError> {
    let values = states.iter().map(|(_, text)| closed(text));
    let mut values: Vec<Value> = values.collect::<Result<_, _>>()?;
    let mut sealed: Vec<SealedValue<'_>> = values
        .iter_mut()
        .zip(states)
        .map(|(value, ((workspace, id), _))| SealedValue {
            stream: Stream { workspace: *workspace, aggregate_type, aggregate_id: id },
            value,
        })
        .collect();
    vault.open_values(&mut sealed).await?;
    let opened = values.into_iter().map(serde_json::from_value);
    opened.collect::<Result<_, _>>().map_err(|error| corrupt(&error))
}

impl Then<'_> {
    pub fn position(&self) -> i64 {
        self.past.position
    }

    pub(super) async fn version(
        &self,
        tx: &mut TenantTx,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Version>, StoreError> {
        let version = states::at(tx, kind, id, self.past.position).await?;
        Ok(version.filter(|version| !version.gone))
    }

    async fn one<S: DeserializeOwned + Default>(
        &self,
        aggregate_type: &str,
        stream: (Uuid, String),
        state: &str,
    ) -> Result<S, StoreError> {
        let states = opened(self.vault, aggregate_type, &[(stream, state)]).await?;
        Ok(states.into_iter().next().unwrap_or_default())
    }

    /// The user whose personal workspace the transaction names.
    pub async fn user(&self, tx: &mut TenantTx, user: &UserId) -> Result<Tagged<User>, StoreError> {
        let Some(version) = self.version(tx, Kind::User, user.as_str()).await? else { return Ok(None) };
        let state: UserState = self.one("User", user_stream(user.as_str()), &version.state).await?;
        let user = User::of(&state, version.recorded_at);
        Ok(user.map(|user| (version.sequence, user)))
    }

    /// The workspace's own part, while there was one.
    pub(super) async fn details(&self, tx: &mut TenantTx) -> Result<Option<(Version, Details)>, StoreError> {
        let id = tx.workspace();
        let Some(version) = self.version(tx, Kind::Workspace, &id.to_string()).await? else {
            return Ok(None);
        };
        let state: WorkspaceState = self.one("Workspace", (id.0, id.to_string()), &version.state).await?;
        Ok(living(state).map(|details| (version, details)))
    }

    /// The same as it is kept, for what is not personal in it.
    pub(super) async fn closed_details(&self, tx: &mut TenantTx) -> Result<Option<Details>, StoreError> {
        let id = tx.workspace().to_string();
        let Some(version) = self.version(tx, Kind::Workspace, &id).await? else { return Ok(None) };
        Ok(living(closed(&version.state)?))
    }

    pub async fn workspace(&self, tx: &mut TenantTx) -> Result<Tagged<Workspace>, StoreError> {
        let Some((version, details)) = self.details(tx).await? else { return Ok(None) };
        let id = tx.workspace();
        let counted = self.version(tx, Kind::Counters, &id.to_string()).await?;
        let counted: Counters =
            counted.map(|counted| closed(&counted.state)).transpose()?.unwrap_or_default();
        let counters = append::Counters { seats: counted.seats_used, code_uses: counted.code_uses };
        Ok(Some((version.sequence, Workspace::from_state(id, &details, counters, version.recorded_at))))
    }

    /// The workspace's own roles.
    pub async fn roles(&self, tx: &mut TenantTx) -> Result<Vec<Role>, StoreError> {
        let Some((_, details)) = self.details(tx).await? else { return Ok(vec![]) };
        Ok(details.roles.iter().map(|(name, role)| Role::custom(name.as_str(), role)).collect())
    }

    pub async fn member(&self, tx: &mut TenantTx, user: &UserId) -> Result<Tagged<Member>, StoreError> {
        let Some(details) = self.closed_details(tx).await? else { return Ok(None) };
        let Some(membership) = self.version(tx, Kind::Membership, user.as_str()).await? else {
            return Ok(None);
        };
        let profile = self.version(tx, Kind::Profile, user.as_str()).await?;
        let (sequence, profile) = (membership.sequence, profile.map(|version| version.state));
        let version = MemberVersion { membership, profile };
        let members = self.members_of(tx.workspace(), &details, &[version]).await?;
        Ok(members.into_iter().next().map(|member| (sequence, member)))
    }

    pub(super) async fn members_of(
        &self,
        workspace: WorkspaceId,
        details: &Details,
        versions: &[MemberVersion],
    ) -> Result<Vec<Member>, StoreError> {
        let profiles: Vec<_> = versions
            .iter()
            .map(|version| {
                let profile = version.profile.as_deref().unwrap_or(NO_USER);
                (user_stream(&version.membership.id), profile)
            })
            .collect();
        let users = opened::<UserState>(self.vault, "User", &profiles).await?;
        let mut members = Vec::with_capacity(users.len());
        for (MemberVersion { membership: version, .. }, user) in versions.iter().zip(&users) {
            let membership: Membership = closed(&version.state)?;
            let Some(terms) = membership.terms() else { continue };
            let (standing, is_owner) =
                (membership.standing(self.past.now), details.owner_id == terms.user_id);
            let (profile, updated_at) = (user.profile(), version.recorded_at);
            members.push(Member::from_state(workspace, terms, standing, profile, is_owner, updated_at));
        }
        Ok(members)
    }

    pub async fn invitation(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
    ) -> Result<Tagged<Invitation>, StoreError> {
        let Some(version) = self.version(tx, Kind::Invitation, &id.to_string()).await? else {
            return Ok(None);
        };
        let sequence = version.sequence;
        let invitations = self.invitations_of(tx.workspace(), &[version]).await?;
        Ok(invitations.into_iter().next().map(|invitation| (sequence, invitation)))
    }

    pub(super) async fn invitations_of(
        &self,
        workspace: WorkspaceId,
        versions: &[Version],
    ) -> Result<Vec<Invitation>, StoreError> {
        let state = |version: &Version| (workspace.0, version.id.clone());
        let states: Vec<_> =
            versions.iter().map(|version| (state(version), version.state.as_str())).collect();
        let states = opened::<InvitationState>(self.vault, "Invitation", &states).await?;
        let mut invitations = Vec::with_capacity(states.len());
        for (version, state) in versions.iter().zip(&states) {
            let id = version.id.parse();
            let id = id.map_err(|error| StoreError::Corrupt(format!("an invitation: {error}")))?;
            let shown = Invitation::from_state(workspace, InvitationId(id), state, self.past.now);
            invitations.extend(shown.map(|shown| Invitation { updated_at: version.recorded_at, ..shown }));
        }
        Ok(invitations)
    }
}

/// The state of somebody of whom nothing was known.
const NO_USER: &str = r#""Missing""#;

fn living(state: WorkspaceState) -> Option<Details> {
    match state {
        WorkspaceState::Living(details) => Some(details),
        WorkspaceState::Missing | WorkspaceState::Deleted => None,
    }
}
