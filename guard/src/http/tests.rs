//! The guard in front of a router: every credential, every path, with and without its layer.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get};
use axum::{Extension, Router};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Guard, SESSION_COOKIE};
use crate::testing::{ELSEWHERE, TestKey, WORKSPACE, claims, now};
use crate::{Refusal, Session};

/// A key, and a guard that knows it.
struct Stage {
    key: TestKey,
    guard: Guard,
}

fn stage() -> Stage {
    let key = TestKey::new("k");
    let guard = Guard::new(key.verifier()).with_clock(now);
    Stage { key, guard }
}

impl Stage {
    fn token(&self, change: &Value) -> String {
        self.key.token(&claims(change))
    }

    /// Two routes that want `invoices:write`, one of which names the workspace, and one that wants a session only.
    fn router(&self) -> Router {
        let write = |route: MethodRouter| route.layer(self.guard.require("invoices:write"));
        Router::new()
            .route("/invoices", write(any(whoami)))
            .route("/workspaces/{workspace_id}/invoices/{id}", write(any(whoami)))
            .route("/me", any(whoami))
            .layer(self.guard.authenticate())
    }
}

async fn whoami(session: Session) -> String {
    format!("{} in {}", session.user_id(), session.workspace_id())
}

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

async fn answer(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    router.clone().oneshot(request(method, path, headers)).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 4096).await.unwrap().to_vec()).unwrap()
}

/// Status and code of a GET with a bearer token.
async fn get_as(router: &Router, token: &str, path: &str) -> (u16, Value) {
    let response = answer(router, Method::GET, path, &[("authorization", &format!("Bearer {token}"))]).await;
    let status = response.status().as_u16();
    let problem: Value = serde_json::from_str(&text(response).await).unwrap_or_default();
    (status, problem["code"].clone())
}

#[tokio::test]
async fn a_session_comes_as_bearer_or_as_cookie() {
    let stage = stage();
    let (router, token) = (stage.router(), stage.token(&json!({})));
    let cookie = format!("{SESSION_COOKIE}={token}");
    let among_others = format!("a=1; {cookie} ;b=\"x=y\"; flag");
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer  {token}")),
        ("cookie", cookie),
        ("cookie", among_others),
    ] {
        let response = answer(&router, Method::GET, "/me", &[(name, &value)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}: {value}");
        assert_eq!(text(response).await, format!("ada in {WORKSPACE}"));
    }
}

