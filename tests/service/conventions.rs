//! The conventions of the contract: problems, credentials, request ids, conditions, positions.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::contract::{documented_routes, guarded_routes};
use crate::support::service::{Answer, OPERATOR_KEY};
use crate::support::{Acme, TestService};

// ---- Problems

#[tokio::test]
async fn an_unknown_route_is_a_problem_with_or_without_credentials() {
    let service = TestService::start().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/users/ada", "/v1/workspaces/"] {
        service.bare(Method::GET, path, &[]).await.is_problem(404);
        let answer = service.operator().get(path).await.refused(404, "not_found");
        assert_eq!(answer.body["instance"], path);
        answer.is_problem(404);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_method_that_a_route_does_not_know_is_refused_with_allow() {
    let service = TestService::start().await;
    let every = [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    for (path, methods) in documented_routes() {
        for method in every.iter().filter(|method| !methods.contains(method)) {
            let answer = service.operator().send(method.clone(), &path, None, &[]).await;
            let answer = answer.refused(405, "method_not_allowed");
            answer.is_problem(405);
            let allow = answer.header("allow").unwrap_or_default();
            let mut allowed: Vec<&str> = allow.split(',').map(str::trim).filter(|m| *m != "HEAD").collect();
            let mut expected: Vec<&str> = methods.iter().map(Method::as_str).collect();
            allowed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_too_large() {
    // Attack 42.
    let service = TestService::start().await;
    let body = |size: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(size - 11)).into_bytes();
    let send = |size| {
        let operator = service.operator();
        async move { operator.send_raw(Method::PUT, "/v1/users/ada", "application/json", body(size)).await }
    };
    send((1 << 20) + 1).await.refused(413, "payload_too_large").is_problem(413);
    assert_eq!(send(1 << 20).await.refused(400, "validation_failed").errors(), [("/name", "too_long")]);
    assert_eq!(service.head().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_unsupported() {
    let service = TestService::start().await;
    let body = br#"{"name":"Ada"}"#.to_vec();
    for kind in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "json",
        "application/json; charset=latin1",
    ] {
        let answer = service.operator().send_raw(Method::PUT, "/v1/users/ada", kind, body.clone()).await;
        answer.refused(415, "unsupported_media_type").is_problem(415);
    }
    let request = service.operator().request(Method::PUT, "/v1/users/ada").body(body.clone());
    Answer::of(request).await.refused(415, "unsupported_media_type");
    let request = service.operator().request(Method::PUT, "/v1/users/ada").body(body.clone());
    let request = request.header("content-type", "application/json").header("content-encoding", "gzip");
    Answer::of(request).await.refused(415, "unsupported_media_type");
    assert_eq!(service.head().await, 0);
    for kind in ["application/json; charset=UTF-8", "application/merge-patch+json"] {
        let answer = service.operator().send_raw(Method::PUT, "/v1/users/ada", kind, body.clone()).await;
        assert!(answer.status.is_success(), "{kind}: {:#}", answer.body);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_json_as_this_service_reads_it_is_malformed() {
    // Attack 42.
    let acme = Acme::found().await;
    let before = acme.service.head().await;
    let deep =
        |open: &str, close: &str| format!("{{\"name\":{}{}}}", open.repeat(10_000), close.repeat(10_000));
    let broken: Vec<(Vec<u8>, &str)> = vec![
        (b"{".to_vec(), ""),
        (b"{\"name\":}".to_vec(), "/name"),
        (b"name=Acme".to_vec(), ""),
        (b"{\"name\":\"Acme\"} trailing".to_vec(), ""),
        (b"{\"name\":\"Acme\"}{\"name\":\"Acme\"}".to_vec(), ""),
        (b"{\"name\":\"Acme\",}".to_vec(), ""),
        (b"{\"name\":\"Acme\",\"name\":\"Acme\"}".to_vec(), "/name"),
        (b"{\"social\":{\"x\":\"a\",\"x\":\"a\"}}".to_vec(), "/social/x"),
        (b"{\"name\":\"\\ud800\"}".to_vec(), "/name"),
        (b"{\"name\":\"\\udc00\\ud800\"}".to_vec(), "/name"),
        (b"{\"name\":\"\xff\xfe\"}".to_vec(), ""),
        (b"{\"name\":1e400}".to_vec(), "/name"),
        (b"{\"name\":NaN}".to_vec(), "/name"),
        (b"\xef\xbb\xbf{}".to_vec(), ""),
        (deep("[", "]").into_bytes(), ""),
        (deep("{\"a\":", "}").into_bytes(), ""),
        (b"{\"seats\":{\"limit\":".repeat(10_000), ""),
    ];
    for (body, pointer) in broken {
        let text = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = acme.ada().send_raw(Method::PATCH, &acme.at(""), "application/json", body).await;
        let answer = answer.refused(400, "malformed_json");
        answer.is_problem(400);
        assert_eq!(answer.errors().len(), 1, "{text}");
        if !pointer.is_empty() {
            assert_eq!(answer.errors(), [(pointer, "malformed_json")], "{text}");
        }
    }
    for body in ["[]", "null", "1", "\"Acme\"", "[{\"name\":\"Acme\"}]"] {
        let answer = acme.ada().send_raw(Method::PATCH, &acme.at(""), "application/json", body.into()).await;
        assert_eq!(answer.refused(400, "validation_failed").errors(), [("", "wrong_type")], "{body}");
    }
    let nul = br#"{"name":"Ac\u0000me","phone":"\u0000"}"#.to_vec();
    let answer = acme.ada().send_raw(Method::PATCH, &acme.at(""), "application/json", nul).await;
    let answer = answer.refused(400, "validation_failed");
    assert_eq!(answer.errors(), [("/name", "invalid"), ("/phone", "invalid")]);
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}

#[tokio::test]
async fn a_query_parameter_that_a_route_does_not_know_is_never_ignored() {
    let acme = Acme::found().await;
    let before = acme.service.head().await;
    for (path, methods) in documented_routes() {
        let path = path.replace("01890000-0000-7000-8000-000000000000", &acme.id);
        for method in methods {
            let asked = format!("{path}?dry_run=true");
            let answer = acme.service.operator().send(method.clone(), &asked, Some(&json!({})), &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path}");
            assert_eq!(answer.refused(400, "unknown_field").errors(), [("?dry_run", "unknown_field")]);
        }
    }
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}

#[tokio::test]
async fn the_document_and_its_page_need_neither_credentials_nor_the_internet() {
    let service = TestService::start().await;
    let document = service.bare(Method::GET, "/openapi.json", &[]).await.expect(StatusCode::OK);
    assert!(document.body["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = service.bare(Method::GET, "/docs/", &[]).await.expect(StatusCode::OK);
    let page = page.body.as_str().unwrap();
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    service.bare(Method::GET, "/livez", &[]).await.expect(StatusCode::OK);
    assert_eq!(
        service.bare(Method::GET, "/readyz", &[]).await.expect(StatusCode::OK).body["status"],
        "ready"
    );
    service.stop().await;
}

// ---- Credentials

#[tokio::test]
async fn every_documented_route_asks_for_credentials() {
    // Attack 11.
    let service = TestService::start().await;
    for (path, methods) in guarded_routes() {
        for method in methods {
            let answer = service.bare(method.clone(), &path, &[]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            let answer = answer.refused(401, "unauthenticated");
            answer.is_problem(401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(service.head().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_credential_that_is_none_is_refused_everywhere() {
    let service = TestService::start().await;
    let good = format!("Bearer {OPERATOR_KEY}");
    let wrong = format!("Bearer {OPERATOR_KEY}x");
    let cut = format!("Bearer {}", &OPERATOR_KEY[1..]);
    let (basic, token) = (format!("Basic {OPERATOR_KEY}"), format!("Token {OPERATOR_KEY}"));
    for value in
        ["", "Bearer", "Bearer ", "Bearer  ", OPERATOR_KEY, &basic, &token, &wrong, &cut, "Bearer a.b.c"]
    {
        let answer = service.bare(Method::GET, "/v1/permissions", &[("authorization", value)]).await;
        answer.refused(401, "unauthenticated");
    }
    let two = [("authorization", good.as_str()), ("authorization", good.as_str())];
    service.bare(Method::GET, "/v1/permissions", &two).await.refused(401, "unauthenticated");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {OPERATOR_KEY}");
        let answer = service.bare(Method::GET, "/v1/permissions", &[("authorization", &value)]).await;
        answer.expect(StatusCode::OK);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_secret_in_the_query_is_refused_even_beside_a_good_credential() {
    let service = TestService::start().await;
    for name in
        ["access_token", "token", "api_key", "Api-Key", "key", "secret", "code", "authorization", "password"]
    {
        let path = format!("/v1/permissions?{name}={OPERATOR_KEY}");
        for answer in [service.bare(Method::GET, &path, &[]).await, service.operator().get(&path).await] {
            let answer = answer.refused(400, "secret_in_query");
            answer.is_problem(400);
            assert!(!answer.body.to_string().contains(OPERATOR_KEY), "{:#}", answer.body);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn only_one_well_formed_actor_can_be_acted_for() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let bearer = format!("Bearer {OPERATOR_KEY}");
    let long = "a".repeat(256);
    for actors in [&["", "x"][..1], &[&long], &["ada", "ada"], &["a\tb"]] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(actors.iter().map(|actor| ("tenure-actor", *actor)));
        let answer = service.bare(Method::GET, "/v1/users/ada", &headers).await;
        let answer = answer.refused(400, "validation_failed");
        assert_eq!(answer.errors(), [("Tenure-Actor", "invalid")]);
    }
    service.stop().await;
}

// ---- Tracing

#[tokio::test]
async fn a_request_id_is_echoed_and_recorded() {
    let acme = Acme::found().await;
    let rename = json!({"name": "Renamed"});
    let headers = [("x-request-id", "order-66.retry:1_a")];
    let answer = acme.ada().send(Method::PATCH, &acme.at(""), Some(&rename), &headers).await;
    assert_eq!(answer.expect(StatusCode::OK).header("x-request-id"), Some("order-66.retry:1_a"));
    let origin = newest_origin(&acme).await;
    assert_eq!(origin["request_id"], "order-66.retry:1_a");
    assert_eq!(origin["correlation_id"], "order-66.retry:1_a");
    acme.stop().await;
}

#[tokio::test]
async fn a_request_id_that_could_do_harm_is_replaced() {
    let service = TestService::start().await;
    let long = "a".repeat(129);
    for id in ["", "a b", "a\"b", "<script>", "a\\n", &long] {
        let answer = service.bare(Method::GET, "/livez", &[("x-request-id", id)]).await;
        let made = answer.header("x-request-id").unwrap();
        assert!(uuid::Uuid::parse_str(made).is_ok(), "{id} became {made}");
    }
    let two = [("x-request-id", "a"), ("x-request-id", "b")];
    let answer = service.bare(Method::GET, "/livez", &two).await;
    assert!(uuid::Uuid::parse_str(answer.header("x-request-id").unwrap()).is_ok());
    service.stop().await;
}

#[tokio::test]
async fn a_trace_is_recorded_as_the_correlation_id() {
    let acme = Acme::found().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("x-request-id", "r1")];
    let rename = json!({"name": "Renamed"});
    acme.ada().send(Method::PATCH, &acme.at(""), Some(&rename), &headers).await.expect(StatusCode::OK);
    let origin = newest_origin(&acme).await;
    assert_eq!((&origin["request_id"], &origin["correlation_id"]), (&json!("r1"), &json!(trace)));
    // A malformed one counts as none.
    let headers = [("traceparent", "00-xyz-1-01"), ("x-request-id", "r2")];
    let rename = json!({"name": "Renamed again"});
    acme.ada().send(Method::PATCH, &acme.at(""), Some(&rename), &headers).await.expect(StatusCode::OK);
    assert_eq!(newest_origin(&acme).await["correlation_id"], "r2");
    acme.stop().await;
}

async fn newest_origin(acme: &Acme) -> Value {
    acme.ada().sees(&acme.at("/audit-log?limit=1")).await.items()[0]["origin"].clone()
}

// ---- Safety

#[tokio::test]
async fn nothing_authenticated_may_be_stored_by_a_cache() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let paths = [
        acme.at(""),
        acme.at("/members"),
        acme.at("/members/ada"),
        acme.at("/invitations"),
        acme.at("/audit-log"),
        acme.at("/events"),
        acme.at("/readiness"),
        acme.at("/roles"),
        "/v1/permissions".to_owned(),
        "/v1/users/ada".to_owned(),
        "/v1/users/ada/workspaces".to_owned(),
    ];
    for path in paths {
        let answer = ada.sees(&path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let answer = ada.patch(&acme.at(""), json!({"name": "Other"})).await.expect(StatusCode::OK);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    acme.stop().await;
}

// ---- Positions

#[tokio::test]
async fn a_command_says_where_it_stands_and_a_read_that_repeats_it_is_that_fresh() {
    let acme = Acme::found().await;
    let before = acme.service.head().await;
    let ada = acme.ada();
    let answer = ada.patch(&acme.at(""), json!({"name": "Other"})).await.expect(StatusCode::OK);
    assert_eq!(answer.position(), before + 1);
    assert_eq!(acme.service.head().await, before + 1);
    // Nothing changed: nothing written, and the position is one that has seen it.
    let again = ada.patch(&acme.at(""), json!({"name": "Other"})).await.expect(StatusCode::OK);
    assert!(again.position() > before);
    assert_eq!(acme.service.head().await, before + 1);
    let seen = answer.header("tenure-position").unwrap();
    for path in
        [acme.at(""), acme.at("/members"), acme.at("/audit-log"), "/v1/users/ada/workspaces".to_owned()]
    {
        let read = ada.send(Method::GET, &path, None, &[("tenure-position", seen)]).await;
        assert!(read.expect(StatusCode::OK).position() > before, "{path}");
    }
    let sibling = acme.service.sibling().await;
    let read = sibling.user("ada").send(Method::GET, &acme.at(""), None, &[("tenure-position", seen)]).await;
    assert_eq!(read.expect(StatusCode::OK).body["name"], "Other");
    acme.stop().await;
}

#[tokio::test]
async fn a_position_from_the_future_is_refused_on_every_read() {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let future = (acme.service.head().await + 1).to_string();
    let paths = [
        acme.at(""),
        acme.at("/members"),
        acme.at("/members/ada"),
        acme.at("/invitations"),
        acme.at(&format!("/invitations/{invitation}")),
        acme.at("/audit-log"),
        acme.at("/events"),
        acme.at("/readiness"),
        acme.at("/roles"),
        acme.at("/roles/admin"),
        "/v1/users/ada".to_owned(),
        "/v1/users/ada/workspaces".to_owned(),
    ];
    for path in &paths {
        for position in [future.as_str(), "9223372036854775807"] {
            let headers = [("tenure-position", position)];
            let answer = acme.ada().send(Method::GET, path, None, &headers).await;
            answer.refused(400, "position_in_future").is_problem(400);
        }
        for position in ["", "-1", "1.5", "x", "9223372036854775808"] {
            let headers = [("tenure-position", position)];
            let answer = acme.ada().send(Method::GET, path, None, &headers).await;
            let answer = answer.refused(400, "validation_failed");
            assert_eq!(answer.errors(), [("Tenure-Position", "invalid")], "{path} {position}");
        }
    }
    acme.stop().await;
}
