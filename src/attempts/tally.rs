//! Equal attempts within a minute are one; a workspace has its share of rows a minute, and what goes beyond is counted
//! in one row more.

use std::collections::HashMap;

use tenure_aggregates::{ApiKeyId, Time, WorkspaceId};
use tenure_projections::attempts::Attempt as Row;

use super::{Action, Attempt, Noted, Place};
use crate::store::origin::Actor;

/// How many different attempts wait to be looked into.
const WAITING: usize = 8_192;
/// How many rows a workspace gets in a minute.
pub(super) const SHARE: usize = 30;
/// How many rows of the present minute are remembered.
const ROWS: usize = 16_384;

/// What makes two attempts equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub place: Place,
    minute: i64,
    action: Action,
    code: &'static str,
    permission: Option<String>,
    command: Option<&'static str>,
    shown: Option<ApiKeyId>,
    actor: Option<Actor>,
    via: Option<String>,
    ip: Option<String>,
}

impl Key {
    fn of(attempt: &Attempt) -> Self {
        Self {
            place: attempt.place.clone(),
            minute: minute(attempt.at),
            action: attempt.action,
            code: attempt.code,
            permission: attempt.permission.clone(),
            command: attempt.command,
            shown: attempt.key,
            actor: attempt.origin.actor.clone(),
            via: attempt.origin.via.clone(),
            ip: attempt.origin.ip.clone(),
        }
    }

    /// Whatever goes beyond a workspace's share in that minute.
    fn omitted(workspace: WorkspaceId, minute: i64) -> Self {
        Self {
            place: Place::Workspace(workspace),
            minute,
            action: Action::Omitted,
            code: "rate_bounded",
            permission: None,
            command: None,
            shown: None,
            actor: None,
            via: None,
            ip: None,
        }
    }
}

pub(super) fn minute(at: Time) -> i64 {
    at.timestamp().div_euclid(60)
}

pub(super) fn count_dropped(times: u64) {
    metrics::counter!("tenure_refused_attempts_dropped_total").increment(times);
}

/// Equal attempts, counted: the first of them stands for all.
#[derive(Debug)]
pub(super) struct Counted {
    pub first: Attempt,
    pub last_at: Time,
    pub times: i64,
    pub position: i64,
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.times = self.times.saturating_add(other.times);
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// What was noted and not looked into yet.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<Key, Counted>);

impl Waiting {
    pub(super) fn note(&mut self, noted: Noted) {
        let Noted { attempt, position } = noted;
        let (key, last_at, times) = (Key::of(&attempt), attempt.at, attempt.times);
        self.put(key, Counted { first: attempt, last_at, times, position });
    }

    pub(super) fn put(&mut self, key: Key, counted: Counted) {
        if let Some(known) = self.0.get_mut(&key) {
            known.add(&counted);
        } else if self.0.len() < WAITING {
            self.0.insert(key, counted);
        } else {
            count_dropped(counted.times.unsigned_abs());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.keys().map(|key| &key.place)
    }

    /// Where the log ended at the latest of them.
    pub(super) fn position(&self) -> i64 {
        self.0.values().map(|counted| counted.position).max().unwrap_or(0)
    }

    pub(super) fn take(&mut self) -> Vec<(Key, Counted)> {
        self.0.drain().collect()
    }
}

/// A row of the present minute, and whether the database has it so.
#[derive(Debug)]
struct Kept {
    row: Row,
    written: bool,
}

/// The rows of the present minute.
#[derive(Debug, Default)]
pub(super) struct Rows {
    kept: HashMap<Key, Kept>,
    used: HashMap<(WorkspaceId, i64), usize>,
}

impl Rows {
    /// Where attempts on a workspace that is known to be there are counted: in their own row as long as the workspace's
    /// share lasts, else in the one for the rest.
    pub(super) fn own_or_rest(&mut self, workspace: WorkspaceId, mut key: Key) -> Key {
        key.place = Place::Workspace(workspace);
        if self.kept.contains_key(&key) {
            return key;
        }
        let used = self.used.entry((workspace, key.minute)).or_default();
        if *used >= SHARE {
            return Key::omitted(workspace, key.minute);
        }
        *used += 1;
        key
    }

    /// Counts in a row that is there; tells whether it is.
    pub(super) fn count(&mut self, key: &Key, counted: &Counted) -> bool {
        let Some(kept) = self.kept.get_mut(key) else { return false };
        kept.row.count = kept.row.count.saturating_add(counted.times);
        kept.row.last_at = kept.row.last_at.max(counted.last_at);
        kept.written = false;
        true
    }

    pub(super) fn begin(&mut self, key: Key, row: Row) {
        if self.kept.len() < ROWS {
            self.kept.insert(key, Kept { row, written: false });
        } else {
            count_dropped(row.count.unsigned_abs());
        }
    }