#[tokio::test]
async fn no_credential_two_or_a_broken_one_are_401() {
    let stage = stage();
    let (router, token) = (stage.router(), stage.token(&json!({})));
    let (bearer, cookie) = (format!("Bearer {token}"), format!("{SESSION_COOKIE}={token}"));
    let expired = stage.token(&json!({"exp": 1}));
    for headers in [
        vec![],
        vec![("authorization", "")],
        vec![("authorization", token.as_str())],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer x")],
        vec![("authorization", &format!("Bearer {expired}"))],
        vec![("authorization", &bearer), ("authorization", &bearer)],
        // The header, when present, is the only credential looked at.
        vec![("authorization", "Basic YTpi"), ("cookie", &cookie)],
        vec![("authorization", "Bearer x"), ("cookie", &cookie)],
        vec![("cookie", &cookie), ("cookie", &cookie)],
        vec![("cookie", &format!("{cookie}; {cookie}"))],
        vec![("cookie", &format!("{SESSION_COOKIE}=x"))],
        vec![("cookie", &format!("{SESSION_COOKIE}=\"{token}\""))],
        vec![("cookie", &format!("tenure_session={token}"))],
        vec![("cookie", &format!("__host-tenure_session={token}"))],
        vec![("x-session", &token)],
    ] {
        for path in ["/me", "/invoices"] {
            let response = answer(&router, Method::GET, path, &headers).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{headers:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers()["cache-control"], "no-store");
            let problem: Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!((&problem["code"], &problem["instance"]), (&json!("unauthenticated"), &json!(path)));
        }
    }
    // Nor in the address, where it would be logged.
    let response = answer(&router, Method::GET, &format!("/me?access_token={token}"), &[]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_the_layer_taken_out_a_handler_still_answers_401() {
    let stage = stage();
    let router = Router::new()
        .route("/me", get(whoami))
        .route("/raw", get(async |Extension(session): Extension<Session>| whoami(session).await));
    let token = stage.token(&json!({}));
    assert_eq!(get_as(&router, &token, "/me").await, (401, json!("unauthenticated")));
    assert_eq!(get_as(&router, &token, "/raw").await.0, 500, "no session, no answer");
    // One layer is enough, whichever it is.
    let alone = Router::new().route("/me", get(whoami).layer(stage.guard.require("invoices:read")));
    assert_eq!(get_as(&alone, &token, "/me").await.0, 200);
    assert_eq!(get_as(&alone, "x", "/me").await, (401, json!("unauthenticated")));
}

#[tokio::test]
async fn no_cache_keeps_what_one_tenant_was_shown_unless_a_handler_says_so() {
    let stage = stage();
    let public = get(async |_: Session| ([("cache-control", "private, max-age=60")], "logo"));
    let router = stage.router().route("/logo", public.layer(stage.guard.authenticate()));
    let bearer = format!("Bearer {}", stage.token(&json!({})));
    for (path, expected) in [("/me", "no-store"), ("/logo", "private, max-age=60")] {
        let response = answer(&router, Method::GET, path, &[("authorization", &bearer)]).await;
        assert_eq!(response.headers()["cache-control"], expected);
    }
}

#[tokio::test]
async fn a_path_names_the_sessions_workspace_or_nothing() {
    let stage = stage();
    let token = stage.token(&json!({}));
    // Before the router, where there are no parameters yet, after it, and on the route.
    let before: Router = {
        let bare = Router::new().route("/workspaces/{workspace_id}/invoices/{id}", get(whoami));
        Router::new().fallback_service(tower::Layer::layer(&stage.guard.authenticate(), bare))
    };
    let nested = Router::new().nest("/workspaces/{workspace_id}", {
        let handler = get(async |Extension(session): Extension<Session>| whoami(session).await);
        Router::new().route("/invoices/{id}", handler).layer(stage.guard.authenticate())
    });
    for router in [stage.router(), before, nested] {
        let path = |workspace: &str, id: &str| format!("/workspaces/{workspace}/invoices/{id}");
        let own = WORKSPACE.to_string();
        assert_eq!(get_as(&router, &token, &path(&own, "1")).await.0, 200);
        assert_eq!(get_as(&router, &token, &path(&own.to_uppercase(), "1")).await.0, 200);
        for other in [&ELSEWHERE.to_string(), "not-a-uuid", "%20", &format!("{own}%00"), "%ff"] {
            assert_eq!(
                get_as(&router, &token, &path(other, "1")).await,
                (404, json!("not_found")),
                "{other}"
            );
        }
        assert_eq!(get_as(&router, &token, &path(&own, "%ff")).await.0, 404, "unreadable");
    }
}

#[tokio::test]
async fn a_route_takes_its_permission() {
    let stage = stage();
    let router = stage.router();
    for (change, expected) in [
        (json!({}), (200, json!(null))),
        (json!({"permissions": ["invoices:read"]}), (403, json!("permission_denied"))),
        (json!({"role": "owner", "workspace_status": "suspended"}), (423, json!("workspace_suspended"))),
        (json!({"role": "owner", "workspace_status": "archived"}), (409, json!("workspace_archived"))),
    ] {
        let token = stage.token(&change);
        assert_eq!(get_as(&router, &token, "/invoices").await, expected, "{change}");
        assert_eq!(get_as(&router, &token, "/me").await.0, 200, "{change}: the session itself is fine");
    }
}

#[tokio::test]
async fn whom_a_token_cannot_tell_is_asked_online() {
    let stage = stage();
    let mut claims = crate::testing::without("permissions");
    claims["permissions_omitted"] = json!(true);
    let token = stage.key.token(&claims);
    assert_eq!(get_as(&stage.router(), &token, "/invoices").await, (503, json!("unavailable")));
    let guard = stage.guard.clone().with_online_check(async |session: Session, permission| {
        match (session.user_id(), permission.as_str()) {
            ("ada", "invoices:write") => Ok(()),
            _ => Err(Refusal::PermissionMissing { permission }),
        }
    });
    let asking = Stage { key: stage.key, guard };
    assert_eq!(get_as(&asking.router(), &token, "/invoices").await.0, 200);
    claims["sub"] = json!("bob");
    let other = asking.key.token(&claims);
    assert_eq!(get_as(&asking.router(), &other, "/invoices").await, (403, json!("permission_denied")));
}

#[tokio::test]
async fn a_cookie_changes_nothing_for_another_site() {
    let stage = stage();
    let guard = stage.guard.clone().with_public_url("https://public.example:443/app").unwrap();
    let router = Stage { key: TestKey::new("unused"), guard }.router();
    let token = stage.token(&json!({}));
    let (bearer, cookie) = (format!("Bearer {token}"), format!("{SESSION_COOKIE}={token}"));
    let cross: &[(&str, &str)] = &[("sec-fetch-site", "cross-site")];
    let fine: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://app.example")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://app.example")],
        &[("origin", "http://app.example:80")],
        &[("origin", "https://APP.example")],
        &[("origin", "https://public.example")],
    ];
    let refused: [&[(&str, &str)]; 11] = [
        cross,
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://app.example.evil")],
        &[("origin", "https://app.example:8443")],
        &[("origin", "http://public.example")],
        &[("origin", "null")],
        &[("origin", "https://app.example"), ("origin", "https://app.example")],
    ];
    for method in
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()]
    {
        for headers in fine {
            let headers = [headers, &[("cookie", cookie.as_str())]].concat();
            let response = answer(&router, method.clone(), "/invoices", &headers).await;
            assert_eq!(response.status(), StatusCode::OK, "{method} {headers:?}");
        }
        for headers in refused {
            let with_cookie = [headers, &[("cookie", cookie.as_str())]].concat();
            let response = answer(&router, method.clone(), "/invoices", &with_cookie).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {headers:?}");
            assert!(text(response).await.contains("\"cross_origin\""));
            // No browser sends a bearer token by itself.
            let with_bearer = [headers, &[("authorization", bearer.as_str())]].concat();
            let response = answer(&router, method.clone(), "/invoices", &with_bearer).await;
            assert_eq!(response.status(), StatusCode::OK, "{method} {headers:?}");
        }
    }
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let headers = [cross, &[("cookie", cookie.as_str())]].concat();
        let response = answer(&router, method, "/invoices", &headers).await;
        assert_eq!(response.status(), StatusCode::OK, "reading is left to the browser's own rule");
    }
    assert!(stage.guard.with_public_url("public.example/app").is_err());
}

#[tokio::test]
async fn over_http_2_the_host_stands_in_the_address() {
    let stage = stage();
    let cookie = format!("{SESSION_COOKIE}={}", stage.token(&json!({})));
    for (origin, status) in
        [("https://app.example", StatusCode::OK), ("https://evil.example", StatusCode::FORBIDDEN)]
    {
        let request =
            Request::post("https://app.example/invoices").header("cookie", &cookie).header("origin", origin);
        let response = stage.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
}
