//! The append: fence, workspace heads and counters, idempotency keys, data keys and events in one statement, one round
//! trip.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Plan;
use crate::data_keys::Owner;

/// Fence, heads and events, and whatever else the batch needs: most need only some of it, and are spared the rest. No row
/// is inserted when the fence moved. Of the parameters, each part takes those after the part before.
macro_rules! append {
    ($($also:expr),*) => {
        concat!(
            "
with head as (
    update log_head set position = position + $1, recorded_at = $2 where id = 1 and position = $3 and epoch = $4
    returning position - $1 as base
), heads as (
    insert into workspace_heads (workspace_id, seq, seats, code_uses)
    select w.* from unnest($5::uuid[], $6::bigint[], $7::int[], $8::int[]) w, head
    on conflict (workspace_id) do update
        set seq = excluded.seq, seats = excluded.seats, code_uses = excluded.code_uses
)",
            $($also,)*
            "
insert into events (position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                    event_version, payload, metadata, recorded_at)
select head.base + e.n, e.workspace_id, e.workspace_seq, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
       e.event_version, e.payload::json, e.metadata::json, e.recorded_at
from head, unnest($9::uuid[], $10::bigint[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[],
                  $16::text[], $17::text[], $18::timestamptz[]) with ordinality
    e (workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
       metadata, recorded_at, n)"
        )
    };
}

/// An idempotency key that is used already fails the statement: that is how it is found out.
macro_rules! new_keys {
    () => {
        ", keys as (
    insert into idempotency (workspace_id, digest, fingerprint, answer, position, recorded_at)
    select k.workspace_id, k.digest, k.fingerprint, k.answer, head.base + k.n, k.recorded_at
    from unnest($19::uuid[], $20::uuid[], $21::bytea[], $22::text[], $23::bigint[], $24::timestamptz[])
        k (workspace_id, digest, fingerprint, answer, n, recorded_at), head
)"
    };
}

macro_rules! new_heads {
    () => {
        ", new_heads as (
    insert into workspace_heads (workspace_id, seq, seats, code_uses)
    select w.* from unnest($25::uuid[], $26::bigint[], $27::int[], $28::int[]) w, head
)"
    };
}

macro_rules! new_data_keys {
    () => {
        ", new_data_keys as (
    insert into data_keys (key_id, workspace_id, invitation_id, address_hash, wrapped, wrapped_by, created_at, destroyed_at)
    select k.key_id, k.workspace_id, k.invitation_id, k.address_hash, k.wrapped, k.wrapped_by, k.created_at,
           case when k.wrapped is null then k.created_at end
    from unnest($29::uuid[], $30::uuid[], $31::uuid[], $32::bytea[], $33::bytea[], $34::bytea[], $35::timestamptz[])
        k (key_id, workspace_id, invitation_id, address_hash, wrapped, wrapped_by, created_at), head
)"
    };
}

const EVENTS: &str = append!();

/// And idempotency keys used up.
const EVENTS_KEYED: &str = append!(new_keys!());

/// And workspaces and data keys that begin.
const EVENTS_BEGINNING: &str = append!(new_keys!(), new_heads!(), new_data_keys!());

/// And data keys that end. What was sealed with them was written by statements before this one.
const EVENTS_FORGETTING: &str = append!(
    new_keys!(),
    new_heads!(),
    new_data_keys!(),
    ", destroyed as (
    update data_keys d set wrapped = null, address_hash = null, destroyed_at = $2 from head
    where d.destroyed_at is null and (d.workspace_id = any($36::uuid[]) or d.address_hash = any($37::bytea[]))
)"
);

/// Sends a batch of at least one event; returns how many events were inserted: all or none.
pub(super) async fn append(connection: &mut PgConnection, plan: &Plan, epoch: i64) -> sqlx::Result<u64> {
    let (keys, data_keys, events) = (Keys::of(plan), DataKeys::of(plan), Events::of(plan));
    let (heads, new_heads) = (Heads::of(plan, true), Heads::of(plan, false));
    let statement = match () {
        () if plan.destroys => EVENTS_FORGETTING,
        () if !new_heads.workspaces.is_empty() || !data_keys.ids.is_empty() => EVENTS_BEGINNING,
        () if !keys.workspaces.is_empty() => EVENTS_KEYED,
        () => EVENTS,
    };
    let mut query = sqlx::query(statement)
        .bind(plan.events)
        .bind(plan.recorded_at)
        .bind(plan.base)
        .bind(epoch)
        .bind(heads.workspaces)
        .bind(heads.seqs)
        .bind(heads.seats)
        .bind(heads.code_uses)
        .bind(events.workspaces)
        .bind(events.workspace_seqs)
        .bind(events.aggregate_types)
        .bind(events.aggregate_ids)
        .bind(events.sequences)
        .bind(events.event_types)
        .bind(events.event_versions)
        .bind(events.payloads)
        .bind(events.metadata)
        .bind(events.recorded_at);
    if statement != EVENTS {
        query = query
            .bind(keys.workspaces)
            .bind(keys.digests)
            .bind(keys.fingerprints)
            .bind(keys.answers)
            .bind(keys.positions)
            .bind(keys.recorded_at);
    }
    if statement == EVENTS_BEGINNING || statement == EVENTS_FORGETTING {
        query = query
            .bind(new_heads.workspaces)
            .bind(new_heads.seqs)
            .bind(new_heads.seats)
            .bind(new_heads.code_uses)
            .bind(data_keys.ids)
            .bind(data_keys.workspaces)
            .bind(data_keys.invitations)
            .bind(data_keys.address_hashes)
            .bind(data_keys.wrapped)
            .bind(data_keys.wrapped_by)
            .bind(data_keys.created_at);
    }
    if let Some(unit) = plan.accepted.first().filter(|_| statement == EVENTS_FORGETTING) {
        let destruction = &unit.job.append.destruction;
        let addresses: Vec<&[u8]> = destruction.addresses.iter().map(<[u8; 32]>::as_slice).collect();
        query = query.bind(destruction.workspaces.clone()).bind(addresses);
    }
    Ok(query.execute(connection).await?.rows_affected())
}

