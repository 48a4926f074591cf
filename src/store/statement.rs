//! The append: fence, workspace heads and counters, idempotency keys, data keys and events in one statement, one round
//! trip.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Plan;
use crate::data_keys::Owner;

/// Most batches begin no key, and are spared the table.
macro_rules! new_data_keys {
    () => {
        ", new_data_keys as (
    insert into data_keys (key_id, workspace_id, invitation_id, address_hash, wrapped, wrapped_by, created_at, destroyed_at)
    select k.key_id, k.workspace_id, k.invitation_id, k.address_hash, k.wrapped, k.wrapped_by, k.created_at,
           case when k.wrapped is null then k.created_at end
    from unnest($26::uuid[], $27::uuid[], $28::uuid[], $29::bytea[], $30::bytea[], $31::bytea[], $32::timestamptz[])
        k (key_id, workspace_id, invitation_id, address_hash, wrapped, wrapped_by, created_at), head
)"
    };
}

/// No row is inserted when the fence moved or one of the keys is used already. The keys are looked up laterally, so
/// that a plan made while the table was empty still uses the index when it is not.
macro_rules! append {
    ($($also:expr),*) => {
        concat!(
            "
with head as (
    update log_head set position = position + $1, recorded_at = $2
    where id = 1 and position = $3 and epoch = $4 and not exists (
        select from unnest($5::uuid[], $6::text[], $7::text[]) k (workspace_id, principal, key)
        cross join lateral (select from idempotency i
            where i.workspace_id = k.workspace_id and i.principal = k.principal and i.key = k.key limit 1) used)
    returning position - $1 as base
), heads as (
    insert into workspace_heads (workspace_id, seq, seats, code_uses)
    select w.* from unnest($8::uuid[], $9::bigint[], $10::int[], $11::int[]) w, head
    on conflict (workspace_id) do update
        set seq = excluded.seq, seats = excluded.seats, code_uses = excluded.code_uses
), keys as (
    insert into idempotency (workspace_id, principal, key, fingerprint, answer, position, recorded_at)
    select k.workspace_id, k.principal, k.key, k.fingerprint, k.answer, head.base + k.n, k.recorded_at
    from unnest($5::uuid[], $6::text[], $7::text[], $12::bytea[], $13::text[], $14::bigint[], $15::timestamptz[])
        k (workspace_id, principal, key, fingerprint, answer, n, recorded_at), head
)",
            $($also,)*
            "
insert into events (position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                    event_version, payload, metadata, recorded_at)
select head.base + e.n, e.workspace_id, e.workspace_seq, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
       e.event_version, e.payload::json, e.metadata::json, e.recorded_at
from head, unnest($16::uuid[], $17::bigint[], $18::text[], $19::text[], $20::bigint[], $21::text[], $22::text[],
                  $23::text[], $24::text[], $25::timestamptz[]) with ordinality
    e (workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
       metadata, recorded_at, n)"
        )
    };
}

const APPEND: &str = append!();

/// The same, and keys that begin with it.
const APPEND_AND_KEEP: &str = append!(new_data_keys!());

/// The same, and the keys that end with it. What was sealed with them was written by statements before this one.
const APPEND_AND_DESTROY: &str = append!(
    new_data_keys!(),
    ", destroyed as (
    update data_keys d set wrapped = null, address_hash = null, destroyed_at = $2 from head
    where d.destroyed_at is null and (d.workspace_id = any($33::uuid[]) or d.address_hash = any($34::bytea[]))
)"
);

/// Sends a batch of at least one event; returns how many events were inserted: all or none.
pub(super) async fn append(connection: &mut PgConnection, plan: &Plan, epoch: i64) -> sqlx::Result<u64> {
    let keys = Keys::of(plan);
    let events = Events::of(plan);
    let heads: Vec<_> = plan.workspaces.iter().collect();
    let data_keys = DataKeys::of(plan);
    let statement = match (plan.destroys, data_keys.ids.is_empty()) {
        (true, _) => APPEND_AND_DESTROY,
        (false, false) => APPEND_AND_KEEP,
        (false, true) => APPEND,
    };
    let query = sqlx::query(statement)
        .bind(plan.events)
        .bind(plan.recorded_at)
        .bind(plan.base)
        .bind(epoch)
        .bind(&keys.workspaces)
        .bind(&keys.principals)
        .bind(&keys.names)
        .bind(heads.iter().map(|(workspace, _)| **workspace).collect::<Vec<Uuid>>())
        .bind(heads.iter().map(|(_, head)| head.seq).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, head)| head.seats).collect::<Vec<_>>())
        .bind(heads.iter().map(|(_, head)| head.code_uses).collect::<Vec<_>>())
        .bind(&keys.fingerprints)
        .bind(&keys.answers)
        .bind(&keys.positions)
        .bind(&keys.recorded_at)
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
    if !plan.destroys && data_keys.ids.is_empty() {
        return Ok(query.execute(connection).await?.rows_affected());
    }
    let query = query
        .bind(data_keys.ids)
        .bind(data_keys.workspaces)
        .bind(data_keys.invitations)
        .bind(data_keys.address_hashes)
        .bind(data_keys.wrapped)
        .bind(data_keys.wrapped_by)
        .bind(data_keys.created_at);
    let query = match plan.accepted.first() {
        Some(unit) if plan.destroys => {
            let destruction = &unit.job.append.destruction;
            let addresses: Vec<&[u8]> = destruction.addresses.iter().map(<[u8; 32]>::as_slice).collect();
            query.bind(destruction.workspaces.clone()).bind(addresses)
        }
        _ => query,
    };
    Ok(query.execute(connection).await?.rows_affected())
}

/// Keeps the keys of a batch in which nothing changes; returns how many were new.
pub(super) async fn keep_keys(connection: &mut PgConnection, plan: &Plan) -> sqlx::Result<u64> {
    let keys = Keys::of(plan);
    let positions: Vec<i64> = keys.positions.iter().map(|offset| plan.base + offset).collect();
    let done = sqlx::query!(
        "insert into idempotency (workspace_id, principal, key, fingerprint, answer, position, recorded_at)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::timestamptz[])
         on conflict do nothing",
        &keys.workspaces,
        &keys.principals as &[&str],
        &keys.names as &[&str],
        &keys.fingerprints as &[&[u8]],
        &keys.answers as &[&str],
        &positions,
        &keys.recorded_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

#[derive(Default)]
pub(super) struct Keys<'a> {
    pub workspaces: Vec<Uuid>,
    pub principals: Vec<&'a str>,
    pub names: Vec<&'a str>,
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
            let scope = &key.request.scope;
            columns.workspaces.push(scope.workspace);
            columns.principals.push(&scope.principal);
            columns.names.push(&scope.key);
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
