//! The peer: the same four commands the plain way, axum on stock cqrs-es and postgres-es. A command loads a stream and
//! inserts an event. There is no authentication, audit, idempotency, uniqueness, seat or read model.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{patch, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{Aggregate, AggregateError, CqrsFramework};
use futures::{StreamExt, stream};
use postgres_es::{PostgresEventRepository, postgres_cqrs};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::peer_aggregates::{Event, Invitation, Membership, Refused, Workspace};
use super::{Case, Requests};
use crate::append::SCHEMA;
use crate::load::request::{MARK, Request};
use crate::plan::Plan;
use crate::postgres::Postgres;

/// How many are prepared at once.
const AT_ONCE: usize = 64;
/// More accepted invitations a second than are to be expected.
const ACCEPTED_PER_SECOND: f64 = 4_000.0;
/// How many memberships have a role that goes to and fro.
const MEMBERSHIPS: u64 = 4_000;

type Framework<A> = CqrsFramework<A, PersistedEventStore<PostgresEventRepository, A>>;

/// A framework for each aggregate.
#[derive(Clone)]
struct Shop {
    workspaces: Arc<Framework<Workspace>>,
    invitations: Arc<Framework<Invitation>>,
    memberships: Arc<Framework<Membership>>,
}

pub(super) struct Peer {
    pub address: String,
    shop: Shop,
    invited: AtomicU64,
    pool: PgPool,
    serving: JoinHandle<()>,
}

impl Peer {
    pub(super) async fn start(postgres: &Postgres) -> Self {
        let database = postgres.database("stock").await;
        let pool = PgPoolOptions::new().max_connections(32).connect_with(database).await.expect("a pool");
        sqlx::raw_sql(SCHEMA).execute(&pool).await.expect("the stock schema");
        let shop = Shop {
            workspaces: Arc::new(postgres_cqrs(pool.clone(), vec![], ())),
            invitations: Arc::new(postgres_cqrs(pool.clone(), vec![], ())),
            memberships: Arc::new(postgres_cqrs(pool.clone(), vec![], ())),
        };
        let router = Router::new()
            .route("/workspaces", post(create))
            .route("/workspaces/{id}/invitations", post(invite))
            .route("/invitations/{id}/accept", post(accept))
            .route("/memberships/{id}", patch(change_role))
            .with_state(shop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("no delay"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        let peer = Self { address, shop, invited: AtomicU64::new(0), pool, serving };
        let memberships = &peer.shop.memberships;
        each(0..MEMBERSHIPS, |n| async move { done(memberships, &n.to_string(), started("user")).await })
            .await;
        peer
    }

    pub(super) fn stop(self) {
        self.serving.abort();
        drop(self.pool);
    }

    pub(super) async fn requests(&self, case: Case, plan: &Plan) -> Requests {
        let body = match case {
            Case::Create => json!({"name": "Company", "user": "owner"}),
            Case::Invite => json!({"email": "guest@example.com", "role": "member"}),
            Case::Accept => return self.acceptances(plan).await,
            Case::ChangeRole => return changes(),
        };
        let path = if case == Case::Create { "/workspaces" } else { "/workspaces/one/invitations" };
        Requests {
            requests: vec![Request::new("POST", path, &[("idempotency-key", MARK)], &body)],
            again: true,
        }
    }

    async fn acceptances(&self, plan: &Plan) -> Requests {
        let wanted = (ACCEPTED_PER_SECOND * plan.seconds * 1.25) as u64;
        let first = self.invited.fetch_add(wanted, Ordering::Relaxed);
        each(first..first + wanted, |n| async move {
            let sent = Event::InvitationSent {
                workspace: "one".to_owned(),
                email: format!("guest-{n}@example.com"),
                role: "member".to_owned(),
            };
            done(&self.shop.invitations, &n.to_string(), sent).await;
        })
        .await;
        let accept = |n: u64| {
            let body = json!({"user": format!("guest-{n}")});
            Request::new("POST", &format!("/invitations/{n}/accept"), &[("idempotency-key", MARK)], &body)
        };
        Requests { requests: (first..first + wanted).map(accept).collect(), again: false }
    }
}

async fn each<Fut: Future<Output = ()>>(numbers: Range<u64>, work: impl Fn(u64) -> Fut) {
    stream::iter(numbers).map(work).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

fn changes() -> Requests {
    let change = |role: &'static str| {
        (0..MEMBERSHIPS).map(move |n| {
            let path = format!("/memberships/{n}");
            Request::new("PATCH", &path, &[("idempotency-key", MARK)], &json!({"role": role}))
        })
    };
    Requests { requests: change("moderator").chain(change("member")).collect(), again: true }
}

fn started(user: &str) -> Event {
    Event::MembershipStarted { workspace: "one".to_owned(), user: user.to_owned(), role: "member".to_owned() }
}

/// Again while another was faster, as a user of the stock writer has to.
async fn done<A: Aggregate<Command = Event, Error = Refused, Event = Event>>(
    framework: &Framework<A>,
    id: &str,
    wanted: Event,
) {
    loop {
        match framework.execute(id, wanted.clone()).await {
            // Who asks for the role that it is has it.
            Ok(()) | Err(AggregateError::UserError(Refused)) => return,
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn word(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}

async fn create(State(shop): State<Shop>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let id = tenure::ids::new_v7().to_string();
    let created = Event::WorkspaceCreated { name: word(&body, "name"), owner: word(&body, "user") };
    done(&shop.workspaces, &id, created).await;
    (StatusCode::CREATED, Json(json!({"id": id})))
}

async fn invite(
    State(shop): State<Shop>,
    Path(workspace): Path<String>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let id = tenure::ids::new_v7().to_string();
    let sent = Event::InvitationSent { workspace, email: word(&body, "email"), role: word(&body, "role") };
    done(&shop.invitations, &id, sent).await;
    (StatusCode::CREATED, Json(json!({"id": id})))
}

async fn accept(State(shop): State<Shop>, Path(id): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    let user = word(&body, "user");
    done(&shop.invitations, &id, Event::InvitationAccepted { user: user.clone() }).await;
    done(&shop.memberships, &format!("of {id}"), started(&user)).await;
    Json(json!({"id": id}))
}

async fn change_role(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    done(&shop.memberships, &id, Event::MembershipRoleChanged { role: word(&body, "role") }).await;
    Json(json!({"id": id}))
}
