//! Lists: a page, and a signed cursor that is good for nothing but the next page of the same list.

use axum::http::HeaderValue;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::App;
use super::base::problem::Problem;
use crate::secrets::cursor;

pub const DEFAULT_LIMIT: i64 = 50;
pub const MAX_LIMIT: i64 = 500;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// What a cursor is bound to: the list, its workspace, filter and sort.
#[derive(Debug, Clone)]
pub struct Scope {
    path: String,
    parts: Vec<(&'static str, Option<String>)>,
}

impl Scope {
    pub fn new(path: String, filter: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        Self { path, parts: filter.into_iter().collect() }
    }

    fn sealed(&self) -> String {
        let parts = self.parts.iter().flat_map(|(name, value)| [*name, value.as_deref().unwrap_or("\0")]);
        let parts: Vec<&str> = std::iter::once(self.path.as_str()).chain(parts).collect();
        cursor::scope(&parts)
    }

    /// Where to go on.
    pub fn open<K: DeserializeOwned>(&self, app: &App, text: Option<&str>) -> Result<Option<K>, Problem> {
        let Some(text) = text else { return Ok(None) };
        let key = cursor::open(&app.keys.cursor, &self.sealed(), text);
        key.map(Some).ok_or_else(|| {
            let detail =
                "This cursor does not belong to this list, filter and workspace: begin again without one.";
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "cursor_invalid", detail)
        })
    }

    /// A page out of one row more than was asked for, if there was one more.
    pub fn page<R, T, K: Serialize>(
        &self,
        app: &App,
        mut rows: Vec<R>,
        limit: i64,
        key: impl Fn(&R) -> K,
        item: impl FnMut(R) -> T,
    ) -> Result<Response, Problem>
    where
        T: Serialize,
    {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(key);
        self.written(app, rows.into_iter().map(item).collect(), limit, next.as_ref())
    }

    /// A page as it is; `next` is where the one after it begins, if there is one.
    pub fn written<T: Serialize, K: Serialize>(
        &self,
        app: &App,
        items: Vec<T>,
        limit: usize,
        next: Option<&K>,
    ) -> Result<Response, Problem> {
        let next_cursor = match next {
            Some(next) => {
                let sealed = cursor::seal(&app.keys.cursor, &self.sealed(), next);
                Some(sealed.map_err(|error| crate::store::StoreError::Internal(error.to_string()))?)
            }
            None => None,
        };
        let link =
            next_cursor.as_ref().and_then(|cursor| HeaderValue::from_str(&self.link(limit, cursor)).ok());
        let mut response = axum::Json(Page { items, next_cursor }).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    fn link(&self, limit: usize, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parts {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.append_pair("limit", &limit.to_string()).append_pair("cursor", cursor);
        format!("<{}?{}>; rel=\"next\"", self.path, query.finish())
    }
}
