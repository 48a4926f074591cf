//! What the reads answer about then: the states there were, made into the same resources as those of now.

use serde::de::DeserializeOwned;
use tenure_aggregates::user::User as UserState;
use tenure_aggregates::workspace::Details;
use tenure_aggregates::{
    Invitation as InvitationState, InvitationId, Membership, Time, UserId, Workspace as WorkspaceState,
    WorkspaceId,
};
use tenure_projections::states::{self, Counters, Kind, MemberVersion, Version, Visit};
use tenure_projections::users::SwitcherRow;
use tenure_projections::{TenantTx, invitations, members};
use uuid::Uuid;

use super::Past;
use crate::reads::Reads;
use crate::resources::{Invitation, Member, Role, User, Workspace};
use crate::store::{StoreError, appender};

/// How many states are read at a time where a filter may drop most of them.
const CHUNK: i64 = 500;

/// A resource with its `ETag`.
type Tagged<T> = Option<(i64, T)>;

fn state<S: DeserializeOwned>(text: &str) -> Result<S, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a state: {error}")))
}

impl Past {
    async fn version(&self, tx: &mut TenantTx, kind: Kind, id: &str) -> Result<Option<Version>, StoreError> {
        let version = states::at(tx, kind, id, self.position).await?;
        Ok(version.filter(|version| !version.gone))
    }

    /// The user whose personal workspace the transaction names.
    pub async fn user(&self, tx: &mut TenantTx, user: &UserId) -> Result<Tagged<User>, StoreError> {
        let Some(version) = self.version(tx, Kind::User, user.as_str()).await? else { return Ok(None) };
        let user = User::of(&state::<UserState>(&version.state)?, version.recorded_at);
        Ok(user.map(|user| (version.sequence, user)))
    }

    /// The workspace's own part, while there was one.
    async fn details(&self, tx: &mut TenantTx) -> Result<Option<(Version, Details)>, StoreError> {
        let id = tx.workspace().to_string();
        let Some(version) = self.version(tx, Kind::Workspace, &id).await? else { return Ok(None) };
        Ok(match state::<WorkspaceState>(&version.state)? {
            WorkspaceState::Living(details) => Some((version, details)),
            WorkspaceState::Missing | WorkspaceState::Deleted => None,
        })
    }

    pub async fn workspace(&self, tx: &mut TenantTx) -> Result<Tagged<Workspace>, StoreError> {
        let Some((version, details)) = self.details(tx).await? else { return Ok(None) };
        let id = tx.workspace();
        let counted = self.version(tx, Kind::Counters, &id.to_string()).await?;
        let counted: Counters = counted.map(|counted| state(&counted.state)).transpose()?.unwrap_or_default();
        let counters = appender::Counters { seats: counted.seats_used, code_uses: counted.code_uses };
        Ok(Some((version.sequence, Workspace::from_state(id, &details, counters, version.recorded_at))))
    }

    /// The workspace's own roles.
    pub async fn roles(&self, tx: &mut TenantTx) -> Result<Vec<Role>, StoreError> {
        let Some((_, details)) = self.details(tx).await? else { return Ok(vec![]) };
        Ok(details.roles.iter().map(|(name, role)| Role::custom(name.as_str(), role)).collect())
    }

    pub async fn member(&self, tx: &mut TenantTx, user: &UserId) -> Result<Tagged<Member>, StoreError> {
        let Some((_, details)) = self.details(tx).await? else { return Ok(None) };
        let Some(membership) = self.version(tx, Kind::Membership, user.as_str()).await? else {
            return Ok(None);
        };
        let profile = self.version(tx, Kind::Profile, user.as_str()).await?;
        let (sequence, profile) = (membership.sequence, profile.map(|version| version.state));
        let version = MemberVersion { membership, profile };
        Ok(self.member_of(tx.workspace(), &details, &version)?.map(|member| (sequence, member)))
    }

