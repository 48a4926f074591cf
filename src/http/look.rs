//! What every read over HTTP shares: the caller, how fresh it must be, who may look, and the resource's way out.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenure_aggregates::{
    ApiKeyId, Catalogue, Permission, PermissionName, Rights, Time, UserId, WorkspaceId, authority, workspace,
};
use tenure_projections::{TenantTx, api_keys, members, permissions, workspaces};
use tokio::sync::OnceCell;
use utoipa::IntoParams;

use super::App;
use super::admission;
use super::base::conditional::{TENURE_POSITION, TenurePosition, etag};
use super::base::problem::Problem;
use super::caller::Caller;
use super::checks;
use crate::clock;
use crate::overload::{Lane, Turn};
use crate::past::{Moment, Past};
use crate::store::origin::Actor;
use crate::store::{Failure, StoreError};

/// For a read that knows the past and has no other parameter.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AsOfQuery {
    /// As it was then: a position of the log, or an instant (RFC 3339).
    #[garde(inner(custom(checks::as_of)))]
    pub as_of: Option<String>,
}

/// An authenticated request to see something.
#[derive(Debug)]
pub struct Look {
    pub app: Arc<App>,
    pub caller: Caller,
    pub now: Time,
    seen: Option<i64>,
    /// Taken with the first look at the database, and kept until the request is done.
    turn: OnceCell<Option<Turn>>,
    lane: Lane,
}

impl FromRequestParts<Arc<App>> for Look {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let TenurePosition(seen) = TenurePosition::from_request_parts(parts, app).await?;
        let (turn, lane) = (OnceCell::new(), admission::lane(parts));
        Ok(Self { app: app.clone(), caller, now: clock::now(), seen, turn, lane })
    }
}

impl Look {
    /// A read of the same caller after a command, which has happened and is to be answered: it waits for no turn.
    pub fn after(app: &Arc<App>, caller: &Caller, position: i64) -> Self {
        let (app, caller, now, seen) = (app.clone(), caller.clone(), clock::now(), Some(position));
        Self { app, caller, now, seen, turn: OnceCell::new_with(Some(None)), lane: Lane::default() }
    }

    /// Waits, bounded, for this request's turn to read. Whoever waits for the read models does so before.
    async fn turn(&self) -> Result<(), Problem> {
        let take = async || self.app.admission.reads(self.lane).await.map(Some);
        self.turn.get_or_try_init(take).await.map(drop)
    }

    /// A transaction on a workspace the caller may see in this way. To a stranger it looks as if there were none;
    /// whoever may look is read in the same snapshot as what is looked at.
    pub async fn workspace(&self, id: WorkspaceId, permission: Permission) -> Result<TenantTx, Problem> {
        // A credential that opens another workspace only: this one looks as if there were none.
        if !self.caller.0.opens(id) {
            return Err(Failure::from(workspace::Refusal::NotFound).into());
        }
        self.app.reads.ready(id, self.seen).await?;
        self.turn().await?;
        let mut tx = self.app.reads.within(id).await?;
        match &self.caller.0.actor {
            Some(Actor::Service | Actor::System) => {
                self.app.reads.refuse_parked(&mut tx).await?;
                if !workspaces::is_there(&mut tx).await.map_err(StoreError::from)? {
                    return Err(Failure::from(workspace::Refusal::NotFound).into());
                }
            }
            Some(Actor::User(user)) => self.require(&mut tx, user, permission).await?,
            Some(Actor::ApiKey { id: key, workspace }) if *workspace == id => {
                self.require_key(&mut tx, *key, permission).await?;
            }
            Some(Actor::ApiKey { .. }) | None => {
                return Err(Failure::from(workspace::Refusal::NotFound).into());
            }
        }
        self.app.reads.refuse_parked(&mut tx).await?;
        Ok(tx)
    }

    async fn require(&self, tx: &mut TenantTx, user: &UserId, permission: Permission) -> Result<(), Problem> {
        let standing = members::standing(tx, user.as_str()).await.map_err(StoreError::from)?;
        let Some(standing) = standing.filter(|standing| standing.role.is_some()) else {
            return Err(Failure::from(workspace::Refusal::NotFound).into());
        };
        // Tenure's own permissions are no part of the catalogue.
        require(&standing.rights(&Catalogue::default(), self.now), permission)
    }

    async fn require_key(
        &self,
        tx: &mut TenantTx,
        key: ApiKeyId,
        permission: Permission,
    ) -> Result<(), Problem> {
        let row = api_keys::find(tx, key.0).await.map_err(StoreError::from)?;
        let usable =
            row.filter(|row| row.revoked_at.is_none() && row.expires_at.is_none_or(|end| end > self.now));
        let row = usable.ok_or_else(|| Problem::from(Failure::from(workspace::Refusal::NotFound)))?;
        let names: Vec<_> =
            row.permissions.iter().filter_map(|name| PermissionName::parse(name).ok()).collect();
        require(&Rights::of_names(&names), permission)
    }

    /// A transaction on a user's own record, for the service and that user; to anybody else there is no such user.
    pub async fn user(&self, user: &UserId) -> Result<TenantTx, Problem> {
        match &self.caller.0.actor {
            Some(Actor::Service | Actor::System) => {}
            Some(Actor::User(caller)) if caller == user => {}
            Some(Actor::User(_) | Actor::ApiKey { .. }) | None => return Err(no_such_user()),
        }
        self.await_position().await?;
        self.app.reads.catch_up(None).await?;
        self.turn().await?;
        Ok(self.app.reads.personal(WorkspaceId::personal(user), self.seen).await?)
    }

    /// The moment a read is about, if it is not now. The read models have come to it.
    pub async fn past(&self, as_of: Option<&str>) -> Result<Option<Past>, Problem> {
        let Some(moment) = as_of.and_then(Moment::parse) else { return Ok(None) };
        self.turn().await?;
        let (reads, projector) = (&self.app.reads, &self.app.projector_pool);
        let past = Past::at(moment, "?as_of", reads, projector, self.now).await?;
        reads.wait_for(past.position).await?;
        Ok(Some(past))
    }

    /// Waits, bounded, until the read models are as fresh as the request asks for.
    pub async fn await_position(&self) -> Result<(), Problem> {
        let Some(seen) = self.seen else { return Ok(()) };
        self.app.reads.check_position(seen).await?;
        Ok(self.app.reads.wait_for(seen).await?)
    }

    /// The products' permissions.
    pub async fn catalogue(&self) -> Result<Catalogue, Problem> {
        let mut tx = self.app.reads.workspace(Catalogue::home(), self.seen).await?;
        Ok(permissions::catalogue(&mut tx).await.map_err(StoreError::from)?)
    }

    /// The position a read is at least as fresh as.
    fn position(&self) -> i64 {
        self.app.reads.applied()
    }

    /// Says how fresh a list is.
    pub fn fresh(&self, mut response: Response) -> Response {
        response.headers_mut().insert(TENURE_POSITION, HeaderValue::from(self.position()));
        response
    }

    pub fn resource(&self, sequence: i64, body: &impl Serialize) -> Response {
        let mut response = (StatusCode::OK, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if let Ok(sequence) = u64::try_from(sequence) {
            headers.insert(ETAG, etag(sequence));
        }
        self.fresh(response)
    }
}

fn require(rights: &Rights, permission: Permission) -> Result<(), Problem> {
    if rights.allows(permission) {
        return Ok(());
    }
    Err(Failure::from(authority::Refusal::PermissionDenied(permission)).into())
}

pub fn no_such_user() -> Problem {
    Failure::from(tenure_aggregates::user::Refusal::NotFound).into()
}

pub fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
}
