//! In which language and whose words it is written, and where its link leads.

use std::fs;

use reqwest::StatusCode;
use serde_json::json;

use super::post_office::PostOffice;
use crate::support::TestService;

#[tokio::test]
async fn a_mail_is_written_in_the_language_that_was_asked_for_in_the_operators_words() {
    let Some(post) = PostOffice::plain() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("de/invitation.subject.txt", "Einladung zu {{ workspace.name }}"),
        ("de/invitation.txt", "Komm zu {{ workspace.name }}: {{ link }}"),
        (
            "de/invitation.html",
            "{% extends \"layout.html\" %}{% block body %}<a href=\"{{ link }}\">Hier</a>{% endblock %}",
        ),
        ("en/invitation.subject.txt", "Join {{ workspace.name }}"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let service = TestService::start_with(|settings| {
        post.serves(settings);
        settings.mail_templates = Some(folder.path().to_owned());
    })
    .await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let path = format!("/v1/workspaces/{acme}/invitations");
    let german = olga.post(&path, json!({"email": "bob@example.com", "language": "de-AT"})).await;
    let id = german.expect(StatusCode::CREATED).text("id");
    let mails = post.receives(1).await;
    assert_eq!(mails[0].subject(), "Einladung zu Acme");
    assert!(mails[0].text().starts_with("Komm zu Acme: ") && mails[0].html().contains("lang=\"de\""));
    // As before where nothing is said.
    olga.post(&format!("{path}/{id}/resend"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(post.receives(2).await[1].subject(), "Einladung zu Acme");
    olga.post(&format!("{path}/{id}/resend"), json!({"language": "fr"})).await.expect(StatusCode::OK);
    let mails = post.receives(3).await;
    assert_eq!(mails[2].subject(), "Join Acme");
    assert!(mails[2].text().contains("olga invites you"), "what is not overridden is as it was");
    for odd in ["", "de_AT", "../de", "de\r\nBcc: eve@evil.example", &"x".repeat(36)] {
        let refused = olga.post(&path, json!({"email": "eve@example.com", "language": odd})).await;
        let refused = refused.refused(400, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "/language", "{odd:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_link_leads_only_where_the_operator_lets_it() {
    let Some(post) = PostOffice::plain() else { return };
    let listed = "https://app.example/join?from=mail, https://other.example/i/{token}";
    let service = TestService::start_with(|settings| {
        post.serves(settings);
        settings.accept_urls = Some(listed.to_owned());
    })
    .await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let path = format!("/v1/workspaces/{acme}/invitations");
    let body = |page: &str| json!({"email": "bob@example.com", "accept_url": page});
    for foreign in [
        "https://evil.example/",
        "https://app.example/join",
        "https://other.example/i/x",
        "",
        "https://app.example/join?from=mail#",
        "HTTPS://app.example/join?from=mail",
    ] {
        let refused = olga.post(&path, body(foreign)).await.refused(400, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "/accept_url", "{foreign}");
        let batch = json!({"invitations": [body(foreign)]});
        let item =
            olga.post(&format!("{path}/batch"), batch).await.expect(StatusCode::OK).body["items"][0].clone();
        assert_eq!(
            (item["status"].as_u64(), &item["problem"]["code"]),
            (Some(400), &json!("validation_failed"))
        );
    }
    let usual = olga.post(&path, json!({"email": "bob@example.com"})).await.expect(StatusCode::CREATED);
    let mails = post.receives(1).await;
    assert!(
        mails[0].text().contains(&format!("https://app.example/join?from=mail&token={}", mails[0].token()))
    );
    let resend = format!("{path}/{}/resend", usual.text("id"));
    let foreign = olga.post(&resend, json!({"accept_url": "https://evil.example/"})).await;
    foreign.refused(400, "validation_failed");
    let other = json!({"accept_url": "https://other.example/i/{token}"});
    olga.post(&resend, other).await.expect(StatusCode::OK);
    let mails = post.receives(2).await;
    assert!(mails[1].text().contains(&format!("https://other.example/i/{}\n", mails[1].token())));
    service.stop().await;
}

#[tokio::test]
async fn the_logo_is_shown_if_it_comes_safely() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    for (count, (scheme, shown)) in [("https", true), ("http", false)].into_iter().enumerate() {
        let body = json!({"name": "Acme", "image_url": format!("{scheme}://acme.example/a.png?b=1&c=2")});
        let acme = olga.post("/v1/workspaces", body).await.expect(StatusCode::CREATED).text("id");
        super::post_office::invites(&olga, &acme, "bob@example.com").await;
        let mails = post.receives(count + 1).await;
        assert_eq!(mails[count].html().contains("<img src="), shown);
    }
    service.stop().await;
}
