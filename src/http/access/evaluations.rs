//! `/access/v1/evaluations`: many questions in one request, with defaults for what they share.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, Decision, DecisionContext, ItemError};
use super::entities::{Action, Asked, Context, Entity};
use crate::http::App;
use crate::http::base::body::read_value;
use crate::http::base::problem::{FieldError, Problem, ProblemBody};
use crate::http::problem::HISTORY_UNREADABLE;

/// How many questions one request may hold.
const MOST_QUESTIONS: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(evaluate_all))
}

/// Many questions; what one leaves out is taken from here, whole.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the protocol's names")]
pub(super) struct Evaluations {
    #[serde(default)]
    #[garde(dive)]
    subject: Option<Entity>,
    #[serde(default)]
    #[garde(dive)]
    action: Option<Action>,
    #[serde(default)]
    #[garde(dive)]
    resource: Option<Entity>,
    #[serde(default)]
    #[garde(dive)]
    context: Option<Context>,
    /// Without any, this is one question.
    #[serde(default)]
    #[garde(length(max = MOST_QUESTIONS))]
    evaluations: Vec<Item>,
    #[serde(default)]
    #[garde(skip)]
    options: Option<Options>,
}

/// One of them. What is wrong with it concerns no other, so it is read on its own.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(super) struct Item {
    #[serde(default)]
    #[schema(value_type = Option<Entity>)]
    subject: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Action>)]
    action: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Entity>)]
    resource: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Context>)]
    context: Option<Value>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(super) struct Options {
    #[serde(default)]
    evaluations_semantic: Option<Semantic>,
}

/// Where to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Semantic {
    /// Nowhere.
    #[default]
    ExecuteAll,
    /// At the first no.
    DenyOnFirstDeny,
    /// At the first yes.
    PermitOnFirstPermit,
}

#[derive(Debug, Serialize, ToSchema)]
struct Decisions {
    /// In the order of the questions.
    evaluations: Vec<Decision>,
}

/// May they do all this? (AuthZEN 1.0, Access Evaluations)
#[utoipa::path(
    post, path = "/access/v1/evaluations", tag = "access", request_body = Evaluations,
    params(("explain" = Option<bool>, Query, description = "Say why, in each answer's context")),
    responses((status = 200, body = Decisions), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn evaluate_all(ask: Ask, asked: Asked<Evaluations>) -> Result<Response, Problem> {
    let Asked { value: mut asked, length } = asked;
    let items = std::mem::take(&mut asked.evaluations);
    if items.is_empty() {
        return Ok(Json(asked.as_one(&ask).await?).into_response());
    }
    let semantic =
        asked.options.as_ref().and_then(|options| options.evaluations_semantic).unwrap_or_default();
    let share = length / items.len();
    let mut evaluations = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let decision = match asked.decide(&ask, index, item, share).await {
            Err(problem) if concerns_it_alone(&problem) => denied_for(&problem),
            other => other?,
        };
        let stop = semantic.stops_at(decision.decision);
        evaluations.push(decision);
        if stop {
            break;
        }
    }
    Ok(Json(Decisions { evaluations }).into_response())
}

/// Whether the next question may well have an answer.
fn concerns_it_alone(problem: &Problem) -> bool {
    problem.status().is_client_error() || problem.code() == HISTORY_UNREADABLE
}

impl Semantic {
    fn stops_at(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

impl Evaluations {
    /// As if it had been asked at `/access/v1/evaluation`.
    async fn as_one(&self, ask: &Ask) -> Result<Decision, Problem> {
        let (Some(subject), Some(action), Some(resource)) = (&self.subject, &self.action, &self.resource)
        else {
            let present = [self.subject.is_some(), self.action.is_some(), self.resource.is_some()];
            let names = ["/subject", "/action", "/resource"].into_iter().zip(present);
            let missing = names.filter(|(_, present)| !present).map(|(name, _)| required(name.to_owned()));
            return Err(Problem::invalid(missing.collect()));
        };
        ask.decide(subject, action, resource, self.context.as_ref()).await
    }

    async fn decide(&self, ask: &Ask, index: usize, item: Item, share: usize) -> Result<Decision, Problem> {
        let mut errors = Vec::new();
        let at = |name: &str| format!("/evaluations/{index}/{name}");
        let subject = own_or(item.subject, self.subject.as_ref(), at("subject"), share, &mut errors);
        let action = own_or(item.action, self.action.as_ref(), at("action"), share, &mut errors);
        let resource = own_or(item.resource, self.resource.as_ref(), at("resource"), share, &mut errors);
        let context = match (item.context, &self.context) {
            (None, shared) => shared.clone(),
            (own, _) => own_or::<Context>(own, None, at("context"), share, &mut errors),
        };
        match (subject, action, resource) {
            (Some(subject), Some(action), Some(resource)) if errors.is_empty() => {
                ask.decide(&subject, &action, &resource, context.as_ref()).await
            }
            _ => Err(Problem::invalid(errors)),
        }
    }
}

/// What the question says itself, or else what all share.
fn own_or<T>(
    own: Option<Value>,
    shared: Option<&T>,
    pointer: String,
    share: usize,
    errors: &mut Vec<FieldError>,
) -> Option<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Clone,
{
    let Some(own) = own else {
        if shared.is_none() {
            errors.push(required(pointer));
        }
        return shared.cloned();
    };
    match read_value(own, share) {
        Ok(own) => Some(own),
        Err(found) => {
            let placed =
                |error: FieldError| FieldError { pointer: format!("{pointer}{}", error.pointer), ..error };
            errors.extend(found.into_iter().map(placed));
            None
        }
    }
}

fn required(pointer: String) -> FieldError {
    FieldError::new(pointer, "required", "this field is required")
}

/// A question that cannot be answered is answered with no.
fn denied_for(problem: &Problem) -> Decision {
    let body = problem.body(None, None);
    let error = ItemError {
        status: body.status,
        code: problem.code(),
        message: body.detail,
        errors: problem.errors().to_vec(),
    };
    Decision { decision: false, context: Some(DecisionContext::Error(error)) }
}
