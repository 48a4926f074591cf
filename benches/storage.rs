//! Bytes per event, all indexes counted, beside stock's table that holds the same rows. Both tables are grown in the
//! order of the log with their indexes in place, as appends grow them.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::migrate;

use crate::append::SCHEMA;
use crate::history::{self, Shape};
use crate::plan::{Part, Plan};
use crate::postgres::Postgres;
use crate::prefill::{self, STREAM, Template};
use crate::report::{Figure, Goal, Report, TENURE};

const STOCK: &str = "stock postgres-es";
/// As long as what the goal was measured with.
const PAYLOAD: usize = 301;

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let events = if plan.quick { 50_000 } else { 1_000_000 };
    let postgres = Postgres::start();
    let plain = postgres.database("plain").await;
    migrate(&plain).await.expect("migrated");
    prefill::tenure(&plain, &template(), events).await;
    measure(&plain, "an event with a payload of 301 bytes", Some(580.0), report).await;

    let real = postgres.database("real").await;
    migrate(&real).await.expect("migrated");
    let keys = tempfile::tempdir().expect("a directory");
    history::write(&real, keys.path(), Shape::of(events / 10, events)).await;
    measure(&real, "an event of a history as it is written", None, report).await;
    postgres.stop();
}

/// Nothing but a payload of that length.
fn template() -> Template {
    let frame = r#"{"text":""}"#.len();
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(PAYLOAD - frame));
    let times = STREAM as usize;
    Template {
        types: vec!["MembershipStarted".to_owned(); times],
        versions: vec!["1".to_owned(); times],
        payloads: vec![payload; times],
        metadata: vec!["{}".to_owned(); times],
        workspace: "none".to_owned(),
    }
}

async fn measure(database: &PgConnectOptions, case: &str, goal: Option<f64>, report: &mut Report) {
    let mut connection = database.connect().await.expect("a connection");
    connection
        .execute("create schema stock; create schema grown; set search_path = stock")
        .await
        .expect("schemas");
    connection.execute(SCHEMA).await.expect("the stock schema");
    let copies = "
        set search_path = public;
        create table grown.events (like events including all);
        insert into grown.events select * from events order by position;
        insert into stock.events
        select aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
        from events order by position;";
    connection.execute(copies).await.expect("copied");
    let per_event = async |connection: &mut sqlx::PgConnection, table: &str| -> f64 {
        let size = format!("select pg_total_relation_size('{table}')::float8 / count(*) from {table}");
        sqlx::query_scalar(&size).fetch_one(connection).await.expect("a size")
    };
    let stock = per_event(&mut connection, "stock.events").await;
    let tenure = per_event(&mut connection, "grown.events").await;
    connection.close().await.expect("closed");
    let part = Part::Storage.name();
    report.add(Figure::new(part, case, STOCK).amount(stock, "bytes"));
    let figure = Figure::new(part, case, TENURE).amount(tenure, "bytes");
    report.add(match goal {
        Some(most) => figure.goal(Goal::AtMost(most)),
        None => figure,
    });
}
