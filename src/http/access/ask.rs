//! Who asks, about whom they may, and where the answer comes from.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenure_aggregates::membership::Standing;
use tenure_aggregates::workspace::Details;
use tenure_aggregates::{MembershipId, Permission, PermissionName, Time, UserId, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::entities::{Action, AsOf, Context, Entity, USER};
use crate::access::explain::{self, Cause};
use crate::access::log::{Loaded, Log};
use crate::access::{Question, Reason, Source};
use crate::clock;
use crate::http::App;
use crate::http::base::conditional::TenurePosition;
use crate::http::base::problem::Problem;
use crate::http::base::query::Query;
use crate::http::caller::Caller;
use crate::past::Past;
use crate::store::origin::Actor;

/// An authenticated request for decisions.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) app: Arc<App>,
    pub(super) now: Time,
    pub(super) seen: Option<i64>,
    /// Every answer says why.
    explain: bool,
    caller: Caller,
    source: Source,
    pub(super) log: Log,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct AskQuery {
    /// Present, empty or true: say why.
    #[serde(default)]
    #[garde(inner(custom(flag)))]
    explain: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as garde calls it")]
fn flag(text: &str, (): &()) -> garde::Result {
    let known = matches!(text, "" | "true" | "false");
    known.then_some(()).ok_or_else(|| garde::Error::new("unknown_value: must be true or false"))
}

impl FromRequestParts<Arc<App>> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let TenurePosition(seen) = TenurePosition::from_request_parts(parts, app).await?;
        let Query(query) = Query::<AskQuery>::from_request_parts(parts, app).await?;
        if let Some(seen) = seen.filter(|seen| app.access.position().is_none_or(|known| known < *seen)) {
            app.reads.check_position(seen).await?;
        }
        Ok(Self {
            app: app.clone(),
            now: clock::now(),
            seen,
            explain: query.explain.is_some_and(|text| text != "false"),
            source: app.access.source_for(seen).await,
            log: Log::new(app.store.loader().clone()),
            caller,
        })
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Decision {
    pub(super) decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<DecisionContext>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DecisionContext {
    /// Why, where that was asked for.
    Reason(Box<Explained>),
    /// What is wrong with this one question among others.
    Error(ItemError),
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ItemError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<crate::http::base::problem::FieldError>,
}

/// Why a question was answered as it was.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Explained {
    /// `role_allows`, or which rule said no.
    code: &'static str,
    #[serde(flatten)]
    membership: Option<ExplainedMembership>,
    /// active, suspended or archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_status: Option<&'static str>,
    #[serde(flatten)]
    cause: Option<Cause>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct ExplainedMembership {
    membership_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// active, deactivated, expired or ended.
    status: &'static str,
}

impl Ask {
    /// Decides one complete question.
    pub(super) async fn decide(
        &self,
        subject: &Entity,
        action: &Action,
        resource: &Entity,
        context: Option<&Context>,
    ) -> Result<Decision, Problem> {
        let explain = self.explain || context.and_then(|context| context.explain).unwrap_or(false);
        let past = self.past(context).await?;
        let Some(workspace) = resource.as_workspace().filter(|_| subject.kind == USER).map(WorkspaceId)
        else {
            return Ok(nothing_here(explain));
        };
        if !self.may_ask_about(workspace, &subject.id).await? {
            return Ok(nothing_here(explain));
        }
        if past.is_none() && !explain {
            let reason = self.check(workspace, &subject.id, &action.name).await?;
            return Ok(Decision { decision: reason.allows(), context: None });
        }
        // Somebody who is no user's id is no member either.
        let Ok(user) = UserId::parse(&subject.id) else { return Ok(nothing_here(explain)) };
        let streams = match &past {
            Some(past) => past.streams(&self.app.reads, workspace, &user).await?,
            None => self.log.streams(workspace, &user).await?,
        };
        let permission = PermissionName::parse(&action.name).ok();
        let now = past.as_ref().map_or(self.now, |past| past.now);
        let reason = streams.decide(&user, permission.as_ref(), now);
        if !explain {
            return Ok(Decision { decision: reason.allows(), context: None });
        }
        let explained = self.explain(workspace, &user, reason, &streams, past.as_ref()).await?;
        Ok(Decision {
            decision: reason.allows(),
            context: Some(DecisionContext::Reason(Box::new(explained))),
        })
    }

    /// One question about now, whoever asks.
    pub(super) async fn check(
        &self,
        workspace: WorkspaceId,
        user: &str,
        permission: &str,
    ) -> Result<Reason, Problem> {
        let question = Question { workspace, user, permission };
        Ok(self.app.access.check(&self.log, self.source, &question, self.now).await?)
    }

    /// The moment a question is about, if it is not now.
    pub(super) async fn past(&self, context: Option<&Context>) -> Result<Option<Past>, Problem> {
        let moment = context.and_then(|context| context.as_of.as_ref()).and_then(AsOf::moment);
        match moment {
            None => Ok(None),
            Some(moment) => {
                let (reads, projector) = (&self.app.reads, &self.app.projector_pool);
                Ok(Some(Past::at(moment, "/context/as_of", reads, projector, self.now).await?))
            }
        }
    }

    /// The same for a search, whose read models have come to it, and as text, for what must not change between pages.
    pub(super) async fn moment(&self, context: Option<&Context>) -> Result<(Option<Past>, String), Problem> {
        let past = self.past(context).await?;
        if let Some(past) = &past {
            self.app.reads.wait_for(past.position).await?;
        }
        let as_of = context.and_then(|context| context.as_of.as_ref());
        Ok((past, serde_json::to_string(&as_of).unwrap_or_default()))
    }

    /// Whether somebody may do that, now or then.
    pub(super) async fn allows(
        &self,
        workspace: WorkspaceId,
        user: &UserId,
        permission: &str,
        past: Option<&Past>,
    ) -> Result<bool, Problem> {
        let Some(past) = past else {
            return Ok(self.check(workspace, user.as_str(), permission).await?.allows());
        };
        let streams = past.streams(&self.app.reads, workspace, user).await?;
        Ok(streams.decide(user, PermissionName::parse(permission).ok().as_ref(), past.now).allows())
    }

    /// The service asks about anybody; a key about its own workspace; a user about themselves where they are a member,
    /// and about others where they may see the members; in a session, only where it is.
    pub(super) async fn may_ask_about(&self, workspace: WorkspaceId, subject: &str) -> Result<bool, Problem> {
        if self.is_bound_elsewhere(workspace) {
            return Ok(false);
        }
        match &self.caller.0.actor {
            Some(Actor::Service | Actor::System | Actor::ApiKey { .. }) => Ok(true),
            Some(Actor::User(user)) if user.as_str() == subject => {
                let standing = self.check(workspace, subject, Permission::WorkspaceRead.as_str()).await?;
                Ok(!matches!(standing, Reason::WorkspaceNotFound | Reason::NotAMember))
            }
            Some(Actor::User(_)) => self.may_see_members(workspace).await,
            None => Ok(false),
        }
    }

    /// Whether the caller may ask about everybody there.
    pub(super) async fn may_see_members(&self, workspace: WorkspaceId) -> Result<bool, Problem> {
        if self.is_bound_elsewhere(workspace) {
            return Ok(false);
        }
        match &self.caller.0.actor {
            Some(Actor::Service | Actor::System | Actor::ApiKey { .. }) => Ok(true),
            Some(Actor::User(user)) => {
                let reason = self.check(workspace, user.as_str(), Permission::MembersRead.as_str()).await?;
                Ok(reason.allows())
            }
            None => Ok(false),
        }
    }

    /// The one workspace the caller's credential opens: a key's own, or that of a session.
    pub(super) fn bound_to(&self) -> Option<WorkspaceId> {
        let origin = &self.caller.0;
        match &origin.actor {
            Some(Actor::ApiKey { workspace, .. }) => Some(*workspace),
            _ => origin.session.map(|session| session.workspace_id),
        }
    }

    fn is_bound_elsewhere(&self, workspace: WorkspaceId) -> bool {
        self.bound_to().is_some_and(|own| own != workspace)
    }

    /// The caller, where that is a user.
    pub(super) fn user(&self) -> Option<&UserId> {
        self.caller.user()
    }

    async fn explain(
        &self,
        workspace: WorkspaceId,
        user: &UserId,
        reason: Reason,
        streams: &Loaded,
        past: Option<&Past>,
    ) -> Result<Explained, Problem> {
        let (now, role) = (past.map_or(self.now, |past| past.now), streams.role(user));
        let cause = explain::cause(&self.app.reads, workspace, user, (reason, role.as_ref()), past).await?;
        let status = match streams.membership.standing(now) {
            Standing::Active => Some("active"),
            Standing::Deactivated => Some("deactivated"),
            Standing::Expired => Some("expired"),
            Standing::Absent => cause.as_ref().map(|_| "ended"),
        };
        let membership_id = MembershipId::of(workspace, user).0;
        let role = role.map(|role| role.to_string());
        Ok(Explained {
            code: reason.as_str(),
            membership: status.map(|status| ExplainedMembership { membership_id, role, status }),
            workspace_status: streams.workspace.living().ok().map(Details::status).map(Into::into),
            cause,
        })
    }

    /// The streams as they were, or as they are.
    pub(super) async fn streams(
        &self,
        workspace: WorkspaceId,
        user: &UserId,
        past: Option<&Past>,
    ) -> Result<Loaded, Problem> {
        Ok(match past {
            Some(past) => past.streams(&self.app.reads, workspace, user).await?,
            None => self.log.streams(workspace, user).await?,
        })
    }
}

/// As if there were none of what was asked about.
fn nothing_here(explain: bool) -> Decision {
    let explained =
        Explained { code: Reason::NotFound.as_str(), membership: None, workspace_status: None, cause: None };
    let context = explain.then(|| DecisionContext::Reason(Box::new(explained)));
    Decision { decision: false, context }
}
