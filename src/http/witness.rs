//! What of a refused request is noted for the audit log: who asked, for what, and why not.
//!
//! A [`Witness`] goes along with every request on a workspace. Whoever finds something out on the way (who calls, why a
//! credential does not count, what is commanded, whose invitation it is) tells it; when the answer is there, what was
//! refused is noted. The answer itself is not touched, and nobody waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tenure_aggregates::{ApiKeyId, UserId, WorkspaceId};
use uuid::Uuid;

use super::App;
use super::base::problem::Problem;
use super::problem::HIDES_WORKSPACE;
use crate::attempts::{Action, Attempt, Place};
use crate::clock;
use crate::store::Origin;
use crate::store::origin::Actor;

/// Refusals for want of a right.
const DENIED: [&str; 3] = ["permission_denied", "role_above_own", "owner_required"];
/// Why a genuine invitation token or an invite code opened nothing.
const STALE: [&str; 7] = [
    "token_invalid",
    "invitation_expired",
    "invitation_not_pending",
    "inviter_not_permitted",
    "code_exhausted",
    "email_mismatch",
    "email_unverified",
];
/// Where the log and its history are read.
const AUDIT_DATA: [&str; 2] = ["/audit-log", "/events"];

/// A credential that was shown and does not count.
#[derive(Debug, Clone)]
pub struct Rejected {
    pub action: Action,
    pub code: &'static str,
    /// The API key it is, or was, and the workspace that one belongs to.
    pub key: Option<(WorkspaceId, ApiKeyId)>,
}

impl Rejected {
    pub fn token(code: &'static str) -> Self {
        Self { action: Action::TokenRejected, code, key: None }
    }
}

/// Hears what is found out about a request. Clones hear for the same one.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    origin: Option<Arc<Origin>>,
    rejected: Option<Rejected>,
    command: Option<&'static str>,
    place: Option<Place>,
    /// Items of a batch that were denied, by code.
    items: Vec<(&'static str, i64)>,
}

impl Witness {
    /// The one that goes along with the request; one that nobody asks, where there is none.
    pub fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Who calls.
    pub fn calls(&self, origin: Arc<Origin>) {
        self.heard().origin = Some(origin);
    }

    /// Why the credential does not count; `origin` names an actor only if the credential was genuine.
    pub fn rejects(&self, rejected: Rejected, origin: Arc<Origin>) {
        let mut heard = self.heard();
        heard.rejected = Some(rejected);
        heard.origin = Some(origin);
    }

    /// What is commanded.
    pub fn commands(&self, name: &'static str) {
        self.heard().command = Some(name);
    }

    /// Which workspace it is about, where the path does not say.
    pub fn is_about(&self, place: Place) {
        self.heard().place = Some(place);
    }

