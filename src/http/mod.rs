//! The HTTP contract: who calls, what they ask, and how it is answered.
//!
//! # Layout
//! - one file per noun: [`users`], [`workspaces`], [`members`], [`member_history`], [`invitations`], [`invite_code`],
//!   [`audit_log`], [`proofs`], [`events`], [`consumers`], [`roles`], [`permissions`], [`api_keys`], [`webhooks`], [`readiness`],
//!   [`session`], [`jwks`]; each holds its routes,
//!   request shapes and handlers
//! - [`access`]: decisions, as AuthZEN asks for them
//! - [`caller`]: authentication; [`act`]: what every command shares; [`look`]: what every read shares
//! - [`accept_page`]: Tenure's own page for whoever follows an invitation's link
//! - [`admission`]: who is let in at all while there is much to do
//! - [`rate_limits`]: how often some routes may be asked; [`witness`]: what of a refused request is noted
//! - [`list`]: pages and cursors; [`checks`]: validation at the door; [`problem`]: failures to problems
//! - [`dev_mailbox`]: the mails of development, for the developer alone
//! - [`health`]: `/livez`, `/readyz`, `/metrics`; [`openapi`]: the document and its page
//! - [`base`]: what knows nothing of tenancy: bodies, queries, problems, limits, the accept loop

pub mod accept_page;
pub mod access;
pub mod act;
pub mod admission;
pub mod api_keys;
pub mod audit_log;
pub mod base;
pub mod caller;
pub mod checks;
pub mod consumers;
pub mod dev_mailbox;
pub mod events;
pub mod health;
pub mod invitations;
pub mod invite_code;
pub mod jwks;
pub mod list;
pub mod look;
pub mod member_history;
pub mod members;
pub mod openapi;
pub mod permissions;
pub mod problem;
pub mod proofs;
pub mod rate_limits;
pub mod readiness;
pub mod roles;
pub mod session;
pub mod users;
pub mod webhooks;
pub mod witness;
pub mod workspaces;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, service_fn};

use crate::access::Access;
use crate::attempts::Attempts;
use crate::checkpoints::Checkpoints;
use crate::data_keys::Vault;
use crate::feeds::Feeds;
use crate::ids;
use crate::issuers::Issuers;
use crate::key_ring::KeyRing;
use crate::mail::Mail;
use crate::projector::Snapshot;
use crate::reads::Reads;
use crate::secrets::{Keys, OperatorKeyFile};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::webhooks::Networks;
use accept_page::AcceptPage;
use admission::Admission;
use base::client_addr::TrustedProxies;
use base::envelope::{EnvelopeOptions, with_envelope};
use rate_limits::RateLimits;

/// What the handlers work with.
#[derive(Debug)]
pub struct App {
    pub store: Store,
    pub vault: Vault,
    pub reads: Reads,
    pub access: Arc<Access>,
    /// Where refused attempts are noted.
    pub attempts: Attempts,
    pub keys: Keys,
    pub operator: OperatorKeyFile,
    pub issuers: Issuers,
    pub sessions: Sessions,
    pub checkpoints: Checkpoints,
    /// The origin under which browsers know this service.
    pub own_origin: Option<String>,
    pub key_ring: Arc<KeyRing>,
    pub admission: Admission,
    /// None when they are turned off.
    pub rate_limits: Option<RateLimits>,
    pub trusted_proxies: TrustedProxies,
    /// Where webhooks may go although it is not public.
    pub webhook_networks: Networks,
    pub feeds: Feeds,
    pub mail: Arc<Mail>,
    /// Reads across tenants, for upkeep and the feed of the whole log, and writes what no event tells.
    pub projector_pool: PgPool,
    pub projector: watch::Receiver<Snapshot>,
    pub metrics: Option<PrometheusHandle>,
    /// Where the product's users reach this service, if it was told.
    pub public_url: Option<String>,
    pub accept_page: AcceptPage,
    pub stopping: CancellationToken,
}

/// All of it: the one question that is asked most, who is let in, and behind them every route.
pub fn service(
    app: Arc<App>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let fast = access::fast::Fast::new(app.clone());
    let door = Arc::new((fast, router(app.clone()), app));
    service_fn(move |request| {
        let door = door.clone();
        async move {
            let (fast, router, app) = &*door;
            Ok(match fast.answer(request).await {
                ControlFlow::Break(response) => response,
                ControlFlow::Continue(request) => {
                    admission::admit(&app.admission, request, router.clone()).await
                }
            })
        }
    })
}

/// Every route, in its envelope.
fn router(app: Arc<App>) -> Router {
    let (routes, document) = openapi::routes().split_for_parts();
    let trusted_proxies = app.trusted_proxies.clone();
    let watched = from_fn_with_state(app.clone(), witness::watch);
    let limited = from_fn_with_state(app.clone(), rate_limits::limit);
    let asked = ServiceBuilder::new().layer(limited).layer(watched);
    let routes = Router::new().merge(routes).merge(accept_page::routes()).layer(asked);
    let routes = routes.merge(health::routes()).merge(dev_mailbox::routes()).with_state(app);
    let router = routes.merge(base::docs::docs(document)).layer(from_fn(health::measure));
    let envelope = EnvelopeOptions { trusted_proxies, ..EnvelopeOptions::new(ids::new_request_id) };
    with_envelope(router, envelope)
}
