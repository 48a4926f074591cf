//! Databases of each size that is planned, side by side in one PostgreSQL, so that they can be measured in turns.

use std::path::PathBuf;

use super::{History, Shape, fill};
use crate::plan::Plan;
use crate::postgres::Postgres;
use crate::server::Server;

/// Events for each membership.
const EVENTS: u64 = 10;

pub struct Filled {
    postgres: Postgres,
    pub sizes: Vec<OfSize>,
}

/// A database with so many memberships.
pub struct OfSize {
    pub memberships: u64,
    pub history: History,
    url: String,
    keys: PathBuf,
}

impl Filled {
    pub async fn of(plan: &Plan) -> Self {
        let postgres = Postgres::start();
        let mut sizes = Vec::new();
        for memberships in &plan.sizes.memberships {
            let name = format!("memberships_{memberships}");
            let database = postgres.database(&name).await;
            let keys = tempfile::tempdir().expect("a directory").keep();
            let history = fill(&database, &keys, Shape::of(*memberships, memberships * EVENTS)).await;
            sizes.push(OfSize { memberships: *memberships, history, url: postgres.url(&name), keys });
        }
        Self { postgres, sizes }
    }

    pub fn stop(self) {
        for size in &self.sizes {
            let _ = std::fs::remove_dir_all(&size.keys);
        }
        self.postgres.stop();
    }
}

impl OfSize {
    /// A process that serves it.
    pub fn serve(&self) -> Server {
        Server::start(&self.url, &self.keys)
    }
}