/// Keeps the keys of a batch in which nothing changes; returns how many were new.
pub(super) async fn keep_keys(connection: &mut PgConnection, plan: &Plan) -> sqlx::Result<u64> {
    let keys = Keys::of(plan);
    let positions: Vec<i64> = keys.positions.iter().map(|offset| plan.base + offset).collect();
    let done = sqlx::query!(
        "insert into idempotency (workspace_id, digest, fingerprint, answer, position, recorded_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bigint[], $6::timestamptz[])
         on conflict do nothing",
        &keys.workspaces,
        &keys.digests,
        &keys.fingerprints as &[&[u8]],
        &keys.answers as &[&str],
        &positions,
        &keys.recorded_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Heads of workspaces as the batch leaves them.
#[derive(Default)]
struct Heads {
    workspaces: Vec<Uuid>,
    seqs: Vec<i64>,
    seats: Vec<i32>,
    code_uses: Vec<i32>,
}

impl Heads {
    /// Those the database has, or those it has not.
    fn of(plan: &Plan, stored: bool) -> Self {
        let mut columns = Self::default();
        for (workspace, head) in plan.changes.workspaces.iter().filter(|(_, head)| head.stored == stored) {
            columns.workspaces.push(*workspace);
            columns.seqs.push(head.seq);
            columns.seats.push(head.seats);
            columns.code_uses.push(head.code_uses);
        }
        columns
    }
}

#[derive(Default)]
pub(super) struct Keys<'a> {
    pub workspaces: Vec<Uuid>,
    pub digests: Vec<Uuid>,
    fingerprints: Vec<&'a [u8]>,
    answers: Vec<&'a str>,
    positions: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let mut columns = Self::default();
        for unit in &plan.accepted {
            let Some(key) = &unit.job.append.key else { continue };
            columns.workspaces.push(key.request.id.workspace);
            columns.digests.push(key.request.id.digest);
            columns.fingerprints.push(&key.request.fingerprint);
            columns.answers.push(&key.answer);
            columns.positions.push(unit.offset + i64::try_from(unit.job.append.events.len()).unwrap_or(0));
            columns.recorded_at.push(unit.recorded_at);
        }
        columns
    }
}

/// The keys that begin with a batch.
#[derive(Default)]
struct DataKeys<'a> {
    ids: Vec<Uuid>,
    workspaces: Vec<Uuid>,
    invitations: Vec<Option<Uuid>>,
    address_hashes: Vec<Option<&'a [u8]>>,
    wrapped: Vec<Option<&'a [u8]>>,
    wrapped_by: Vec<&'a [u8]>,
    created_at: Vec<DateTime<Utc>>,
}

impl<'a> DataKeys<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut columns = Self::default();
        for unit in &plan.accepted {
            for new in &unit.job.append.data_keys {
                let gone = unit.job.append.destroys(new);
                columns.ids.push(new.key.id);
                columns.workspaces.push(new.owner.workspace().0);
                columns.invitations.push(match new.owner {
                    Owner::Workspace(_) => None,
                    Owner::Invitation(_, invitation) => Some(invitation.0),
                });
                let hash = new.address_hash.as_ref().map(<[u8; 32]>::as_slice);
                columns.address_hashes.push(hash.filter(|_| !gone));
                columns.wrapped.push((!gone).then_some(&*new.wrapped.wrapped));
                columns.wrapped_by.push(&new.wrapped.wrapped_by);
                columns.created_at.push(unit.recorded_at);
            }
        }
        columns
    }
}

#[derive(Default)]
struct Events<'a> {
    workspaces: Vec<Uuid>,
    workspace_seqs: Vec<i64>,
    aggregate_types: Vec<&'a str>,
    aggregate_ids: Vec<&'a str>,
    sequences: Vec<i64>,
    event_types: Vec<&'a str>,
    event_versions: Vec<&'a str>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    recorded_at: Vec<DateTime<Utc>>,
}

impl<'a> Events<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut columns = Self::default();
        for unit in &plan.accepted {
            for (event, workspace_seq) in unit.job.append.events.iter().zip(&unit.workspace_seqs) {
                columns.workspaces.push(event.workspace);
                columns.workspace_seqs.push(*workspace_seq);
                columns.aggregate_types.push(event.stream.aggregate_type);
                columns.aggregate_ids.push(&event.stream.id);
                columns.sequences.push(event.sequence);
                columns.event_types.push(event.event_type);
                columns.event_versions.push(&event.event_version);
                columns.payloads.push(&event.payload);
                columns.metadata.push(&event.metadata);
                columns.recorded_at.push(unit.recorded_at);
            }
        }
        columns
    }
}
