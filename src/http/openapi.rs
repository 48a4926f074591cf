//! The OpenAPI document, made from the handlers themselves.

use std::sync::Arc;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::App;
use super::caller::SESSION_COOKIE;
use super::{
    access, api_keys, audit_log, consumers, events, invitations, invite_code, jwks, member_history, members,
    permissions, proofs, readiness, roles, session, users, webhooks, workspaces,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenure",
        description = "Who belongs to which workspace, in which role, since when and by whose hand.\n\n\
            Every command takes `Idempotency-Key` and `If-Match` and answers `Tenure-Position`; every read takes \
            `Tenure-Position` and is then at least that fresh. A holder of the operator key acts for a user with \
            `Tenure-Actor`. Every refusal is a problem (RFC 9457) with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Credentials),
    security(("bearer" = []), ("session" = [])),
    tags(
        (name = "users", description = "Global identity and profile, each with a personal workspace"),
        (name = "workspaces", description = "The tenant boundary"),
        (name = "members", description = "Who belongs, in which role"),
        (name = "invitations", description = "By e-mail"),
        (name = "invite code", description = "By a code that is handed around"),
        (name = "roles", description = "What a role allows, and what there is to be allowed"),
        (name = "api keys", description = "Keys of a workspace, for programs"),
        (name = "webhooks", description = "Where a workspace has its events delivered, and what came of it"),
        (name = "session", description = "Signing in, and switching workspaces"),
        (name = "access", description = "May this user do this here? AuthZEN 1.0"),
        (name = "audit", description = "What was done, and the history itself"),
    )
)]
struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = "The operator key, a JWT of a configured issuer, or a session token.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        let cookie = ApiKeyValue::with_description(SESSION_COOKIE, "A session token, as browsers carry it.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Every documented route.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(users::routes())
        .merge(workspaces::routes())
        .merge(readiness::routes())
        .merge(members::routes())
        .merge(member_history::routes())
        .merge(roles::routes())
        .merge(permissions::routes())
        .merge(api_keys::routes())
        .merge(webhooks::routes())
        .merge(invitations::routes())
        .merge(invite_code::routes())
        .merge(session::routes())
        .merge(jwks::routes())
        .merge(audit_log::routes())
        .merge(proofs::routes())
        .merge(events::routes())
        .merge(consumers::routes())
        .merge(access::routes())
}
