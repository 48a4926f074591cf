//! The index itself: memberships and workspaces as small numbers, and the catalogue of permissions.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenure_aggregates::membership::{MembershipEvent, Standing, Terms};
use tenure_aggregates::workspace::{CustomRole, Status};
use tenure_aggregates::{
    Catalogue, Membership, MembershipId, Rights, Role, RoleName, Time, UserId, Workspace, WorkspaceId,
};

use super::decide::{Facts, Reason, decide};
use super::known::Known;
use super::role_codes::{RoleCode, RoleCodes};
use super::table::{Entry, Table};

/// How long what has ended is remembered, so that an older state that is still on its way does not bring it back. Far
/// longer than any batch takes to be settled, or a stream to be loaded.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Secret to this process, so that nobody can make two memberships meet in one key.
static HASH: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// 96 bits of a membership's id, by a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MemberKey([u32; 3]);

/// Twenty bytes.
#[derive(Debug, Clone, Copy)]
struct Member {
    key: MemberKey,
    sequence: u32,
    /// The role as recorded in the low 24 bits, flags above.
    role_and_flags: u32,
}

const DEACTIVATED: u32 = 1 << 24;
const HAS_END: u32 = 1 << 25;
const ENDED: u32 = 1 << 26;
const ROLE: u32 = DEACTIVATED - 1;

impl Entry for Member {
    type Key = MemberKey;
    /// When the membership ends.
    type Aside = Time;

    fn key(&self) -> MemberKey {
        self.key
    }

    fn sequence(&self) -> u32 {
        self.sequence
    }

    fn has_aside(&self) -> bool {
        self.role_and_flags & HAS_END != 0
    }
}

/// Thirty-two bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: [u32; 4],
    owner: MemberKey,
    /// The sequence in the low 28 bits, above it the standing and a flag.
    sequence_and_standing: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Living {
    Is(Status),
    Deleted,
    /// What it is cannot be read here: the log has to be asked.
    Unknown,
}

const STANDING_BITS: u32 = 28;
/// A workspace's own stream of so many events stands still here; nobody has one.
const SEQUENCE: u32 = (1 << STANDING_BITS) - 1;
const HAS_ROLES: u32 = 1 << 31;

type PlaceKey = [u32; 4];

impl Entry for Place {
    type Key = PlaceKey;
    /// The workspace's own roles and what they allow.
    type Aside = Arc<[(RoleCode, Rights)]>;

    fn key(&self) -> PlaceKey {
        self.id
    }

    fn sequence(&self) -> u32 {
        self.sequence_and_standing & SEQUENCE
    }

    fn has_aside(&self) -> bool {
        self.sequence_and_standing & HAS_ROLES != 0
    }
}

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
            memberships: Table::new(|key: &MemberKey| u64::from(key.0[0]) << 32 | u64::from(key.0[1])),
            workspaces: Table::new(|id: &PlaceKey| HASH[0].hash_one(id)),
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
                let place = Place::new(id, sequence, Living::Deleted, MemberKey([0; 3]));
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
        let place = Place::new(id, i64::MAX, Living::Unknown, MemberKey([0; 3]));
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

impl Member {
    fn role(self) -> RoleCode {
        RoleCode::from_bits(self.role_and_flags & ROLE)
    }
}

impl Place {
    fn new(id: WorkspaceId, sequence: i64, standing: Living, owner: MemberKey) -> Self {
        let code = match standing {
            Living::Is(Status::Active) => 0,
            Living::Is(Status::Suspended) => 1,
            Living::Is(Status::Archived) => 2,
            Living::Deleted => 3,
            Living::Unknown => 4,
        };
        let sequence_and_standing = saturating(sequence).min(SEQUENCE) | code << STANDING_BITS;
        Self { id: place_key(id), owner, sequence_and_standing }
    }

    fn with_roles(self) -> Self {
        Self { sequence_and_standing: self.sequence_and_standing | HAS_ROLES, ..self }
    }

    fn standing(self) -> Living {
        match self.sequence_and_standing >> STANDING_BITS & 0b111 {
            0 => Living::Is(Status::Active),
            1 => Living::Is(Status::Suspended),
            2 => Living::Is(Status::Archived),
            3 => Living::Deleted,
            _ => Living::Unknown,
        }
    }
}

impl MemberKey {
    fn of(id: MembershipId) -> Self {
        let [first, second] = &*HASH;
        let (first, second) = (first.hash_one(id.0), second.hash_one(id.0));
        #[allow(clippy::cast_possible_truncation, reason = "as many bits as are kept")]
        Self([(first >> 32) as u32, first as u32, second as u32])
    }
}

fn place_key(id: WorkspaceId) -> PlaceKey {
    let bits = id.0.as_u128();
    #[allow(clippy::cast_possible_truncation, reason = "the four parts of it")]
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

/// A stream of four thousand million events stands still here; nobody has one.
fn saturating(sequence: i64) -> u32 {
    u32::try_from(sequence).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
