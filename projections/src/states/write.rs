//! Rows of `states` and `joined_workspaces`, many at a time.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use tenure_aggregates::Time;
use uuid::Uuid;

use super::Kind;
use super::fold::{Known, Latest};
use crate::copy;
use crate::rows::column;

pub(super) struct Row {
    pub(super) workspace_id: Uuid,
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) from_position: i64,
    pub(super) since_position: i64,
    pub(super) sequence: i64,
    pub(super) recorded_at: Time,
    pub(super) sorted_by: Time,
    pub(super) gone: bool,
    pub(super) state: String,
}

/// A membership that began.
pub(super) struct Joined {
    pub(super) personal: Uuid,
    pub(super) workspace_id: Uuid,
    pub(super) user_id: String,
    pub(super) position: i64,
    /// For the first time ever: nothing of the user has been brought there yet.
    pub(super) first: bool,
}

/// A user whose profile or status changed.
pub(super) struct Changed {
    pub(super) personal: Uuid,
    pub(super) user_id: String,
    pub(super) position: i64,
}

/// The last state of each of these, if there is one: an index probe each.
pub(super) async fn load(
    conn: &mut PgConnection,
    keys: BTreeSet<(Uuid, Kind, String)>,
) -> Result<HashMap<(Uuid, Kind, String), Latest>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<_> = keys.into_iter().collect();
    let rows = sqlx::query!(
        r#"select k.number as "number!", s.since_position, s.sorted_by, s.state::text as "state!"
           from unnest($1::uuid[], $2::text[], $3::text[]) with ordinality k (workspace_id, kind, id, number)
           cross join lateral (
               select since_position, sorted_by, state from states s
               where s.workspace_id = k.workspace_id and s.kind = k.kind and s.id = k.id
               order by s.from_position desc limit 1) s"#,
        &keys.iter().map(|key| key.0).collect::<Vec<_>>(),
        &keys.iter().map(|key| key.1.as_str()).collect::<Vec<_>>() as _,
        &keys.iter().map(|key| key.2.as_str()).collect::<Vec<_>>() as _
    )
    .fetch_all(conn)
    .await?;
    let of = |number: i64| usize::try_from(number - 1).ok().and_then(|at| keys.get(at)).cloned();
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let (since_position, sorted_by) = (row.since_position, row.sorted_by);
            let state = Known::Stored(row.state);
            Some((of(row.number)?, Latest { since_position, sorted_by, state }))
        })
        .collect())
}

pub(super) async fn insert(conn: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<&Row> = rows.iter().collect();
    sqlx::query!(
        "insert into states (workspace_id, kind, id, from_position, since_position, sequence, recorded_at, sorted_by,
                             gone, state)
         select w, k, i, f, b, q, r, o, g, s::json
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[],
                     $8::timestamptz[], $9::bool[], $10::text[]) u (w, k, i, f, b, q, r, o, g, s)",
        &column(&rows, |row| row.workspace_id),
        &column(&rows, |row| row.kind.as_str()) as _,
        &column(&rows, |row| row.id.as_str()) as _,
        &column(&rows, |row| row.from_position),
        &column(&rows, |row| row.since_position),
        &column(&rows, |row| row.sequence),
        &column(&rows, |row| row.recorded_at),
        &column(&rows, |row| row.sorted_by),
        &column(&rows, |row| row.gone),
        &column(&rows, |row| row.state.as_str()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The same rows, into a table that is being built, and in the order of its key: they find its index's pages at hand.
pub(super) async fn copy(conn: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| {
        (row.workspace_id, row.kind.as_str(), row.id.as_str(), row.from_position)
    });
    let table = "states (workspace_id, kind, id, from_position, since_position, sequence, recorded_at, sorted_by, gone,
                         state)";
    copy::copy(conn, table, 10, rows, |copied, row| {
        copied
            .uuid(row.workspace_id)
            .text(row.kind.as_str())
            .text(&row.id)
            .number(row.from_position)
            .number(row.since_position)
            .number(row.sequence)
            .time(row.recorded_at)
            .time(row.sorted_by)
            .flag(row.gone)
            .text(&row.state);
        Ok(())
    })
    .await
}

/// Whoever joins a workspace brings every state of theirs along; once there, [`spread_profiles`] brings the later ones.
/// A copy keeps its own place in the log, so that it does not matter in which order the two workspaces are read:
/// one of them may have been parked.
pub(super) async fn join(conn: &mut PgConnection, joined: &[Joined]) -> Result<(), sqlx::Error> {
    /// `$and` says what becomes of those that are there already.
    macro_rules! insert {
        ($joined:expr, $and:literal) => {
            let joined: &[&Joined] = &$joined;
            if !joined.is_empty() {
                let personal = column(joined, |row| row.personal);
                let workspaces = column(joined, |row| row.workspace_id);
                sqlx::query!(
                    "insert into joined_workspaces (workspace_id, member_of, since_position)
                     select p, w, min(f) from unnest($1::uuid[], $2::uuid[], $3::bigint[]) u (p, w, f) group by p, w"
                        + $and,
                    &personal,
                    &workspaces,
                    &column(joined, |row| row.position)
                )
                .execute(&mut *conn)
                .await?;
                sqlx::query!(
                    "insert into states (workspace_id, kind, id, from_position, since_position, sequence, recorded_at,
                                         sorted_by, gone, state)
                     select j.workspace_id, 'Profile', j.user_id, s.from_position, s.since_position, s.sequence,
                            s.recorded_at, s.sorted_by, s.gone, s.state
                     from unnest($1::uuid[], $2::uuid[], $3::text[]) j (personal, workspace_id, user_id)
                     join states s on s.workspace_id = j.personal and s.kind = 'User' and s.id = j.user_id"
                        + $and,
                    &personal,
                    &workspaces,
                    &column(joined, |row| row.user_id.as_str()) as _
                )
                .execute(&mut *conn)
                .await?;
            }
        };
    }
    let (first, again): (Vec<&Joined>, Vec<&Joined>) = joined.iter().partition(|row| row.first);
    insert!(first, "");
    insert!(again, " on conflict do nothing");
    Ok(())
}

/// Brings a user's new states to every workspace the user ever joined.
pub(super) async fn spread_profiles(conn: &mut PgConnection, changed: &[Changed]) -> Result<(), sqlx::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<&Changed> = changed.iter().collect();
    sqlx::query!(
        "insert into states (workspace_id, kind, id, from_position, since_position, sequence, recorded_at, sorted_by,
                             gone, state)
         select j.member_of, 'Profile', c.user_id, s.from_position, s.since_position, s.sequence, s.recorded_at,
                s.sorted_by, s.gone, s.state
         from unnest($1::uuid[], $2::text[], $3::bigint[]) c (personal, user_id, position)
         join states s on s.workspace_id = c.personal and s.kind = 'User' and s.id = c.user_id
                      and s.from_position = c.position
         join joined_workspaces j on j.workspace_id = c.personal
         on conflict do nothing",
        &column(&changed, |row| row.personal),
        &column(&changed, |row| row.user_id.as_str()) as _,
        &column(&changed, |row| row.position)
    )
    .execute(conn)
    .await?;
    Ok(())
}
