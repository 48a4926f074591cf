//! The index itself: memberships and workspaces as small numbers, and the catalogue of permissions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenure_aggregates::membership::{MembershipEvent, Standing, Terms};
use tenure_aggregates::workspace::{CustomRole, Status};
use tenure_aggregates::{
    Catalogue, Membership, MembershipId, Rights, Role, RoleName, Time, UserId, Workspace, WorkspaceId,
};

use super::decide::{Facts, Reason, decide};
use super::entries::{
    DEACTIVATED, ENDED, HAS_END, Living, Member, MemberKey, Place, PlaceKey, ROLE, place_hash, place_key,
    saturating,
};
use super::known::Known;
use super::role_codes::{RoleCode, RoleCodes};
use super::table::{Entry, Table};

/// How long what has ended is remembered, so that an older state that is still on its way does not bring it back. Far
/// longer than any batch takes to be settled, or a stream to be loaded.
const REMEMBERED: Duration = Duration::from_mins(1);

/// May this user do this here?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub workspace: WorkspaceId,
    /// Any text: what is nobody's id belongs to no member.
    pub user: &'a str,
    /// Any text: what is no permission is held by nobody.
    pub permission: &'a str,
}

/// An event that does not follow on what is known of its stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap;

#[derive(Debug)]
pub struct Index {
    memberships: Table<Member>,
    workspaces: Table<Place>,
    roles: RoleCodes,
    catalogue: RwLock<Arc<Known>>,
    /// The catalogue cannot be read here: the log has to be asked, whatever the question.
    catalogue_unknown: AtomicBool,
    ended: Mutex<Vec<(Instant, Grave)>>,
}

#[derive(Debug)]
enum Grave {
    Member(MemberKey, u32),
    Workspace(PlaceKey, u32),
}

impl Default for Index {
    fn default() -> Self {
        Self {
            memberships: Table::new(MemberKey::hash),
            workspaces: Table::new(place_hash),
            roles: RoleCodes::default(),
            catalogue: RwLock::new(Arc::new(Known::of(0, Catalogue::default()))),
            catalogue_unknown: AtomicBool::new(false),
            ended: Mutex::default(),
        }
    }
}

impl Index {
    // ---- what is put in

    pub fn put_workspace(&self, id: WorkspaceId, sequence: i64, state: &Workspace) {
        match state {
            Workspace::Living(details) => {
                self.put_living(id, sequence, &details.owner_id, details.status(), &details.roles);
            }
            // Its memberships stay until the next start; without it nobody finds them.
            Workspace::Deleted => {
                let place = Place::new(id, sequence, Living::Deleted, MemberKey::NONE);
                if self.workspaces.put(place, None) {
                    self.bury(Grave::Workspace(place.id, place.sequence()));
                }
            }
            Workspace::Missing => {}
        }
    }

    /// A living workspace, of which only this matters.
    pub(super) fn put_living(
        &self,
        id: WorkspaceId,
        sequence: i64,
        owner: &UserId,
        status: Status,
        roles: &BTreeMap<RoleName, CustomRole>,
    ) {
        let coded = |(name, role): (&RoleName, &CustomRole)| {
            let code = self.roles.code(&Role::Custom(name.clone()))?;
            Some((code, Rights::of_names(&role.permissions)))
        };
        let Some(roles) = roles.iter().map(coded).collect::<Option<Vec<_>>>() else {
            return self.put_unknown(id);
        };
        let owner = MemberKey::of(MembershipId::of(id, owner));
        let place = Place::new(id, sequence, Living::Is(status), owner);
        if roles.is_empty() {
            self.workspaces.put(place, None);
        } else {
            self.workspaces.put(place.with_roles(), Some(roles.into()));
        }
    }

    /// From here on only the log knows what this workspace is.
    pub fn put_unknown(&self, id: WorkspaceId) {
        if id == Catalogue::home() {
            self.catalogue_unknown.store(true, Ordering::Relaxed);
        }
        let place = Place::new(id, i64::MAX, Living::Unknown, MemberKey::NONE);
        self.workspaces.put(place, None);
    }

    pub fn put_membership(&self, id: MembershipId, sequence: i64, state: &Membership) {
        let key = MemberKey::of(id);
        let sequence = saturating(sequence);
        let Some(terms) = state.terms() else {
            if *state == Membership::Ended {
                let entry = Member { key, sequence, role_and_flags: ENDED };
                if self.memberships.put(entry, None) {
                    self.bury(Grave::Member(key, sequence));
                }
            }
            return;
        };
        // Sixteen million names of roles: one more allows nothing, as a role its workspace does not have.
        let role = self.roles.code(&terms.role).map_or(ROLE, RoleCode::bits);
        let deactivated = if matches!(state, Membership::Deactivated(_)) { DEACTIVATED } else { 0 };
        let end = if terms.expires_at.is_some() { HAS_END } else { 0 };
        let entry = Member { key, sequence, role_and_flags: role | deactivated | end };
        self.memberships.put(entry, terms.expires_at);
    }