    /// Notes the items of a batch that were denied while others were not.
    pub fn items(&self, items: &[Value]) {
        let mut heard = self.heard();
        for code in DENIED {
            let denied = items.iter().filter(|item| item["problem"]["code"] == code).count();
            if denied > 0 {
                heard.items.push((code, i64::try_from(denied).unwrap_or(i64::MAX)));
            }
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Whatever panicked left at worst an attempt that is not noted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the request itself tells.
struct Asked {
    is_command: bool,
    is_audit_data: bool,
    workspace: Option<WorkspaceId>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let is_command = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let below = route.strip_prefix("/v1/workspaces/{workspace_id}").unwrap_or_default();
        let is_audit_data = AUDIT_DATA.iter().any(|data| below.starts_with(data));
        Self { is_command, is_audit_data, workspace: workspace_of(route, request.uri()) }
    }
}

/// The workspace a path names; of a path that names a user, the user's own.
fn workspace_of(route: &str, uri: &Uri) -> Option<WorkspaceId> {
    let named = |prefix: &str| {
        let segment = uri.path().strip_prefix(prefix)?.split('/').next()?;
        percent_decode_str(segment).decode_utf8().ok()
    };
    if route.starts_with("/v1/workspaces/{workspace_id}") {
        Uuid::try_parse(&named("/v1/workspaces/")?).ok().map(WorkspaceId)
    } else if route.starts_with("/v1/users/{user_id}") {
        UserId::parse(&named("/v1/users/")?).ok().map(|user| WorkspaceId::personal(&user))
    } else {
        None
    }
}

/// Lets a witness go along, and notes what was refused.
pub(super) async fn watch(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let (asked, witness) = (Asked::of(&request), Witness::default());
    request.extensions_mut().insert(witness.clone());
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>();
    for attempt in refused(&asked, &witness.heard(), problem) {
        app.attempts.note(attempt);
    }
    response
}

fn refused(asked: &Asked, heard: &Heard, problem: Option<&Problem>) -> Vec<Attempt> {
    let Some(origin) = &heard.origin else { return Vec::new() };
    match (&heard.rejected, problem) {
        (Some(rejected), Some(_)) => rejections(asked, rejected, origin),
        (None, Some(problem)) => denial(asked, heard, origin, problem).into_iter().collect(),
        (_, None) => items(asked, heard, origin),
    }
}

/// A bad credential is noted where the path leads, and a key's also where it belongs.
fn rejections(asked: &Asked, rejected: &Rejected, origin: &Arc<Origin>) -> Vec<Attempt> {
    let of = |workspace, code, key| Attempt {
        key,
        ..attempt(Place::Workspace(workspace), rejected.action, code, origin)
    };
    let Some((home, key)) = rejected.key else {
        return asked.workspace.map(|here| of(here, rejected.code, None)).into_iter().collect();
    };
    let actor = Some(Actor::ApiKey { id: key, workspace: home });
    let known = Arc::new(Origin { actor, ..Origin::clone(origin) });
    let at_home = Attempt { origin: known, ..of(home, rejected.code, Some(key)) };
    let elsewhere = asked.workspace.filter(|here| *here != home);
    // No workspace is told of another's keys.
    [Some(at_home), elsewhere.map(|here| of(here, "key_unknown", None))].into_iter().flatten().collect()
}

fn denial(asked: &Asked, heard: &Heard, origin: &Arc<Origin>, problem: &Problem) -> Option<Attempt> {
    let code = problem.code();
    let is_hidden = problem.mark() == Some(HIDES_WORKSPACE);
    let (place, action) = match &heard.place {
        Some(place @ (Place::Invitation(_) | Place::InviteCode(_))) => {
            (place.clone(), STALE.contains(&code).then_some(Action::TokenRejected)?)
        }
        other => {
            let named = asked.workspace.map(Place::Workspace);
            let place = other.clone().or(named)?;
            if code == "unauthenticated" {
                // It was good when it was shown, and no longer when the command was to be committed.
                return Some(attempt(place, Action::TokenRejected, "session_over", origin));
            }
            let is_denied = DENIED.contains(&code) || is_hidden;
            let action = match (asked.is_command, asked.is_audit_data) {
                (true, _) => Action::CommandDenied,
                (false, true) => Action::ReadDenied,
                (false, false) => return None,
            };
            (place, is_denied.then_some(action)?)
        }
    };
    let permission = problem.member("permission").and_then(Value::as_str).map(str::to_owned);
    Some(Attempt { permission, command: heard.command, ..attempt(place, action, code, origin) })
}

fn items(asked: &Asked, heard: &Heard, origin: &Arc<Origin>) -> Vec<Attempt> {
    let Some(workspace) = asked.workspace else { return Vec::new() };
    let denied = heard.items.iter().map(|(code, times)| Attempt {
        command: heard.command,
        times: *times,
        ..attempt(Place::Workspace(workspace), Action::CommandDenied, code, origin)
    });
    denied.collect()
}

fn attempt(place: Place, action: Action, code: &'static str, origin: &Arc<Origin>) -> Attempt {
    Attempt {
        place,
        action,
        code,
        permission: None,
        command: None,
        key: None,
        origin: origin.clone(),
        at: clock::now(),
        times: 1,
    }
}
