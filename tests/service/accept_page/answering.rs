//! Accepting and declining, from the mail's link to the membership.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, Uri};
use axum::response::Html;
use fantoccini::key::Key;
use reqwest::StatusCode;
use serde_json::json;

use super::Site;
use super::browser::in_browser;
use crate::secrets::Log;

/// A product's page to sign in that keeps what it was asked for.
async fn product() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/login", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let keeps = asked.clone();
    let page = move |uri: Uri, headers: HeaderMap| {
        keeps.lock().unwrap().push(format!("{uri} {headers:?}"));
        async { Html("<title>Sign in</title>") }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(page)).await });
    (url, asked)
}

#[tokio::test]
async fn the_way_through_the_products_sign_in_leads_to_a_membership_and_leaves_the_token_nowhere() {
    // Attack 24.
    let log = Log::default();
    let _listening = log.listen();
    let (login, asked) = product().await;
    let site = Site::open_with(|settings| settings.sign_in_url = Some(login.clone())).await;
    let (invitation, token) = site.acme.pending("dave@example.com").await;
    let ran = in_browser(1000, async |browser| {
        site.follow(browser, &token).await;
        browser.is("sign_in").await;
        browser.click("#sign_in").await;
        browser.client.wait().for_url(&login_with(&login, &site.page())).await.unwrap();
        // The product signs the user in where Tenure is, and sends them back.
        browser.client.goto(&format!("{}/livez", site.acme.service.url)).await.unwrap();
        site.sign_in(browser, "dave").await;
        browser.client.goto(&site.page()).await.unwrap();
        browser.is("offer").await;
        browser.click("#accept").await;
        browser.is("accepted").await;
        assert_eq!(browser.text("h1").await, "You are now a member of Acme");
        assert_eq!(browser.value("document.activeElement.id").await, "heading");
        assert_eq!(browser.value("sessionStorage.length + localStorage.length").await, 0);
        browser.client.refresh().await.unwrap();
        browser.is("no_token").await;
    })
    .await;
    if ran.is_some() {
        assert!(site.is_member("dave").await);
        assert_eq!(site.status(&invitation).await, "accepted");
        let asked = asked.lock().unwrap().join("\n");
        assert!(!asked.contains(&token), "{asked}");
        let first = asked.lines().next().unwrap();
        assert!(first.starts_with("/login?return_to=http") && !first.contains("referer"), "{first}");
        let logged = log.text();
        assert!(
            logged.contains("/accept/preview") && !logged.contains(&token[4..]),
            "the token is in the log"
        );
    }
    site.stop().await;
}

fn login_with(login: &str, page: &str) -> url::Url {
    let mut url = url::Url::parse(login).unwrap();
    url.query_pairs_mut().append_pair("return_to", page);
    url
}

#[tokio::test]
async fn the_link_in_the_mail_leads_to_the_page() {
    let site = Site::open().await;
    let invite = json!({"email": "dave@example.com", "role": "moderator"});
    site.acme.ada().post(&site.acme.at("/invitations"), invite).await.expect(StatusCode::CREATED);
    let app = site.acme.service.app();
    let mailbox = app.mail.dev_mailbox().unwrap();
    let started = Instant::now();
    let link = loop {
        if let Some(mail) = mailbox.all().into_iter().find(|mail| mail.to == "dave@example.com") {
            break mail.link.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(40), "no mail");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // A test listens elsewhere than the settings say.
    let token = link.strip_prefix("http://127.0.0.1:7373/accept#").unwrap();
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", token).await;
        browser.is("offer").await;
        assert_eq!(browser.text("#fact_role").await, "Moderator");
        browser.click("#accept").await;
        browser.is("accepted").await;
    })
    .await;
    if ran.is_some() {
        assert!(site.is_member("dave").await);
    }
    site.stop().await;
}

#[tokio::test]
async fn a_keyboard_is_enough_to_decline() {
    let site = Site::open().await;
    let (invitation, token) = site.acme.pending("dave@example.com").await;
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        for expected in ["accept", "decline"] {
            browser.press(Key::Tab.into()).await;
            assert_eq!(browser.value("document.activeElement.id").await, expected);
            let outline = "getComputedStyle(document.activeElement).outlineStyle";
            assert_eq!(browser.value(outline).await, "solid", "the focus is seen");
        }
        browser.press(Key::Enter.into()).await;
        browser.is("declined").await;
        assert_eq!(browser.text("h1").await, "You declined the invitation");
        assert_eq!(browser.value("document.activeElement.id").await, "heading");
    })
    .await;
    if ran.is_some() {
        assert_eq!(site.status(&invitation).await, "declined");
        assert!(!site.is_member("dave").await);
    }
    site.stop().await;
}

#[tokio::test]
async fn pressed_twice_it_is_accepted_once() {
    let site = Site::open().await;
    let (invitation, token) = site.acme.pending("dave@example.com").await;
    let before = site.acme.service.head().await;
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        browser
            .value("(() => { const b = document.getElementById('accept'); b.click(); b.click(); })()")
            .await;
        browser.is("accepted").await;
        site.follow(browser, &token).await;
        browser.is("was_accepted").await;
    })
    .await;
    if ran.is_some() {
        assert_eq!(site.status(&invitation).await, "accepted");
        // The session, the acceptance, the membership.
        assert_eq!(site.acme.service.head().await, before + 3);
    }
    site.stop().await;
}