    /// Goes on from what is known, by the aggregate's own fold.
    pub(super) fn membership_event(
        &self,
        id: MembershipId,
        sequence: i64,
        user: &UserId,
        event: &MembershipEvent,
    ) -> Result<(), Gap> {
        let begins = matches!(event, MembershipEvent::MembershipStarted { .. });
        let before = match self.memberships.get(&MemberKey::of(id)) {
            Some((entry, _)) if i64::from(entry.sequence) >= sequence => return Ok(()),
            Some((entry, end)) if i64::from(entry.sequence) == sequence - 1 => {
                self.state(entry, end, user).ok_or(Gap)?
            }
            _ if begins => Membership::Never,
            _ => return Err(Gap),
        };
        self.put_membership(id, sequence, &before.evolve(event.clone()));
        Ok(())
    }

    /// The aggregate's state behind an entry, as far as any rule here asks for it.
    fn state(&self, entry: Member, expires_at: Option<Time>, user: &UserId) -> Option<Membership> {
        if entry.role_and_flags & ENDED != 0 {
            return Some(Membership::Ended);
        }
        let role = self.roles.role(entry.role())?;
        // Nothing here asks since when.
        let terms = Terms { user_id: user.clone(), role, joined_at: Time::UNIX_EPOCH, expires_at };
        let deactivated = entry.role_and_flags & DEACTIVATED != 0;
        Some(if deactivated { Membership::Deactivated(terms) } else { Membership::Active(terms) })
    }

    pub fn put_catalogue(&self, sequence: i64, catalogue: &Catalogue) {
        let mut known = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        if known.sequence < sequence {
            *known = Arc::new(Known::of(sequence, catalogue.clone()));
        }
    }

    // ---- what is forgotten

    /// Makes room for about so many.
    pub(super) fn reserve(&self, workspaces: usize, memberships: usize) {
        self.workspaces.reserve(workspaces);
        self.memberships.reserve(memberships);
    }

    /// Everything about workspaces and memberships: what a load that broke off has left must not outlive it, since what
    /// ended meanwhile stands in no row of the next.
    pub(super) fn clear(&self) {
        self.workspaces.clear();
        self.memberships.clear();
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn bury(&self, grave: Grave) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push((Instant::now(), grave));
    }

    /// Lets go of what ended long enough ago that nothing older is on its way any more.
    pub(super) fn forget_ended(&self, now: Instant) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let old = ended.partition_point(|(buried, _)| now.saturating_duration_since(*buried) >= REMEMBERED);
        let gone: Vec<_> = ended.drain(..old).collect();
        drop(ended);
        for (_, grave) in gone {
            match grave {
                Grave::Member(key, sequence) => {
                    self.memberships.remove_if(&key, |entry| entry.sequence == sequence);
                }
                Grave::Workspace(key, sequence) => {
                    self.workspaces.remove_if(&key, |place| place.sequence() == sequence);
                }
            }
        }
    }

    // ---- what is asked

    /// None if only the log can tell.
    pub fn decide(&self, question: &Question<'_>, now: Time) -> Option<Reason> {
        let Some((place, own_roles)) = self.workspaces.get(&place_key(question.workspace)) else {
            return Some(Reason::WorkspaceNotFound);
        };
        let status = match place.standing() {
            Living::Is(status) => Some(status),
            Living::Deleted => None,
            Living::Unknown => return None,
        };
        if self.catalogue_unknown.load(Ordering::Relaxed) {
            return None;
        }
        let key = MemberKey::of(MembershipId::of_text(question.workspace, question.user));
        let member = self.memberships.get(&key).filter(|(entry, _)| entry.role_and_flags & ENDED == 0);
        let known = self.catalogue();
        let none = Rights::default();
        let (standing, rights) = match member {
            None => (Standing::Absent, &none),
            Some((entry, end)) => {
                let deactivated = entry.role_and_flags & DEACTIVATED != 0;
                let code = if place.owner == key { RoleCode::OWNER } else { entry.role().unowned() };
                (
                    Standing::of(deactivated, end, now),
                    known.rights(code, own_roles.as_deref()).unwrap_or(&none),
                )
            }
        };
        let facts = Facts { status, standing, rights, catalogue: &known.catalogue };
        Some(decide(&facts, known.named(question.permission)))
    }

    /// Whether the workspace lives, and nothing about it has to be asked of the log.
    pub fn knows(&self, id: WorkspaceId) -> bool {
        let place = self.workspaces.get(&place_key(id));
        place.is_some_and(|(place, _)| matches!(place.standing(), Living::Is(_)))
    }

    pub fn catalogue(&self) -> Arc<Known> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn memberships(&self) -> usize {
        self.memberships.len()
    }

    pub fn workspaces(&self) -> usize {
        self.workspaces.len()
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
