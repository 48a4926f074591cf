//! AuthZEN 1.0: may this user do this here? `/access/v1/…` and its metadata.
//!
//! # Layout
//! - [`entities`]: subject, resource, action and context as they come; unlike elsewhere, unknown fields are ignored
//! - [`ask`]: who asks, about whom they may, and where the answer comes from
//! - `evaluation.rs`: one question; `evaluations.rs`: many, with all three semantics; `search.rs`: who, where and
//!   what, with `page.rs`; `metadata.rs`: where all this is found
//! - [`fast`]: one question in its plainest form, answered before everything else in this service
//!
//! A subject is a `user`, a resource a `workspace`, an action the name of a permission. Whatever is of another type,
//! or unknown, or not for the caller to see, is answered alike: no.

mod ask;
mod entities;
mod evaluation;
mod evaluations;
pub mod fast;
mod metadata;
mod page;
mod search;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::App;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(evaluation::routes())
        .merge(evaluations::routes())
        .merge(search::routes())
        .merge(metadata::routes())
}
