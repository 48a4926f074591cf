//! Whatever stands in the way has its own sentence.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Site;
use super::browser::in_browser;

#[tokio::test]
async fn an_invitation_for_another_address_says_for_which() {
    let site = Site::open().await;
    let (invitation, token) = site.acme.pending("eve@example.com").await;
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("other_address").await;
        assert_eq!(browser.text("h1").await, "This invitation is for another address");
        let text = browser.text("#text").await;
        assert!(text.contains("for eve@example.com") && text.contains("as dave@example.com"), "{text}");
        assert_eq!(browser.value("document.querySelectorAll('#accept, #decline').length").await, 0);
    })
    .await;
    if ran.is_some() {
        assert_eq!(site.status(&invitation).await, "pending");
    }
    site.stop().await;
}

#[tokio::test]
async fn an_unverified_address_is_to_be_verified_first() {
    let site = Site::open().await;
    let (_, token) = site.acme.pending("dave@example.com").await;
    let dave = |verified: bool| {
        let profile = json!({"email": "dave@example.com", "email_verified": verified});
        let operator = site.acme.service.operator();
        async move { operator.put("/v1/users/dave", profile).await.expect(StatusCode::OK) }
    };
    dave(false).await;
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("unverified").await;
        assert!(browser.text("#text").await.contains("dave@example.com is not verified"));
        dave(true).await;
        browser.click("#verified").await;
        browser.is("offer").await;
        // Taken back while the offer is on the screen.
        dave(false).await;
        browser.click("#accept").await;
        browser.is("unverified").await;
        dave(true).await;
        browser.click("#try_again").await;
        browser.is("accepted").await;
    })
    .await;
    if ran.is_some() {
        assert!(site.is_member("dave").await);
    }
    site.stop().await;
}

#[tokio::test]
async fn what_is_over_says_how_it_ended() {
    let site = Site::open().await;
    let ada = site.acme.ada();
    let expired = site.expired("dave@example.com").await;
    let (revoked_id, revoked) = site.acme.pending("dave@example.com").await;
    let (resent_id, replaced) = site.acme.pending("dave@example.com").await;
    let at = |id: &str, action: &str| site.acme.at(&format!("/invitations/{id}/{action}"));
    ada.post(&at(&revoked_id, "revoke"), json!({})).await.expect(StatusCode::OK);
    ada.post(&at(&resent_id, "resend"), json!({"notify": false})).await.expect(StatusCode::OK);
    let (_, declined) = site.acme.pending("dave@example.com").await;
    let dave = site.acme.service.user("dave");
    let answer = dave.post("/v1/invitations/decline", json!({"token": declined})).await;
    answer.expect(StatusCode::NO_CONTENT);
    in_browser(1000, async |browser| {
        for (token, state, heading) in [
            (expired.as_str(), "expired", "This invitation has expired"),
            (&revoked, "revoked", "This invitation was withdrawn"),
            (&replaced, "replaced", "This link is not valid"),
            ("tni_cut", "replaced", "This link is not valid"),
            ("%E0%A4%A", "replaced", "This link is not valid"),
            (&declined, "was_declined", "This invitation was declined"),
            ("", "no_token", "There is no invitation here"),
        ] {
            site.follow(browser, token).await;
            browser.is(state).await;
            assert_eq!(browser.text("h1").await, heading);
            assert!(!browser.text("#text").await.contains('{'), "{state}: a word is missing");
            assert_eq!(browser.client.current_url().await.unwrap().as_str(), site.page());
        }
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn what_ends_while_the_offer_is_on_the_screen_says_so() {
    let site = Site::open().await;
    let ada = site.acme.ada();
    in_browser(1000, async |browser| {
        let (id, token) = site.acme.pending("dave@example.com").await;
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        ada.post(&site.acme.at(&format!("/invitations/{id}/revoke")), json!({})).await.expect(StatusCode::OK);
        browser.click("#accept").await;
        browser.is("not_open").await;
        assert_eq!(browser.text("h1").await, "This invitation is no longer open");

        let (_, token) = site.acme.pending("dave@example.com").await;
        site.follow(browser, &token).await;
        browser.is("offer").await;
        browser.value("fetch('/v1/session', {method: 'DELETE'}).then((answer) => answer.status)").await;
        browser.click("#accept").await;
        browser.is("signed_out").await;
        assert_eq!(browser.text("h1").await, "You are no longer signed in");
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_full_or_suspended_workspace_says_so_and_the_invitation_stays() {
    let site = Site::open().await;
    let (invitation, token) = site.acme.pending("dave@example.com").await;
    let ran = in_browser(1000, async |browser| {
        site.seats(3).await;
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        browser.click("#accept").await;
        browser.is("full").await;
        assert_eq!(browser.text("h1").await, "Acme has no free seat");
        site.seats(4).await;
        site.operator(Method::POST, "/suspend", json!({"reason": "unpaid"})).await;
        browser.click("#try_again").await;
        browser.is("suspended").await;
        assert_eq!(browser.text("h1").await, "Acme is suspended");
        assert_eq!(site.status(&invitation).await, "pending");
        site.operator(Method::POST, "/resume", json!({})).await;
        browser.click("#try_again").await;
        browser.is("accepted").await;
    })
    .await;
    if ran.is_some() {
        assert!(site.is_member("dave").await);
    }
    site.stop().await;
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_how_long_to_wait() {
    let site = Site::open_with(|settings| settings.rate_limits = Some("token=2/2".to_owned())).await;
    let (_, token) = site.acme.pending("dave@example.com").await;
    in_browser(1000, async |browser| {
        let mut asked = 0;
        loop {
            site.follow(browser, &token).await;
            let settled = "new Promise((done) => { const look = () => document.querySelector(\
                           '#page[data-state]:not([aria-busy])') ? done(page.dataset.state) : setTimeout(look, 20); look(); })";
            if browser.value(settled).await == "too_many" {
                break;
            }
            asked += 1;
            assert!(asked < 10, "never limited");
        }
        let text = browser.text("#text").await;
        assert!(text.starts_with("Wait ") && text.chars().any(|c| c.is_ascii_digit()), "{text}");
        assert_eq!(browser.text("#try_again").await, "Try again");
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_lost_connection_can_be_tried_again() {
    let site = Site::open().await;
    let (_, token) = site.acme.pending("dave@example.com").await;
    let ran = in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        browser.devtools("Network.enable", json!({})).await;
        let offline = |is: bool| {
            let network =
                json!({"offline": is, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
            browser.devtools("Network.emulateNetworkConditions", network)
        };
        offline(true).await;
        browser.click("#accept").await;
        browser.is("unreachable").await;
        assert_eq!(browser.text("h1").await, "The service cannot be reached");
        offline(false).await;
        browser.click("#try_again").await;
        browser.is("accepted").await;
    })
    .await;
    if ran.is_some() {
        assert!(site.is_member("dave").await);
    }
    site.stop().await;
}
