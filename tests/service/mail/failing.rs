//! What the mail server refuses, and what goes wrong on the way.

use reqwest::StatusCode;
use serde_json::json;

use super::post_office::{PostOffice, all_settled, delivery_is, invites, soon};
use crate::support::TestService;

#[tokio::test]
async fn a_refusal_is_visible_on_the_invitation_without_the_address() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "refused.bob@example.com").await;
    let shown = delivery_is(&olga, &made, "failed").await;
    let reason = shown["delivery"]["reason"].as_str().unwrap();
    assert_eq!(reason, "smtp_550: 5.1.1 <[address]>: Recipient address rejected: User [address] unknown");
    let (attempts, stored): (i64, String) =
        sqlx::query_as("select count(*), string_agg(to_jsonb(a)::text, '') from delivery_attempts a")
            .fetch_one(&service.admin().await)
            .await
            .unwrap();
    assert_eq!(attempts, 1, "for good is for good");
    assert!(!stored.contains("refused.bob") && stored.contains("550"), "{stored}");
    // Sent again, it is another mail.
    let path = format!("/v1/workspaces/{acme}/invitations/{}/resend", made["id"].as_str().unwrap());
    let resent = olga.post(&path, json!({"notify": false})).await.expect(StatusCode::OK).body;
    assert!(resent.get("delivery").is_none() && resent["token"].is_string());
    all_settled(&service).await;
    post.receives(0).await;
    service.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_tried_again() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    for name in ["greylisted", "cut"] {
        let made = invites(&olga, &acme, &format!("{name}@example.com")).await;
        delivery_is(&olga, &made, "sent").await;
    }
    let mails = post.receives(2).await;
    assert_eq!([mails[0].to(), mails[1].to()], ["greylisted@example.com", "cut@example.com"]);
    service.stop().await;
}

#[tokio::test]
async fn a_mail_whose_fate_is_unknown_comes_again_under_the_same_id() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "swallowed@example.com").await;
    delivery_is(&olga, &made, "sent").await;
    let mails = post.receives(2).await;
    for header in ["Message-ID", "Tenure-Event-Id"] {
        assert_eq!(mails[0].header(header), mails[1].header(header));
    }
    assert_eq!(mails[0].token(), mails[1].token());
    service.stop().await;
}

#[tokio::test]
async fn addresses_beyond_ascii_arrive_where_the_server_takes_them_and_fail_by_name_elsewhere() {
    let (Some(modern), Some(old)) = (PostOffice::plain(), PostOffice::open(&["ascii"])) else { return };
    let service = modern.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme & Söhne").await;
    for address in ["jörg@example.com", "bob@münchen.example"] {
        let made = invites(&olga, &acme, address).await;
        delivery_is(&olga, &made, "sent").await;
    }
    let mails = modern.receives(2).await;
    assert_eq!((mails[0].to(), mails[0].0["utf8"].as_bool()), ("jörg@example.com", Some(true)));
    assert_eq!((mails[1].to(), mails[1].0["utf8"].as_bool()), ("bob@xn--mnchen-3ya.example", Some(false)));
    assert_eq!(mails[0].subject(), "olga invites you to Acme & Söhne");
    service.stop().await;

    let service = old.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "jörg@example.com").await;
    let shown = delivery_is(&olga, &made, "failed").await;
    assert!(shown["delivery"]["reason"].as_str().unwrap().starts_with("smtputf8_unsupported"), "{shown:#}");
    let made = invites(&olga, &acme, "bob@münchen.example").await;
    delivery_is(&olga, &made, "sent").await;
    old.receives(1).await;
    service.stop().await;
}

/// A service whose one mail keeps failing; returns the reason.
async fn fails(change: impl FnOnce(&mut tenure::config::Settings), word: &str) {
    let service = TestService::start_with(|settings| {
        settings.mail_from = Some("tenure@mail.example".to_owned());
        soon(settings);
        change(settings);
    })
    .await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "bob@example.com").await;
    let path = format!("/v1/workspaces/{acme}/invitations/{}", made["id"].as_str().unwrap());
    let reason = async || {
        loop {
            let delivery = olga.get(&path).await.body["delivery"].clone();
            if delivery["reason"].as_str().is_some_and(|reason| reason.starts_with(word)) {
                return;
            }
            assert_ne!(delivery["status"], "sent");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), reason())
        .await
        .unwrap_or_else(|_| panic!("no {word}"));
    service.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again_until_the_last_attempt() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails(|settings| settings.smtp_url = Some(format!("smtp://{nobody}")), "unreachable").await;
}

#[tokio::test]
async fn a_refused_login_holds_mail_up_and_spends_no_attempt() {
    let Some(post) = PostOffice::open(&["login"]) else { return };
    let url = format!("smtp://tenure:wrong@127.0.0.1:{}?tls=none", post.port());
    fails(|settings| settings.smtp_url = Some(url), "smtp_login_refused").await;
}

#[tokio::test]
async fn no_mail_goes_out_in_the_clear_where_encryption_is_wanted() {
    let Some(post) = PostOffice::plain() else { return };
    let url = format!("smtp://127.0.0.1:{}?tls=required", post.port());
    fails(|settings| settings.smtp_url = Some(url), "no_tls").await;
    post.receives(0).await;
}

#[tokio::test]
async fn no_mail_goes_to_a_server_whose_certificate_nobody_vouches_for() {
    let place = tempfile::tempdir().unwrap();
    let (certificate, key) = (place.path().join("cert.pem"), place.path().join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(std::process::Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::support::tools::skip("no openssl to make a certificate with").unwrap_or_default();
    }
    let mode = ["starttls", certificate.to_str().unwrap(), key.to_str().unwrap()];
    let Some(post) = PostOffice::open(&mode) else { return };
    fails(|settings| settings.smtp_url = Some(format!("smtp://127.0.0.1:{}", post.port())), "tls").await;
    post.receives(0).await;
}
