//! The lists of then, in the order and with the filters of those of now.

use tenure_aggregates::{Membership, Time, UserId, WorkspaceId};
use tenure_projections::states::{self, Kind, Version, Visit};
use tenure_projections::users::SwitcherRow;
use tenure_projections::{TenantTx, invitations, members};
use uuid::Uuid;

use super::resources::{Then, closed};
use crate::reads::Reads;
use crate::resources::{Invitation, Member};
use crate::store::StoreError;

/// How many states are read at a time where a filter may drop most of them.
const CHUNK: i64 = 500;

impl Then<'_> {
    fn moment(&self) -> (i64, Time) {
        (self.past.position, self.past.now)
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
        mut after: Option<(Time, String)>,
        limit: i64,
    ) -> Result<Option<Vec<Member>>, StoreError> {
        let Some(details) = self.closed_details(tx).await? else { return Ok(None) };
        let mut found = Vec::new();
        loop {
            let from = after.as_ref().map(|(at, user)| (*at, user.as_str()));
            let chunk = states::members(tx, self.moment(), from, CHUNK.min(limit)).await?;
            let last = is_short(chunk.len(), CHUNK.min(limit));
            let chunk = self.members_of(tx.workspace(), &details, &chunk).await?;
            after = chunk.last().map(|member| (member.joined_at, member.user_id.clone()));
            found.extend(named(tx, chunk.into_iter().filter(&keep).collect(), q).await?);
            if last || !is_short(found.len(), limit) {
                break;
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Some(found))
    }

    /// The invitations of then, as [`invitations::list`] gives those of now; none if there was no such workspace.
    pub async fn invitations(
        &self,
        tx: &mut TenantTx,
        filter: &invitations::Filter<'_>,
        mut after: Option<(Time, Uuid)>,
        limit: i64,
    ) -> Result<Option<Vec<Invitation>>, StoreError> {
        if self.closed_details(tx).await?.is_none() {
            return Ok(None);
        }
        let mut found = Vec::new();
        loop {
            let chunk = states::invitations(tx, self.moment(), after, CHUNK.min(limit)).await?;
            let last = is_short(chunk.len(), CHUNK.min(limit));
            let chunk = self.invitations_of(tx.workspace(), &chunk).await?;
            after = chunk.last().map(|invitation| (invitation.created_at, invitation.id));
            found.extend(chunk.into_iter().filter(|invitation| {
                filter.status.is_none_or(|status| invitation.status == status)
                    && filter.among.is_none_or(|among| among.contains(&invitation.id))
            }));
            if last || !is_short(found.len(), limit) {
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
        for id in states::workspaces_joined(tx, self.past.position, None, i64::MAX).await? {
            let visit = self.version(tx, Kind::Visit, &id.to_string()).await?;
            rows.extend(self.line(reads, WorkspaceId(id), user, visit).await?);
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
        let membership: Membership = closed(&version.state)?;
        let Some(terms) = membership.terms() else { return Ok(None) };
        // Who joins again has not been there yet.
        let visit = visit.filter(|visit| visit.from_position > version.since_position);
        let visit: Visit = visit.map(|visit| closed(&visit.state)).transpose()?.unwrap_or_default();
        let (standing, is_owner) = (membership.standing(self.past.now), details.owner_id == *user);
        let member = Member::from_state(workspace, terms, standing, None, is_owner, version.recorded_at);
        Ok(Some(SwitcherRow {
            workspace_id: workspace.0,
            kind: <&str>::from(details.kind).to_owned(),
            suspended: details.suspension.is_some(),
            archived: details.archived,
            name: details.profile.name,
            slug: details.profile.slug.map(|slug| slug.as_str().to_owned()),
            plan: details.plan,
            role: member.role,
            is_owner,
            status: member.status.as_str().to_owned(),
            joined_at: member.joined_at,
            expires_at: member.expires_at,
            last_used_at: visit.at,
        }))
    }
}

fn is_short(length: usize, of: i64) -> bool {
    i64::try_from(length).is_ok_and(|length| length < of)
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
