//! What lies in the index's tables, as small as it gets: a membership in twenty bytes, a workspace in thirty-two.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use tenure_aggregates::workspace::Status;
use tenure_aggregates::{MembershipId, Rights, Time, WorkspaceId};

use super::role_codes::RoleCode;
use super::table::Entry;

/// Secret to this process, so that nobody can make two memberships meet in one key.
static HASH: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// 96 bits of a membership's id, by a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MemberKey([u32; 3]);

/// Twenty bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) key: MemberKey,
    pub(super) sequence: u32,
    /// The role as recorded in the low 24 bits, flags above.
    pub(super) role_and_flags: u32,
}

pub(super) const DEACTIVATED: u32 = 1 << 24;
pub(super) const HAS_END: u32 = 1 << 25;
pub(super) const ENDED: u32 = 1 << 26;
pub(super) const ROLE: u32 = DEACTIVATED - 1;

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
pub(super) struct Place {
    pub(super) id: PlaceKey,
    pub(super) owner: MemberKey,
    /// The sequence in the low 28 bits, above it the standing and a flag.
    sequence_and_standing: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Living {
    Is(Status),
    Deleted,
    /// What it is cannot be read here: the log has to be asked.
    Unknown,
}

const STANDING_BITS: u32 = 28;
/// A workspace's own stream of so many events stands still here; nobody has one.
pub(super) const SEQUENCE: u32 = (1 << STANDING_BITS) - 1;
const HAS_ROLES: u32 = 1 << 31;

pub(super) type PlaceKey = [u32; 4];

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

impl Member {
    pub(super) fn role(self) -> RoleCode {
        RoleCode::from_bits(self.role_and_flags & ROLE)
    }
}

impl Place {
    pub(super) fn new(id: WorkspaceId, sequence: i64, standing: Living, owner: MemberKey) -> Self {
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

    pub(super) fn with_roles(self) -> Self {
        Self { sequence_and_standing: self.sequence_and_standing | HAS_ROLES, ..self }
    }

    pub(super) fn standing(self) -> Living {
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
    /// Nobody's.
    pub(super) const NONE: Self = Self([0; 3]);

    pub(super) fn of(id: MembershipId) -> Self {
        let [first, second] = &*HASH;
        let (first, second) = (first.hash_one(id.0), second.hash_one(id.0));
        #[allow(clippy::cast_possible_truncation, reason = "as many bits as are kept")]
        Self([(first >> 32) as u32, first as u32, second as u32])
    }

    /// Keyed already.
    pub(super) fn hash(&self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }
}

pub(super) fn place_key(id: WorkspaceId) -> PlaceKey {
    let bits = id.0.as_u128();
    #[allow(clippy::cast_possible_truncation, reason = "the four parts of it")]
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

pub(super) fn place_hash(key: &PlaceKey) -> u64 {
    HASH[0].hash_one(key)
}

/// A stream of four thousand million events stands still here; nobody has one.
pub(super) fn saturating(sequence: i64) -> u32 {
    u32::try_from(sequence).unwrap_or(u32::MAX)
}
