//! A database of its own per test, with the log's schema, and the read models as comparable text.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tenure::data_keys::Vault;
use tenure::overload::Pressure;
use tenure::projector::{Handle, Projector};
use tenure::secrets::{MasterKey, MasterKeys};
use tenure_aggregates::Time;
use tenure_projections::{ALL, Logged, Recorded};
use tokio::sync::watch;

use crate::support::cluster::fresh_database;

pub struct Database {
    pub name: String,
    options: PgConnectOptions,
    pub owner: PgPool,
    pub projector: PgPool,
    pub service: PgPool,
    pub vault: Vault,
    keeper: PgPool,
}

pub fn clock() -> Time {
    Time::from_timestamp(1_800_000_000, 0).unwrap()
}

impl Database {
    pub async fn new() -> Self {
        let options = fresh_database().await;
        let name = options.get_database().unwrap().to_owned();
        let owner = PgPoolOptions::new().max_connections(4).connect_with(options.clone()).await.unwrap();
        let projector = pool(&options, "tenure_projector", 4);
        let service = pool(&options, "tenure_service", 4);
        let keeper = pool(&options, "tenure_keeper", 2);
        let masters = MasterKeys::of(vec![MasterKey::of([1; 32])]);
        let (vault, _) = Vault::open(keeper.clone(), masters).await.unwrap();
        Self { name, options, owner, projector, service, vault, keeper }
    }

    /// A pool of that role, as another process would have.
    pub fn pool(&self, role: &'static str, connections: u32) -> PgPool {
        pool(&self.options, role, connections)
    }

    /// A pool that logs in as that role.
    pub fn login(&self, role: &str) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.options.clone().username(role))
    }

    pub async fn remove(self) {
        for pool in [self.owner, self.projector, self.service, self.keeper] {
            pool.close().await;
        }
        let mut admin = PgConnection::connect_with(&self.options.database("postgres")).await.unwrap();
        admin.execute(&*format!("drop database {} with (force)", self.name)).await.unwrap();
    }

    /// As text: as JSON they would be stored with a space before them, and their leaves are made of all that is stored.
    pub async fn append(&self, events: &[Logged]) {
        let mut tx = self.owner.begin().await.unwrap();
        sqlx::query(
            "insert into events select * from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[],
                 $6::bigint[], $7::text[], $8::text[], $9::text[]::json[], $10::text[]::json[], $11::timestamptz[])",
        )
        .bind(events.iter().map(|e| e.position).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.workspace_id).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.workspace_seq).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.aggregate_type.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.sequence).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.event_type.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.event_version.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.payload.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.metadata.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.recorded_at).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query("update log_head set position = greatest(position, $1)")
            .bind(events.last().unwrap().position)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Applies events by hand, cut as told, and answers the read models.
    pub async fn fold(
        &self,
        events: &[Recorded],
        mut cut: impl FnMut() -> usize,
    ) -> BTreeMap<String, String> {
        for table in tables() {
            sqlx::query(&format!("truncate {table}")).execute(&self.owner).await.unwrap();
        }
        let mut rest = events;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(cut().clamp(1, rest.len()));
            let mut tx = self.projector.begin().await.unwrap();
            for projection in &ALL {
                projection.apply(&mut tx, batch).await.unwrap();
            }
            tx.commit().await.unwrap();
            rest = later;
        }
        self.dump().await
    }

    /// Every read model as text, row order aside.
    pub async fn dump(&self) -> BTreeMap<String, String> {
        let mut dump = BTreeMap::new();
        for table in tables() {
            let sql = format!(
                "select coalesce(string_agg(to_jsonb(t)::text, E'\\n' order by to_jsonb(t)::text), '') from {table} t"
            );
            let text: String = sqlx::query_scalar(&sql).fetch_one(&self.owner).await.unwrap();
            dump.insert(table.to_owned(), text);
        }
        dump
    }

    pub fn project(&self) -> Running {
        self.project_on(self.projector.clone())
    }

    /// A projector on a pool, as another process would have.
    pub fn project_on(&self, pool: PgPool) -> Running {
        Running::new(pool, self.vault.clone())
    }
}

pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.tables.iter().copied())
}

fn pool(options: &PgConnectOptions, role: &'static str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                conn.execute(&*format!("set role {role}")).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

/// A projector, and the strings it hangs on.
pub struct Running {
    pub handle: Handle,
    pub appended: watch::Sender<i64>,
    shutdown: watch::Sender<bool>,
}

impl Running {
    fn new(pool: PgPool, vault: Vault) -> Self {
        let (appended, appended_seen) = watch::channel(0);
        let (shutdown, shutdown_seen) = watch::channel(false);
        let handle =
            Projector::spawn(pool, vault, clock, appended_seen, shutdown_seen, Pressure::default()).unwrap();
        Self { handle, appended, shutdown }
    }

    pub async fn reaches(&self, position: i64) {
        let mut applied = self.handle.applied();
        let reached = tokio::time::timeout(Duration::from_mins(1), applied.wait_for(|at| *at >= position));
        assert!(reached.await.is_ok(), "not at {position}: {:?}", self.handle.snapshot());
    }

    pub fn applied(&self) -> i64 {
        *self.handle.applied().borrow()
    }

    pub async fn stop(self) {
        self.shutdown.send(true).unwrap();
        self.handle.join().await;
    }
}

/// Equal read models; if not, the first lines that differ and no more.
pub fn assert_same(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>, what: &str) {
    for (table, rows) in one {
        let others: Vec<&str> = other[table].lines().collect();
        let rows: Vec<&str> = rows.lines().collect();
        let only: Vec<_> = rows.iter().filter(|row| !others.contains(row)).take(3).collect();
        let missing: Vec<_> = others.iter().filter(|row| !rows.contains(row)).take(3).collect();
        assert!(
            only.is_empty() && missing.is_empty() && rows.len() == others.len(),
            "{what}: {table}: {only:#?} instead of {missing:#?}"
        );
    }
}
