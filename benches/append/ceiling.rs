//! The ceiling: a group commit that nothing stands behind. One connection, one prepared statement, at most 512 events at
//! once; positions and sequences are this process's own to give, and no command is decided.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{HOT, Mode, Round};
use crate::load::Measured;
use crate::load::inside::drive;
use crate::postgres::checkpoint;
use crate::prefill::STREAM;

const BATCH: usize = 512;

const SCHEMA: &str = "
create table ceiling (
    position bigint primary key, aggregate_type text not null, aggregate_id text not null, sequence bigint not null,
    event_type text not null, event_version text not null, payload json not null, metadata json not null,
    unique (aggregate_type, aggregate_id, sequence));";

const INSERT: &str = "
insert into ceiling (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
select $1 + n, 'Membership', a, s, 'MembershipStarted', '1', d::json, m::json
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) with ordinality as e (a, s, d, m, n)";

/// As long as what Tenure writes for the same.
const PAYLOAD: &str = r#"{"type":"MembershipExpiryChanged","user_id":"01890a5d-ac96-774b-bcce-b302099a8057","expires_at":{"from":"2027-11-24T15:30:00.000000Z","to":"2028-11-24T15:30:00.000000Z"}}"#;
const METADATA: &str = r#"{"actor":{"type":"user","id":"01890a5d-ac96-774b-bcce-b302099a8057","via":"operator"},"command":"Write","sealed_by":null}"#;

/// One event to be written, and who waits for it.
struct Write {
    stream: String,
    done: oneshot::Sender<()>,
}

pub(super) async fn create(database: &PgConnectOptions) {
    let mut connection = database.connect().await.expect("a connection");
    connection.execute(SCHEMA).await.expect("a table");
    connection.close().await.expect("closed");
}

pub(super) async fn run(database: &PgConnectOptions, round: &Round) -> Measured {
    checkpoint(database).await;
    let mut connection = database.connect().await.expect("a connection");
    connection.execute("set plan_cache_mode = force_generic_plan").await.expect("set");
    let last = "select coalesce(max(position), 0) from ceiling";
    let position: i64 = sqlx::query_scalar(last).fetch_one(&mut connection).await.expect("a position");
    let (sender, queue) = mpsc::channel(8192);
    let heads = heads(&mut connection, round).await;
    let writer = tokio::spawn(write(connection, queue, heads, position));
    let hot: Arc<Vec<String>> =
        Arc::new((0..HOT).map(|_| Uuid::from_u128(rand::random()).to_string()).collect());
    let (mode, streams, next) = (round.mode, round.streams.clone(), round.next());
    let measured = drive(round.clients, round.window, move |client, _| {
        let stream = match mode {
            Mode::New => Uuid::from_u128(rand::random()).to_string(),
            Mode::Hot => hot[client % HOT].clone(),
            Mode::Warm | Mode::Cold => streams[next()].1.clone(),
        };
        let sender = sender.clone();
        async move {
            let (done, written) = oneshot::channel();
            sender.send(Write { stream, done }).await.expect("a writer");
            written.await.expect("written");
        }
    })
    .await;
    writer.await.expect("stopped");
    measured
}

/// The streams' last sequences, all in memory.
async fn heads(connection: &mut PgConnection, round: &Round) -> HashMap<String, i64> {
    if round.streams.is_empty() {
        return HashMap::new();
    }
    let streams: Vec<&str> = round.streams.iter().map(|(_, stream)| &**stream).collect();
    let longer = "select aggregate_id, max(sequence) from ceiling where aggregate_type = 'Membership'
                  and aggregate_id = any($1) and sequence > $2 group by 1";
    let longer: Vec<(String, i64)> = sqlx::query_as(longer)
        .bind(&streams)
        .bind(STREAM.cast_signed())
        .fetch_all(connection)
        .await
        .expect("the heads");
    let mut heads: HashMap<String, i64> =
        streams.into_iter().map(|stream| (stream.to_owned(), STREAM.cast_signed())).collect();
    heads.extend(longer);
    heads
}

async fn write(
    mut connection: PgConnection,
    mut queue: mpsc::Receiver<Write>,
    mut heads: HashMap<String, i64>,
    mut position: i64,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let sequences: Vec<i64> = batch
            .iter()
            .map(|write: &Write| {
                let head = heads.entry(write.stream.clone()).or_default();
                *head += 1;
                *head
            })
            .collect();
        let streams: Vec<&str> = batch.iter().map(|write| &*write.stream).collect();
        let written = sqlx::query(INSERT)
            .bind(position)
            .bind(streams)
            .bind(sequences)
            .bind(vec![PAYLOAD; batch.len()])
            .bind(vec![METADATA; batch.len()])
            .execute(&mut connection)
            .await
            .expect("written");
        position += written.rows_affected().cast_signed();
        for write in batch.drain(..) {
            let _ = write.done.send(());
        }
    }
    connection.close().await.expect("closed");
}
