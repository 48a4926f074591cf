//! `/openapi.json`, and `/docs` to read it in a browser, from assets inside the binary.
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::middleware::{Next, from_fn};
use axum::{extract::Request, response::Response};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Everything from here and nothing from elsewhere. Styles may be inline because Swagger UI writes them so.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub fn docs(document: OpenApi) -> Router {
    // Left to itself, Swagger UI sends the document to a validator on the internet. Keeping the reader's
    // credential in the browser's storage stays off, too.
    let config = Config::default().validator_url("none").persist_authorization(false);
    Router::from(SwaggerUi::new("/docs").config(config).url("/openapi.json", document)).layer(from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