    pub(super) fn due(&self) -> Vec<Row> {
        self.kept.values().filter(|kept| !kept.written).map(|kept| kept.row.clone()).collect()
    }

    /// Everything that was due is written; of minutes that are over, nothing more is to come.
    pub(super) fn written(&mut self, now: Time) {
        // A minute's attempts may still be on their way when it ends.
        let over = minute(now) - 1;
        self.kept.retain(|key, kept| {
            kept.written = true;
            key.minute >= over
        });
        self.used.retain(|(_, minute), _| *minute >= over);
    }
}

impl Key {
    pub(super) fn action(&self) -> Action {
        self.action
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use tenure_aggregates::UserId;
    use uuid::Uuid;

    use super::*;
    use crate::store::Origin;

    const HERE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

    fn noted(user: &str, second: i64) -> Noted {
        let actor = Some(Actor::User(UserId::parse(user).unwrap()));
        let attempt = Attempt {
            place: Place::Workspace(HERE),
            action: Action::CommandDenied,
            code: "permission_denied",
            permission: None,
            command: None,
            key: None,
            origin: Arc::new(Origin { actor, ..Origin::default() }),
            at: Time::UNIX_EPOCH + TimeDelta::seconds(second),
            times: 1,
        };
        Noted { attempt, position: second }
    }

    fn row(key: &Key, counted: &Counted) -> Row {
        Row {
            workspace_id: HERE.0,
            attempt_id: Uuid::nil(),
            workspace_seq: 0,
            position: counted.position,
            first_at: counted.first.at,
            last_at: counted.last_at,
            count: counted.times,
            action: key.action().as_str().to_owned(),
            actor_type: "user".to_owned(),
            actor_id: counted.first.origin.user().map(ToString::to_string),
            via: None,
            target_type: "workspace".to_owned(),
            target_id: HERE.to_string(),
            code: key.code().to_owned(),
            permission: None,
            command: None,
            origin: None,
            request_id: None,
            correlation_id: None,
        }
    }

    fn add(rows: &mut Rows, attempts: impl IntoIterator<Item = Noted>) {
        let mut waiting = Waiting::default();
        attempts.into_iter().for_each(|attempt| waiting.note(attempt));
        let mut taken = waiting.take();
        taken.sort_by_key(|(_, counted)| counted.position);
        for (key, counted) in taken {
            let key = rows.own_or_rest(HERE, key);
            if !rows.count(&key, &counted) {
                let row = row(&key, &counted);
                rows.begin(key, row);
            }
        }
    }

    #[test]
    fn equal_attempts_within_a_minute_are_one_row_with_a_count() {
        let mut rows = Rows::default();
        add(&mut rows, [noted("ada", 1), noted("ada", 20), noted("bob", 30)]);
        add(&mut rows, [noted("ada", 59), noted("ada", 60)]);
        let mut due = rows.due();
        due.sort_by_key(|row| (row.actor_id.clone(), row.first_at));
        let told: Vec<_> =
            due.iter().map(|row| (row.count, row.first_at.timestamp(), row.last_at.timestamp())).collect();
        assert_eq!(told, [(3, 1, 59), (1, 60, 60), (1, 30, 30)]);
        assert_eq!(due[0].position, 1);
    }

    #[test]
    fn what_goes_beyond_a_workspaces_share_is_one_row_that_counts_the_rest() {
        let mut rows = Rows::default();
        add(&mut rows, (0..50).map(|n| noted(&format!("u{n}"), 5)));
        // Those that have a row still count there.
        add(&mut rows, (0..50).map(|n| noted(&format!("u{n}"), 6)));
        let due = rows.due();
        assert_eq!(due.len(), SHARE + 1);
        let omitted: Vec<_> = due.iter().filter(|row| row.action == "attempts.omitted").collect();
        assert_eq!((omitted.len(), omitted[0].count), (1, 40));
        assert_eq!(due.iter().map(|row| row.count).sum::<i64>(), 100);
    }

    #[test]
    fn what_is_written_is_written_once_and_what_is_over_is_forgotten() {
        let mut rows = Rows::default();
        add(&mut rows, [noted("ada", 5)]);
        rows.written(Time::UNIX_EPOCH + TimeDelta::seconds(70));
        assert!(rows.due().is_empty());
        add(&mut rows, [noted("ada", 59)]);
        assert_eq!(rows.due()[0].count, 2);
        rows.written(Time::UNIX_EPOCH + TimeDelta::seconds(180));
        assert!(rows.kept.is_empty() && rows.used.is_empty());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut waiting = Waiting::default();
        for n in 0..WAITING + 1000 {
            waiting.note(noted(&format!("u{n}"), 5));
        }
        assert_eq!(waiting.take().len(), WAITING);
        assert!(waiting.is_empty());
    }
}
