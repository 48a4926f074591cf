//! The record and its queries. Each but one names the workspace; the database sees to the one that does not.
//!
//! The queries are checked when they run, not when they are built: this crate's table is not in Tenure's database.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use tenure_guard::TenantTx;
use uuid::Uuid;

#[derive(Debug, Serialize, FromRow)]
pub struct Invoice {
    pub id: Uuid,
    pub customer: String,
    pub amount_cents: i64,
    /// A user's id in Tenure.
    pub created_by: String,
    pub approved_by: Option<String>,
}

/// What a client may say of a new one. The workspace is not among it: that is the session's to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInvoice {
    pub customer: String,
    pub amount_cents: i64,
}

/// All of a workspace's invoices, added up.
#[derive(Debug, Serialize, FromRow)]
pub struct Total {
    pub count: i64,
    pub amount_cents: i64,
}

/// The workspace's invoices, newest first, at most 100.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Invoice>, sqlx::Error> {
    let sql = "select id, customer, amount_cents, created_by, approved_by from invoices
               where workspace_id = $1 order by created_at desc, id limit 100";
    sqlx::query_as(sql).bind(tx.workspace_id()).fetch_all(&mut **tx).await
}

pub async fn get(tx: &mut TenantTx, id: Uuid) -> Result<Option<Invoice>, sqlx::Error> {
    let sql = "select id, customer, amount_cents, created_by, approved_by from invoices
               where workspace_id = $1 and id = $2";
    sqlx::query_as(sql).bind(tx.workspace_id()).bind(id).fetch_optional(&mut **tx).await
}

pub async fn create(tx: &mut TenantTx, new: &NewInvoice, by: &str) -> Result<Invoice, sqlx::Error> {
    let sql =
        "insert into invoices (workspace_id, customer, amount_cents, created_by) values ($1, $2, $3, $4)
               returning id, customer, amount_cents, created_by, approved_by";
    let query = sqlx::query_as(sql).bind(tx.workspace_id());
    query.bind(&new.customer).bind(new.amount_cents).bind(by).fetch_one(&mut **tx).await
}

/// Approved already is approved: the first one's name stays.
pub async fn approve(tx: &mut TenantTx, id: Uuid, by: &str) -> Result<Option<Invoice>, sqlx::Error> {
    let sql =
        "update invoices set approved_by = coalesce(approved_by, $3) where workspace_id = $1 and id = $2
               returning id, customer, amount_cents, created_by, approved_by";
    sqlx::query_as(sql).bind(tx.workspace_id()).bind(id).bind(by).fetch_optional(&mut **tx).await
}

/// The sloppy one: somebody forgot `where workspace_id = $1`. Row level security did not.
pub async fn sloppy_total(tx: &mut TenantTx) -> Result<Total, sqlx::Error> {
    let sql =
        "select count(*) as count, coalesce(sum(amount_cents), 0)::bigint as amount_cents from invoices";
    sqlx::query_as(sql).fetch_one(&mut **tx).await
}
