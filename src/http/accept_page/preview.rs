//! `POST /accept/preview`: what an invitation offers, for the holder of its token, signed in or not.
//!
//! The token is the credential, so nobody is asked who they are; and it tells no more than the mail that brought it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tenure_aggregates::Time;

use super::App;
use crate::clock;
use crate::commands::invitations::Preview;
use crate::http::base::body::Body;
use crate::http::base::problem::Problem;
use crate::http::base::query::NoQuery;
use crate::http::caller::asked_from;
use crate::http::invitations::TokenRequest;
use crate::http::witness::Witness;
use crate::resources::Answer;
use crate::store::Origin;

/// A request that nobody vouches for. Whatever credential it brings is not looked at.
pub(super) struct Stranger {
    origin: Arc<Origin>,
    witness: Witness,
}

impl FromRequestParts<Arc<App>> for Stranger {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        NoQuery::from_request_parts(parts, app).await?;
        let (origin, witness) = (Arc::new(asked_from(parts)), Witness::of(parts));
        witness.calls(origin.clone());
        Ok(Self { origin, witness })
    }
}

/// Of the preview, what stands in the mail: no id.
#[derive(Debug, Serialize, Deserialize)]
struct Offered {
    workspace: Inviting,
    email: String,
    role: String,
    status: String,
    invited_by: Option<String>,
    expires_at: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct Inviting {
    name: String,
    image_url: Option<String>,
}

impl Offered {
    /// The page loads a logo over https or not at all.
    fn for_the_page(mut self) -> Self {
        let image = self.workspace.image_url.take();
        self.workspace.image_url = image.filter(|url| url.starts_with("https://"));
        self
    }
}

pub(super) async fn preview(
    State(app): State<Arc<App>>,
    stranger: Stranger,
    body: Body<TokenRequest>,
) -> Result<Response, Problem> {
    let token = body.value.open(&app, &stranger.witness)?;
    let done = app.store.run(&Preview { token }, stranger.origin, None, clock::now).await?;
    let offered: Offered = Answer::from_text(&done.committed.answer)?.read_body()?;
    Ok(axum::Json(offered.for_the_page()).into_response())
}
