//! The session in a handler. It is there only behind the guard's layer: with the layer taken out, the answer is 401.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::guard::require_workspace_of_path;
use crate::refusal::{InvalidToken, Refusal};
use crate::session::Session;

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let session = parts.extensions.get::<Self>().cloned().ok_or(InvalidToken::Missing)?;
        // Again, for a layer that sat before the router and saw no parameters.
        require_workspace_of_path(parts, &session).await?;
        Ok(session)
    }
}
