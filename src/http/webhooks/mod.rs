//! `/v1/workspaces/{id}/webhooks`: where a workspace has its events delivered, and what came of it.
//!
//! # Layout
//! - [`endpoints`]: create, list, change, delete, a new secret
//! - [`deliveries`]: what went out, a test, and once more
//! - [`url`]: where an endpoint may be

mod deliveries;
mod endpoints;
pub mod url;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::App;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    endpoints::routes().merge(deliveries::routes())
}
