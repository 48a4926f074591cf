//! What the page shows, to whom, and how it can be read.

use reqwest::StatusCode;
use serde_json::json;

use super::Site;
use super::browser::in_browser;

#[tokio::test]
async fn whoever_is_not_signed_in_is_shown_who_invites_into_what_and_where_to_sign_in() {
    let product = "https://app.example/login?next={return_to}&from=tenure";
    let site = Site::open_with(|settings| settings.sign_in_url = Some(product.to_owned())).await;
    let (_, token) = site.acme.pending("dave@example.com").await;
    in_browser(1000, async |browser| {
        site.follow(browser, &token).await;
        browser.is("sign_in").await;
        assert_eq!(browser.text("h1").await, "ada invites you to join Acme");
        assert_eq!(browser.text("#fact_role").await, "Member");
        assert_eq!(browser.text("#fact_address").await, "dave@example.com");
        assert!(!browser.text("#fact_until").await.is_empty());
        let link = browser.element("#sign_in").await;
        assert_eq!(link.text().await.unwrap(), "Sign in to continue");
        let back: String = url::form_urlencoded::byte_serialize(site.page().as_bytes()).collect();
        let expected = format!("https://app.example/login?next={back}&from=tenure");
        assert_eq!(link.attr("href").await.unwrap().unwrap(), expected);
        assert_eq!(browser.value("document.querySelectorAll('#accept, #decline').length").await, 0);
        // The token is in no place that goes along, and still known.
        assert_eq!(browser.client.current_url().await.unwrap().as_str(), site.page());
        browser.client.refresh().await.unwrap();
        browser.is("sign_in").await;
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_product_without_a_page_to_sign_in_is_told_of_in_words() {
    let site = Site::open().await;
    let (_, token) = site.acme.pending("dave@example.com").await;
    in_browser(1000, async |browser| {
        site.follow(browser, &token).await;
        browser.is("sign_in").await;
        assert!(browser.text("#text").await.contains("Sign in with dave@example.com where you use"));
        assert_eq!(browser.value("document.querySelectorAll('a').length").await, 0);
        // Signed in in another window.
        site.sign_in(browser, "dave").await;
        browser.click("#look_again").await;
        browser.is("offer").await;
        assert!(browser.text("#text").await.contains("signed in as dave@example.com"));
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn names_are_text_whatever_is_in_them() {
    // Attack 27.
    let site = Site::open().await;
    let name = "<a href=https://evil.example>Click</a><img src=x onerror=alert(1)>{email}</script><script>alert(2)</script>";
    site.acme.ada().patch(&site.acme.at(""), json!({"name": name})).await.expect(StatusCode::OK);
    let inviter = "</h1><script>alert(3)</script>{workspace}";
    let profile = json!({"email": "ada@example.com", "email_verified": true, "name": inviter});
    site.acme.service.operator().put("/v1/users/ada", profile).await.expect(StatusCode::OK);
    let (_, token) = site.acme.pending("dave@example.com").await;
    in_browser(1000, async |browser| {
        site.follow_as(browser, "dave", &token).await;
        browser.is("offer").await;
        let shown = browser.value("document.getElementById('heading').textContent").await;
        assert_eq!(shown, format!("{inviter} invites you to join {name}"));
        assert_eq!(browser.client.title().await.unwrap(), format!("{inviter} invites you to join {name}"));
        let strange = "document.querySelectorAll('a, h1 *, img[src], script:not([src])').length";
        assert_eq!(browser.value(strange).await, 0);
        // A dialog would fail the next command, too.
        assert!(browser.client.get_alert_text().await.unwrap_err().is_no_such_alert());
        browser.click("#accept").await;
        browser.is("accepted").await;
        let shown = browser.value("document.getElementById('heading').textContent").await;
        assert_eq!(shown, format!("You are now a member of {name}"));
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn the_page_can_be_read_aloud_and_fits_a_narrow_window() {
    let site = Site::open().await;
    let name = "A".repeat(90);
    site.acme.ada().patch(&site.acme.at(""), json!({"name": name})).await.expect(StatusCode::OK);
    let (_, token) = site.acme.pending(&format!("{}@example.com", "x".repeat(60))).await;
    in_browser(320, async |browser| {
        site.follow(browser, &token).await;
        browser.is("sign_in").await;
        assert_eq!(browser.value("innerWidth").await, 320);
        let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.value(overflow).await, 0);
        for (what, expected) in [
            ("document.documentElement.lang", json!("en")),
            ("document.querySelectorAll('h1').length", json!(1)),
            ("document.querySelectorAll('main').length", json!(1)),
            ("document.activeElement.id", json!("heading")),
            ("document.querySelectorAll('[aria-live=polite]').length", json!(2)),
            ("document.getElementById('status').getAttribute('role')", json!("status")),
            (
                "[...document.querySelectorAll('button, a')].filter((a) => !a.textContent.trim()).length",
                json!(0),
            ),
            ("[...document.images].filter((image) => !image.hasAttribute('alt')).length", json!(0)),
            ("document.querySelectorAll('dl dt').length", json!(3)),
            ("document.querySelectorAll('[tabindex]:not([tabindex=\"-1\"]), [onclick]').length", json!(0)),
        ] {
            assert_eq!(browser.value(what).await, expected, "{what}");
        }
        for dark in [false, true] {
            emulate(browser, dark).await;
            let colours = browser.value(CONTRASTS).await;
            let contrasts: Vec<f64> = serde_json::from_value(colours.clone()).unwrap();
            assert!(contrasts.len() > 5 && contrasts.iter().all(|contrast| *contrast >= 4.5), "{colours}");
        }
    })
    .await;
    site.stop().await;
}

/// The contrast (WCAG 2) of every text with what is behind it.
const CONTRASTS: &str = "(() => {
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (text) => {
        const [r, g, b] = colour(text).slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const found = getComputedStyle(at).backgroundColor;
            if (colour(found)[3] !== 0) return found;
        }
        return 'rgb(255, 255, 255)';
    };
    return [...document.querySelectorAll('h1, p, dt, dd, button, a')].filter((e) => e.textContent.trim()).map((e) => {
        const [one, other] = [light(getComputedStyle(e).color), light(behind(e))];
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
})()";

async fn emulate(browser: &super::Browser, dark: bool) {
    let scheme = if dark { "dark" } else { "light" };
    let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
    browser.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    assert_eq!(browser.value("matchMedia('(prefers-color-scheme: dark)').matches").await, dark);
}
