//! Rows on their way into PostgreSQL: COPY in its binary form, and indexes made when the rows are there.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Bytes of rows that go together.
const CHUNK: usize = 1 << 20;
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    DataKeys,
    WorkspaceHeads,
}

impl Table {
    const ALL: [Self; 3] = [Self::Events, Self::DataKeys, Self::WorkspaceHeads];

    fn statement(self) -> &'static str {
        match self {
            Self::Events => {
                "copy events (position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                 event_version, payload, metadata, recorded_at) from stdin (format binary)"
            }
            Self::DataKeys => {
                "copy data_keys (key_id, workspace_id, invitation_id, address_hash, wrapped, wrapped_by, created_at)
                 from stdin (format binary)"
            }
            Self::WorkspaceHeads => {
                "copy workspace_heads (workspace_id, seq, seats, code_uses) from stdin (format binary)"
            }
        }
    }
}

/// Rows of one table, in the binary form.
pub(super) struct Rows {
    table: Table,
    bytes: Vec<u8>,
    to: mpsc::Sender<Vec<u8>>,
}

pub(super) struct Sender {
    pub events: Rows,
    pub data_keys: Rows,
    pub workspace_heads: Rows,
}

pub(super) type Received = Vec<(Table, mpsc::Receiver<Vec<u8>>)>;

pub(super) fn channel() -> (Sender, Received) {
    let mut received = Vec::new();
    let [events, data_keys, workspace_heads] = Table::ALL.map(|table| {
        let (to, from) = mpsc::channel(8);
        received.push((table, from));
        Rows { table, bytes: HEADER.to_vec(), to }
    });
    (Sender { events, data_keys, workspace_heads }, received)
}

/// Copies what comes, each table on a connection of its own, until all is there.
pub(super) async fn receive(database: &PgConnectOptions, received: Received) {
    let copies = received.into_iter().map(async |(table, mut rows)| {
        let mut connection = database.connect().await.expect("a connection");
        let mut copy = connection.copy_in_raw(table.statement()).await.expect("a copy");
        while let Some(bytes) = rows.recv().await {
            copy.send(bytes).await.expect("sent");
        }
        copy.finish().await.expect("copied");
        connection.close().await.expect("closed");
    });
    futures::future::join_all(copies).await;
}

impl Rows {
    /// Begins a row of so many columns.
    pub fn row(&mut self, columns: i16) {
        if self.bytes.len() >= CHUNK {
            let full = std::mem::replace(&mut self.bytes, Vec::with_capacity(CHUNK + CHUNK / 8));
            self.send(full);
        }
        self.bytes.extend_from_slice(&columns.to_be_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a short column");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn uuid(&mut self, id: Uuid) {
        self.bytes(id.as_bytes());
    }

    pub fn big(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    pub fn int(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    /// Microseconds since the beginning of 2000.
    pub fn time(&mut self, time: DateTime<Utc>) {
        self.big(time.timestamp_micros() - 946_684_800_000_000);
    }

    pub fn end(mut self) {
        let mut last = std::mem::take(&mut self.bytes);
        last.extend_from_slice(&END);
        self.send(last);
    }

    fn send(&self, bytes: Vec<u8>) {
        self.to.blocking_send(bytes).unwrap_or_else(|_| panic!("{:?} take no more", self.table));
    }
}

/// The statements that make a table's keys and indexes again.
pub(super) struct Indexes(Vec<String>);

/// Drops a table's keys and indexes: making them over all rows at once is far cheaper than row by row.
pub(super) async fn without_indexes(owner: &mut PgConnection, table: &str) -> Indexes {
    let found: Vec<(String, String)> = sqlx::query_as(
        "select format('alter table %s drop constraint %I', conrelid::regclass, conname),
                format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
         from pg_constraint where conrelid = $1::regclass and contype in ('p', 'u')
         union all
         select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) from pg_index
         where indrelid = $1::regclass and not exists (select from pg_constraint where conindid = indexrelid)",
    )
    .bind(table)
    .fetch_all(&mut *owner)
    .await
    .expect("the indexes");
    let mut again = Vec::new();
    for (drop, make) in found {
        owner.execute(drop.as_str()).await.expect("dropped");
        again.push(make);
    }
    Indexes(again)
}

impl Indexes {
    pub async fn make(self, owner: &mut PgConnection) {
        owner.execute("set maintenance_work_mem = '512MB'").await.expect("set");
        for make in self.0 {
            owner.execute(make.as_str()).await.expect("an index");
        }
    }
}