    fn member_of(
        &self,
        workspace: WorkspaceId,
        details: &Details,
        version: &MemberVersion,
    ) -> Result<Option<Member>, StoreError> {
        let membership: Membership = state(&version.membership.state)?;
        let user: UserState = version.profile.as_deref().map(state).transpose()?.unwrap_or_default();
        Ok(membership.terms().map(|terms| {
            Member::from_state(
                workspace,
                terms,
                membership.standing(self.now),
                user.profile(),
                details.owner_id == terms.user_id,
                version.membership.recorded_at,
            )
        }))
    }

    /// The members of then, as [`members::list`] gives those of now; none if there was no such workspace.
    pub async fn members(
        &self,
        tx: &mut TenantTx,
        filter: &members::Filter<'_>,
        after: Option<(Time, String)>,
        limit: i64,
    ) -> Result<Option<Vec<Member>>, StoreError> {
        let keep = |member: &Member| {
            filter.role.is_none_or(|role| member.role == role)
                && filter.status.is_none_or(|status| member.status.as_str() == status)
        };
        self.members_where(tx, keep, filter.q, after, limit).await
    }

    /// Those of them that `keep` lets through, and with `q` somewhere in their names.
    pub async fn members_where(
        &self,
        tx: &mut TenantTx,
        keep: impl Fn(&Member) -> bool,
        q: Option<&str>,
        after: Option<(Time, String)>,
        limit: i64,
    ) -> Result<Option<Vec<Member>>, StoreError> {
        let Some((_, details)) = self.details(tx).await? else { return Ok(None) };
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let from = after.as_ref().map(|(at, user)| (*at, user.as_str()));
            let chunk = states::members(tx, self.position, from, CHUNK.min(limit)).await?;
            let last = i64::try_from(chunk.len()) != Ok(CHUNK.min(limit));
            let chunk = chunk.iter().map(|version| self.member_of(tx.workspace(), &details, version));
            let chunk: Vec<Member> = chunk.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            after = chunk.last().map(|member| (member.joined_at, member.user_id.clone()));
            found.extend(named(tx, chunk.into_iter().filter(&keep).collect(), q).await?);
            if last || i64::try_from(found.len()).unwrap_or(limit) >= limit {
                break;
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Some(found))
    }

    pub async fn invitation(
        &self,
        tx: &mut TenantTx,
        id: InvitationId,
    ) -> Result<Tagged<Invitation>, StoreError> {
        let Some(version) = self.version(tx, Kind::Invitation, &id.to_string()).await? else {
            return Ok(None);
        };
        let invitation = self.invitation_of(tx.workspace(), &version)?;
        Ok(invitation.map(|invitation| (version.sequence, invitation)))
    }

    fn invitation_of(
        &self,
        workspace: WorkspaceId,
        version: &Version,
    ) -> Result<Option<Invitation>, StoreError> {
        let id =
            version.id.parse().map_err(|error| StoreError::Corrupt(format!("an invitation: {error}")))?;
        let shown = state::<InvitationState>(&version.state)?;
        let shown = Invitation::from_state(workspace, InvitationId(id), &shown, self.now);
        Ok(shown.map(|shown| Invitation { updated_at: version.recorded_at, ..shown }))
    }

    /// The invitations of then, as [`invitations::list`] gives those of now; none if there was no such workspace.
    pub async fn invitations(
        &self,
        tx: &mut TenantTx,
        filter: &invitations::Filter<'_>,
        after: Option<(Time, Uuid)>,
        limit: i64,
    ) -> Result<Option<Vec<Invitation>>, StoreError> {
        if self.details(tx).await?.is_none() {
            return Ok(None);
        }
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let chunk = states::invitations(tx, self.position, after, CHUNK.min(limit)).await?;
            let last = i64::try_from(chunk.len()) != Ok(CHUNK.min(limit));
            let chunk = chunk.iter().map(|version| self.invitation_of(tx.workspace(), version));
            let chunk: Vec<Invitation> = chunk.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            after = chunk.last().map(|invitation| (invitation.created_at, invitation.id));
            found.extend(chunk.into_iter().filter(|invitation| {
                filter.status.is_none_or(|status| invitation.status == status)
                    && filter.email.is_none_or(|email| invitation.email == email)
            }));
            if last || i64::try_from(found.len()).unwrap_or(limit) >= limit {
                break;
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Some(found))
    }

