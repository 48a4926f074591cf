//! Pages of a search: a limit, and a token that is good for the next page of the same search only.

use axum::http::StatusCode;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::App;
use crate::http::base::problem::Problem;
use crate::secrets::cursor;
use crate::store::StoreError;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct PageRequest {
    /// The `next_token` of the page before; empty is none.
    #[serde(default)]
    token: Option<String>,
    /// How many results at most; 100 unless told, 1,000 at most.
    #[serde(default)]
    limit: Option<u32>,
}

/// What was found, page first, as AuthZEN recommends.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found<T> {
    page: PageResponse,
    results: Vec<T>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageResponse {
    /// Empty on the last page.
    next_token: String,
    count: usize,
}

/// One page of one search.
#[derive(Debug)]
pub(super) struct Page<K> {
    scope: String,
    pub(super) limit: usize,
    pub(super) after: Option<K>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<K> {
    after: K,
    limit: usize,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// `search` is all that must stay the same from page to page.
    pub(super) fn of(app: &App, search: &[&str], asked: Option<&PageRequest>) -> Result<Self, Problem> {
        let scope = cursor::scope(search);
        let asked = asked.cloned().unwrap_or_default();
        let limit = asked.limit.filter(|limit| *limit > 0);
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT));
        let Some(token) = asked.token.filter(|token| !token.is_empty()) else {
            return Ok(Self { scope, limit: limit.unwrap_or(DEFAULT_LIMIT), after: None });
        };
        let sealed = cursor::open::<Sealed<K>>(&app.keys.cursor, &scope, &token);
        let sealed =
            sealed.filter(|sealed| limit.is_none_or(|limit| limit == sealed.limit)).ok_or_else(|| {
                let detail = "This token does not belong to this search and limit: begin again without one.";
                Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", detail)
            })?;
        Ok(Self { scope, limit: sealed.limit, after: Some(sealed.after) })
    }

    /// The answer; `more` is the key of the last result there was room for, if there are more.
    pub(super) fn found<T>(self, app: &App, results: Vec<T>, more: Option<K>) -> Result<Found<T>, Problem> {
        let next_token = match more {
            None => String::new(),
            Some(after) => {
                let sealed = Sealed { after, limit: self.limit };
                let sealed = cursor::seal(&app.keys.cursor, &self.scope, &sealed);
                sealed.map_err(|error| StoreError::Internal(error.to_string()))?
            }
        };
        Ok(Found { page: PageResponse { next_token, count: results.len() }, results })
    }
}
