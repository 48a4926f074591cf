//! How the page is served: its headers, its languages, its settings, and what a token alone is told.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::config::Settings;

use super::Site;
use crate::support::process::Place;
use crate::support::service::Answer;
use crate::support::{Acme, TestService};

async fn preview(service: &TestService, token: &str) -> Answer {
    let request = service.client.post(format!("{}/accept/preview", service.url));
    Answer::of(request.json(&json!({"token": token}))).await
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_script_and_is_framed_and_kept_nowhere() {
    let service = TestService::start().await;
    for (path, kind) in [
        ("/accept", "text/html; charset=utf-8"),
        ("/accept?utm_source=mail", "text/html; charset=utf-8"),
        ("/accept/page.js", "text/javascript; charset=utf-8"),
        ("/accept/page.css", "text/css; charset=utf-8"),
    ] {
        let answer = service.bare(Method::GET, path, &[]).await.expect(StatusCode::OK);
        let policy = answer.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src https:",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.split("; ").any(|is| is == rule), "{path}: no {rule} in {policy}");
        }
        for (name, value) in [
            ("content-type", kind),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
    }
    let page = service.bare(Method::GET, "/accept", &[]).await.body;
    let page = page.as_str().unwrap();
    assert!(page.contains("<html lang=\"en\" dir=\"ltr\">") && page.contains("<noscript>"), "{page}");
    assert!(!page.contains("<script>") && !page.contains("<style") && !page.contains("style="), "{page}");
    service.bare(Method::GET, "/accept?token=tni_x", &[]).await.refused(400, "secret_in_query");
    service.bare(Method::POST, "/accept", &[]).await.refused(405, "method_not_allowed");
    service.stop().await;
}

#[tokio::test]
async fn the_page_speaks_the_readers_language_and_english_where_that_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("de")).unwrap();
    let german = "title = 'Einladung \"&<b>'\naccept = 'Annehmen'\n";
    std::fs::write(folder.path().join("de/accept.toml"), german).unwrap();
    let service =
        TestService::start_with(|settings| settings.mail_templates = Some(folder.path().to_owned())).await;
    let asked = async |language: &str| {
        let headers = [("accept-language", language)];
        let answer = service.bare(Method::GET, "/accept", &headers).await.expect(StatusCode::OK);
        assert_eq!(answer.header("vary"), Some("accept-language"));
        let tag = answer.header("content-language").unwrap().to_owned();
        (tag, answer.body.as_str().unwrap().to_owned())
    };
    let (tag, page) = asked("de-CH,de;q=0.9,en;q=0.8").await;
    assert_eq!(tag, "de");
    assert!(
        page.contains("<html lang=\"de\"") && page.contains("Annehmen") && page.contains("Decline"),
        "{page}"
    );
    assert!(!page.contains("<b>"), "{page}");
    let (tag, page) = asked("fr").await;
    assert!(tag == "en" && page.contains("Invitation") && !page.contains("Annehmen"), "{tag}: {page}");
    service.stop().await;
}

#[tokio::test]
async fn settings_of_the_page_that_cannot_be_are_refused_by_name_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("de")).unwrap();
    std::fs::write(folder.path().join("de/accept.toml"), "acept = 'Annehmen'\n").unwrap();
    let place = Place::new();
    for (name, value, reason) in [
        ("TENURE_SIGN_IN_URL", "javascript:alert(1)", "http or https"),
        ("TENURE_SIGN_IN_URL", "app.example/login", "http or https"),
        ("TENURE_MAIL_TEMPLATES", folder.path().to_str().unwrap(), "acept"),
        ("TENURE_MAIL_TEMPLATES", "/nowhere/at/all", "/nowhere/at/all"),
    ] {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env(name, value).env("TENURE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        let said = crate::support::process::ends(command).await.badly();
        assert!(said.contains(name) && said.contains(reason), "{name}={value}: {said}");
    }
}

#[tokio::test]
async fn a_token_alone_is_told_what_the_mail_says_and_nothing_more() {
    let acme = Acme::found().await;
    let links = json!({"image_url": "https://acme.example/logo.png", "website": "https://acme.example"});
    acme.ada().patch(&acme.at(""), links).await.expect(StatusCode::OK);
    let (id, token) = acme.pending("dave@example.com").await;
    let before = acme.service.head().await;
    let answer = preview(&acme.service, &token).await.expect(StatusCode::OK);
    let expires = acme.ada().sees(&acme.at(&format!("/invitations/{id}"))).await.text("expires_at");
    let expected = json!({
        "workspace": {"name": "Acme", "image_url": "https://acme.example/logo.png"}, "email": "dave@example.com",
        "role": "member", "status": "pending", "invited_by": "ada", "expires_at": expires,
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // A logo that is not fetched over https is none.
    acme.ada()
        .patch(&acme.at(""), json!({"image_url": "http://acme.example/x.png"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(preview(&acme.service, &token).await.body["workspace"]["image_url"], Value::Null);
    // Nothing is done for a token alone, and no other route takes it for a credential.
    for action in ["preview", "accept", "decline"] {
        let request = acme.service.client.post(format!("{}/v1/invitations/{action}", acme.service.url));
        Answer::of(request.json(&json!({"token": token}))).await.refused(401, "unauthenticated");
        let request = acme.service.client.post(format!("{}/v1/invitations/{action}", acme.service.url));
        let request = request.bearer_auth(&token).json(&json!({"token": token}));
        Answer::of(request).await.refused(401, "unauthenticated");
    }
    assert_eq!(acme.service.head().await, before + 1, "the logo");
    acme.stop().await;
}

#[tokio::test]
async fn a_token_that_opens_nothing_is_refused_and_counted_and_noted() {
    let limit = |settings: &mut Settings| settings.rate_limits = Some("token=100/6".to_owned());
    let site = Site::open_with(limit).await;
    let service = &site.acme.service;
    for token in ["tni_x", "x", &"a".repeat(255)] {
        preview(service, token).await.refused(404, "token_invalid").is_problem(404);
    }
    let (id, old) = site.acme.pending("dave@example.com").await;
    let resend = site.acme.at(&format!("/invitations/{id}/resend"));
    site.acme.ada().post(&resend, json!({"notify": false})).await.expect(StatusCode::OK);
    preview(service, &old).await.refused(404, "token_invalid");
    preview(service, "").await.refused(400, "validation_failed");
    let request = service.client.post(format!("{}/accept/preview?x=1", service.url));
    Answer::of(request.json(&json!({"token": "x"}))).await.refused(400, "unknown_field");
    let limited = preview(service, "x").await.refused(429, "rate_limited");
    assert!(limited.header("retry-after").is_some());
    // What was genuine once is noted where it came from.
    service.app().attempts.settled().await;
    let entries = site.acme.ada().sees(&site.acme.at("/audit-log?outcome=refused")).await;
    let entry = &entries.items()[0];
    assert_eq!(
        (&entry["action"], &entry["refusal"]["code"]),
        (&json!("token.rejected"), &json!("token_invalid"))
    );
    site.stop().await;
}