    /// The switcher of the user whose personal workspace the transaction names, in its order.
    pub async fn switcher(
        &self,
        reads: &Reads,
        tx: &mut TenantTx,
        user: &UserId,
    ) -> Result<Vec<SwitcherRow>, StoreError> {
        let mut rows = Vec::new();
        for id in states::workspaces_joined(tx, self.position, None, i64::MAX).await? {
            let visit = self.version(tx, Kind::Visit, &id.to_string()).await?;
            if let Some(row) = self.line(reads, WorkspaceId(id), user, visit).await? {
                rows.push(row);
            }
        }
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.workspace_id).collect();
        let mut rows: Vec<Option<SwitcherRow>> = rows.into_iter().map(Some).collect();
        let order = states::switcher_order(tx, &names, &ids).await?;
        let at = |number: i64| usize::try_from(number - 1).ok();
        Ok(order.into_iter().filter_map(|number| rows.get_mut(at(number)?)?.take()).collect())
    }

    /// One line of it, if the user was a member of that workspace.
    async fn line(
        &self,
        reads: &Reads,
        workspace: WorkspaceId,
        user: &UserId,
        visit: Option<Version>,
    ) -> Result<Option<SwitcherRow>, StoreError> {
        let mut tx = reads.within(workspace).await?;
        let membership = self.version(&mut tx, Kind::Membership, user.as_str()).await?;
        let details = self.details(&mut tx).await?;
        tx.close().await?;
        let (Some(version), Some((_, details))) = (membership, details) else { return Ok(None) };
        let membership: Membership = state(&version.state)?;
        // Who joins again has not been there yet.
        let visit = visit.filter(|visit| visit.from_position > version.since_position);
        let visit: Visit = visit.map(|visit| state(&visit.state)).transpose()?.unwrap_or_default();
        let suspended = details.suspension.is_some();
        Ok(membership.terms().map(|terms| {
            let is_owner = details.owner_id == *user;
            let standing = membership.standing(self.now);
            let member = Member::from_state(workspace, terms, standing, None, is_owner, version.recorded_at);
            SwitcherRow {
                workspace_id: workspace.0,
                kind: <&str>::from(details.kind).to_owned(),
                name: details.profile.name,
                slug: details.profile.slug.map(|slug| slug.as_str().to_owned()),
                suspended,
                archived: details.archived,
                plan: details.plan,
                role: member.role,
                is_owner,
                status: member.status.as_str().to_owned(),
                joined_at: terms.joined_at,
                expires_at: terms.expires_at,
                last_used_at: visit.at,
            }
        }))
    }
}

/// Those of them with `q` in a name, an e-mail address or a user id; compared where the lists of now compare them.
async fn named(tx: &mut TenantTx, members: Vec<Member>, q: Option<&str>) -> Result<Vec<Member>, StoreError> {
    let Some(q) = q.filter(|_| !members.is_empty()) else { return Ok(members) };
    let texts = |member: &Member| {
        [Some(member.user_id.clone()), member.email.clone(), member.name.clone()]
            .map(Option::unwrap_or_default)
    };
    let texts: Vec<String> = members.iter().flat_map(texts).collect();
    let found = states::containing(tx, &texts, q).await?;
    let found = found.chunks(3).map(|found| found.contains(&true));
    Ok(members.into_iter().zip(found).filter_map(|(member, found)| found.then_some(member)).collect())
}
