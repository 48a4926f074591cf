//! `/dev/mailbox`: there in development, for the developer alone.

use reqwest::StatusCode;
use serde_json::Value;

use super::post_office::{PostOffice, all_settled, invites, soon};
use crate::support::{Answer, TestService};

async fn asks(service: &TestService, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = service.client.get(format!("{}{path}", service.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}

#[tokio::test]
async fn the_mails_of_development_are_shown_and_their_links_work() {
    let service = TestService::start_with(soon).await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme <b>&</b> Co").await;
    let empty = asks(&service, "/dev/mailbox", &[]).await.expect(StatusCode::OK);
    assert!(empty.body.as_str().unwrap().contains("Nothing yet"));
    invites(&olga, &acme, "bob@example.com").await;
    all_settled(&service).await;
    let json =
        asks(&service, "/dev/mailbox", &[("accept", "application/json")]).await.expect(StatusCode::OK).body;
    let mail = &json["items"][0];
    assert_eq!((mail["id"].as_u64(), mail["to"].as_str()), (Some(1), Some("bob@example.com")));
    for field in ["subject", "text", "html", "link", "sent_at"] {
        assert!(mail[field].is_string(), "{field}");
    }
    let list = asks(&service, "/dev/mailbox", &[]).await.expect(StatusCode::OK);
    assert_eq!(list.header("cache-control"), Some("no-store"));
    let list = list.body.as_str().unwrap().to_owned();
    assert!(list.contains("/dev/mailbox/1") && !list.contains("<b>&") && !list.contains("tni_"), "{list}");
    let page = asks(&service, "/dev/mailbox/1", &[]).await.expect(StatusCode::OK);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script"));
    let page = page.body.as_str().unwrap();
    assert!(
        page.contains("sandbox=\"allow-popups") && !page.contains("allow-scripts") && !page.contains("<b>&")
    );
    let token = mail["link"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    assert!(page.contains(&token));
    let bob = service.provision("bob").await;
    bob.accepts(&token).await.expect(StatusCode::OK);
    for nothing in ["/dev/mailbox/2", "/dev/mailbox/0", "/dev/mailbox/x"] {
        asks(&service, nothing, &[]).await.refused(404, "not_found");
    }
    service.stop().await;
}

#[tokio::test]
async fn nobody_else_finds_a_mailbox() {
    let service = TestService::start_with(soon).await;
    let unknown = without_id(asks(&service, "/dev/mailbox", &[("host", "nothing.example")]).await);
    for headers in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("host", "192.0.2.1:7373"),
        ("x-forwarded-for", "192.0.2.7"),
        ("forwarded", "for=192.0.2.7"),
        ("via", "1.1 proxy"),
    ] {
        let answer = asks(&service, "/dev/mailbox", &[headers]).await.refused(404, "not_found");
        assert_eq!(without_id(answer), unknown, "{headers:?}");
        asks(&service, "/dev/mailbox/1", &[headers]).await.refused(404, "not_found");
    }
    for host in ["localhost", "localhost:7373", "[::1]:7373"] {
        asks(&service, "/dev/mailbox", &[("host", host)]).await.expect(StatusCode::OK);
    }
    service.stop().await;
    // Nor where mail really goes out, nor where others could ask.
    if let Some(post) = PostOffice::plain() {
        let service = post.service().await;
        asks(&service, "/dev/mailbox", &[]).await.refused(404, "not_found");
        service.stop().await;
    }
    let public = |settings: &mut tenure::config::Settings| {
        settings.public_url = Some("https://tenure.example".to_owned());
    };
    let service = TestService::start_with(public).await;
    asks(&service, "/dev/mailbox", &[]).await.refused(404, "not_found");
    service.stop().await;
}

fn without_id(answer: Answer) -> Value {
    let mut body = answer.body;
    body["request_id"] = Value::Null;
    body
}
