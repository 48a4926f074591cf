//! Who may do what. The guard has checked session, workspace and permission before a handler runs.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use sqlx::PgPool;
use tenure_guard::{Guard, Session, TenantTx};
use uuid::Uuid;

use crate::answer::Failure;
use crate::invoice::{self, Invoice, NewInvoice, Total};

/// The permissions to register with Tenure (`PUT /v1/permissions/{name}`).
pub const READ: &str = "invoices:read";
/// See [`READ`].
pub const WRITE: &str = "invoices:write";

/// The workspace and invoice of an address. The guard has compared the first with the session's.
type Address = Result<Path<(Uuid, Uuid)>, PathRejection>;

pub fn router(pool: PgPool, guard: &Guard) -> Router {
    let (read, write) = (guard.require(READ), guard.require(WRITE));
    let reading = Router::new()
        .route("/invoices", get(list))
        .route("/invoices/{id}", get(show))
        .route("/total", get(total))
        .route_layer(read);
    let writing = Router::new()
        .route("/invoices", post(create))
        .route("/invoices/{id}/approve", post(approve))
        .route_layer(write);
    Router::new().nest("/workspaces/{workspace_id}", reading.merge(writing)).with_state(pool)
}

async fn list(State(pool): State<PgPool>, session: Session) -> Result<Json<Vec<Invoice>>, Failure> {
    let mut tx = TenantTx::begin(&pool, &session).await?;
    Ok(Json(invoice::list(&mut tx).await?))
}

async fn show(
    State(pool): State<PgPool>,
    session: Session,
    address: Address,
) -> Result<Json<Invoice>, Failure> {
    let Path((_, id)) = address?;
    let mut tx = TenantTx::begin(&pool, &session).await?;
    invoice::get(&mut tx, id).await?.map(Json).ok_or(Failure::NotFound)
}

async fn create(
    State(pool): State<PgPool>,
    session: Session,
    body: Result<Json<NewInvoice>, JsonRejection>,
) -> Result<(StatusCode, Json<Invoice>), Failure> {
    let Json(new) = body?;
    let mut tx = TenantTx::begin(&pool, &session).await?;
    let created = invoice::create(&mut tx, &new, session.user_id()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(created)))
}

async fn approve(
    State(pool): State<PgPool>,
    session: Session,
    address: Address,
) -> Result<Json<Invoice>, Failure> {
    let Path((_, id)) = address?;
    let mut tx = TenantTx::begin(&pool, &session).await?;
    let approved = invoice::approve(&mut tx, id, session.user_id()).await?.ok_or(Failure::NotFound)?;
    tx.commit().await?;
    Ok(Json(approved))
}

async fn total(State(pool): State<PgPool>, session: Session) -> Result<Json<Total>, Failure> {
    let mut tx = TenantTx::begin(&pool, &session).await?;
    Ok(Json(invoice::sloppy_total(&mut tx).await?))
}
