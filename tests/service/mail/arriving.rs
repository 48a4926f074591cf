//! Each mail arrives once, where it belongs, with everything it needs.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tenure::commands::Precondition;
use tenure::commands::invitations::Revoke;
use tenure::database::{Role, pool};
use tenure::overload::Pressure;
use tenure::store::origin::Actor;
use tenure::store::{Origin, Store};
use tenure_aggregates::{InvitationId, UserId, WorkspaceId};

use super::post_office::{Mail, PostOffice, all_settled, delivery_is, invites};
use crate::support::TestService;

fn to<'a>(mails: &'a [Mail], address: &str) -> Vec<&'a Mail> {
    mails.iter().filter(|mail| mail.to() == address).collect()
}

#[tokio::test]
async fn an_invitation_arrives_with_its_headers_both_its_parts_and_a_link_that_works() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "bob@example.com").await;
    assert_eq!(made["delivery"]["status"], "pending");
    assert!(made.get("token").is_none());
    let shown = delivery_is(&olga, &made, "sent").await;
    assert!(shown["delivery"].get("reason").is_none() && shown["delivery"]["at"].is_string());
    let listed = olga.get(&format!("/v1/workspaces/{acme}/invitations")).await.body;
    assert_eq!(listed["items"][0]["delivery"], shown["delivery"]);

    let mails = post.receives(1).await;
    let mail = &mails[0];
    assert_eq!((mail.to(), mail.0["from"].as_str()), ("bob@example.com", Some("tenure@mail.example")));
    assert_eq!(mail.header("To"), "bob@example.com");
    assert_eq!(mail.header("From"), "Tenure <tenure@mail.example>");
    assert_eq!(mail.subject(), "olga invites you to Acme");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.0["type"], "multipart/alternative");
    let (delivery, event): (uuid::Uuid, uuid::Uuid) =
        sqlx::query_as("select delivery_id, event_id from deliveries where channel = 'mail'")
            .fetch_one(&service.admin().await)
            .await
            .unwrap();
    assert_eq!(mail.header("Message-ID"), format!("<{delivery}@mail.example>"));
    assert_eq!(mail.header("Tenure-Event-Id"), event.to_string());
    mail.header("Date");
    let link = format!("https://tenure.example/accept#{}", mail.token());
    assert!(
        mail.text().contains(&link) && mail.html().contains("https:&#x2f;&#x2f;tenure.example&#x2f;accept#")
    );
    for part in [mail.text(), mail.html()] {
        assert!(part.contains("Acme") && part.contains("olga") && part.contains("member"));
    }
    let bob = service.provision("bob").await;
    bob.accepts(&mail.token()).await.expect(StatusCode::OK);
    service.stop().await;
}

#[tokio::test]
async fn an_invitation_whose_token_was_handed_out_brings_no_mail() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let body = json!({"email": "bob@example.com", "notify": false});
    let made = olga.post(&format!("/v1/workspaces/{acme}/invitations"), body).await.body;
    assert!(made["token"].is_string() && made.get("delivery").is_none());
    let path = format!("/v1/workspaces/{acme}/invitations/{}", made["id"].as_str().unwrap());
    olga.post(&format!("{path}/revoke"), json!({})).await.expect(StatusCode::OK);
    all_settled(&service).await;
    assert!(olga.get(&path).await.body.get("delivery").is_none());
    post.receives(0).await;
    service.stop().await;
}

#[tokio::test]
async fn a_resend_kills_the_token_before_and_the_mail_that_had_it() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let (olga, bob) = (service.provision("olga").await, service.provision("bob").await);
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "bob@example.com").await;
    let first = post.receives(1).await[0].token();
    let path = format!("/v1/workspaces/{acme}/invitations/{}", made["id"].as_str().unwrap());
    let resent = olga.post(&format!("{path}/resend"), json!({})).await.expect(StatusCode::OK).body;
    assert_eq!(resent["delivery"]["status"], "pending");
    let mails = post.receives(2).await;
    assert_ne!(mails[1].token(), first);
    assert_ne!(mails[1].header("Message-ID"), mails[0].header("Message-ID"));
    bob.accepts(&first).await.refused(404, "token_invalid");
    bob.accepts(&mails[1].token()).await.expect(StatusCode::OK);
    service.stop().await;
}

#[tokio::test]
async fn who_has_the_invitation_is_told_that_it_was_taken_back_and_nobody_else() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let path = |made: &serde_json::Value| {
        format!("/v1/workspaces/{acme}/invitations/{}/revoke", made["id"].as_str().unwrap())
    };
    let made = invites(&olga, &acme, "bob@example.com").await;
    delivery_is(&olga, &made, "sent").await;
    olga.post(&path(&made), json!({})).await.expect(StatusCode::OK);
    let mails = post.receives(2).await;
    assert_eq!(
        (mails[1].to(), mails[1].subject()),
        ("bob@example.com", "Your invitation to Acme was taken back")
    );
    assert!(!mails[1].text().contains("tni_"));
    // Refused by the server: nobody has it.
    let refused = invites(&olga, &acme, "refused@example.com").await;
    delivery_is(&olga, &refused, "failed").await;
    olga.post(&path(&refused), json!({})).await.expect(StatusCode::OK);
    all_settled(&service).await;
    post.receives(2).await;
    service.stop().await;
}

#[tokio::test]
async fn what_another_process_took_back_does_not_go_out_from_memory() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = TestService::start_with(|settings| {
        settings.smtp_url = Some(format!("smtp://{nobody}"));
        settings.mail_from = Some("Tenure <tenure@mail.example>".to_owned());
        settings.public_url = Some("https://tenure.example".to_owned());
        settings.delivery_times.pace = Duration::from_millis(50);
        settings.delivery_times.mail_schedule = vec![Duration::from_millis(100); 1_000];
    })
    .await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "bob@example.com").await;
    // A writer of its own, of which this process hears by the log alone.
    let appender = pool(&service.database, Role::Appender, 2);
    let other = Store::open(appender.clone(), service.app().vault.clone(), Arc::new(()), Pressure::default())
        .await
        .unwrap();
    let revoke = Revoke {
        workspace: WorkspaceId(acme.parse().unwrap()),
        id: InvitationId(made["id"].as_str().unwrap().parse().unwrap()),
        precondition: Precondition::None,
    };
    let actor = Some(Actor::User(UserId::parse("olga").unwrap()));
    let origin = Arc::new(Origin { actor, ..Origin::default() });
    other.run(&revoke, origin, None, tenure::clock::now).await.unwrap();
    other.close().await;
    appender.close().await;
    let shown = delivery_is(&olga, &made, "failed").await;
    assert_eq!(shown["delivery"]["reason"], "invitation_revoked");
    service.stop().await;
}

#[tokio::test]
async fn who_is_concerned_is_told_and_nobody_else() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let [olga, ann, carl] = ["olga", "ann", "carl"].map(|name| service.provision(name));
    let (olga, ann, carl) = (olga.await, ann.await, carl.await);
    let acme = olga.creates("Acme").await;
    olga.brings(&acme, &ann, "admin").await;
    olga.brings(&acme, &carl, "member").await;
    let base = format!("/v1/workspaces/{acme}");

    olga.delete(&format!("{base}/members/carl")).await.expect(StatusCode::NO_CONTENT);
    let mails = post.receives(1).await;
    assert_eq!(mails[0].line(), "to carl@example.com: You are no longer a member of Acme");

    olga.post(&format!("{base}/transfer-ownership"), json!({"to": "ann"})).await.expect(StatusCode::OK);
    let mails = post.receives(3).await;
    assert_eq!(to(&mails, "ann@example.com")[0].subject(), "You now own Acme");
    assert!(to(&mails, "ann@example.com")[0].text().contains("olga handed Acme over to you"));
    assert_eq!(to(&mails, "olga@example.com")[0].subject(), "You handed over Acme");
    assert!(to(&mails, "olga@example.com")[0].text().contains("now belongs to ann"));

    let reason = json!({"reason": "An invoice is open."});
    service.operator().post(&format!("{base}/suspend"), reason).await.expect(StatusCode::OK);
    let mails = post.receives(4).await;
    let suspended = to(&mails, "ann@example.com")[1];
    assert_eq!(suspended.subject(), "Acme is suspended");
    assert!(
        suspended.text().contains("An invoice is open.") && suspended.html().contains("An invoice is open.")
    );
    service.operator().post(&format!("{base}/resume"), json!({})).await.expect(StatusCode::OK);
    // Leaving is nobody's removal.
    olga.delete(&format!("{base}/members/olga")).await.expect(StatusCode::NO_CONTENT);
    all_settled(&service).await;
    post.receives(4).await;
    service.stop().await;
}

#[tokio::test]
async fn what_came_while_there_was_nobody_to_send_it_arrives_after_a_restart_and_once() {
    let Some(post) = PostOffice::plain() else { return };
    // Not on loopback, and no server is set.
    let service = TestService::start_with(|settings| {
        post.serves(settings);
        (settings.smtp_url, settings.listen) = (None, ([192, 0, 2, 1], 7373).into());
    })
    .await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let made = invites(&olga, &acme, "bob@example.com").await;
    let path = format!("/v1/workspaces/{acme}/invitations/{}", made["id"].as_str().unwrap());
    let waits = async || {
        while olga.get(&path).await.body["delivery"]["reason"] != "smtp_not_set" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waits()).await.unwrap();
    assert_eq!(olga.get(&path).await.body["delivery"]["status"], "pending");
    let ready = reqwest::get(format!("{}/readyz", service.url)).await.unwrap().text().await.unwrap();
    assert!(ready.contains(r#""mail":"smtp_not_set""#), "{ready}");
    let one = service.sibling_with(|settings| post.serves(settings)).await;
    let other = service.sibling_with(|settings| post.serves(settings)).await;
    let olga = one.user("olga");
    for number in 0..20 {
        invites(&olga, &acme, &format!("bob{number}@example.com")).await;
    }
    let mails = post.receives(21).await;
    assert_eq!(to(&mails, "bob@example.com").len(), 1);
    all_settled(&service).await;
    post.receives(21).await;
    one.leave().await;
    other.leave().await;
    service.stop().await;
}

#[tokio::test]
async fn whoever_is_gone_gets_no_mail() {
    let Some(post) = PostOffice::plain() else { return };
    let service = TestService::start_with(|settings| {
        post.serves(settings);
        (settings.smtp_url, settings.listen) = (None, ([192, 0, 2, 1], 7373).into());
    })
    .await;
    let [olga, bob, carl] = ["olga", "bob", "carl"].map(|name| service.provision(name));
    let (olga, _bob, carl) = (olga.await, bob.await, carl.await);
    let acme = olga.creates("Acme").await;
    olga.brings(&acme, &carl, "member").await;
    let invited = invites(&olga, &acme, "bob@example.com").await;
    let gone = olga.creates("Gone").await;
    invites(&olga, &gone, "dora@example.com").await;
    olga.delete(&format!("/v1/workspaces/{acme}/members/carl")).await.expect(StatusCode::NO_CONTENT);
    for erased in ["bob", "carl"] {
        let answer = service.operator().delete(&format!("/v1/users/{erased}")).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
    }
    olga.delete(&format!("/v1/workspaces/{gone}")).await.expect(StatusCode::NO_CONTENT);
    let sends = service.sibling_with(|settings| post.serves(settings)).await;
    all_settled(&service).await;
    post.receives(0).await;
    let shown = delivery_is(&olga, &invited, "failed").await;
    assert_eq!((shown["email"].as_str(), shown["status"].as_str()), (Some("[erased]"), Some("revoked")));
    sends.leave().await;
    service.stop().await;
}

/// A receiver that is gone for good.
async fn gone() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 8192]).await;
            let _ = connection.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    address
}

#[tokio::test]
async fn owner_and_admins_are_told_that_a_webhook_was_disabled() {
    let Some(post) = PostOffice::plain() else { return };
    let service = TestService::start_with(|settings| {
        post.serves(settings);
        settings.webhook_allow_networks = Some("127.0.0.0/8".to_owned());
    })
    .await;
    let [olga, ann, bob] = ["olga", "ann", "bob"].map(|name| service.provision(name));
    let (olga, ann, bob) = (olga.await, ann.await, bob.await);
    let acme = olga.creates("Acme").await;
    olga.brings(&acme, &ann, "admin").await;
    olga.brings(&acme, &bob, "member").await;
    let url = format!("http://{}/hook?secret=x", gone().await);
    let body = json!({"url": url, "events": ["membership.*"], "description": "Billing"});
    let base = format!("/v1/workspaces/{acme}/webhooks");
    let endpoint = olga.post(&base, body).await.expect(StatusCode::CREATED).text("id");
    let tested = olga.post(&format!("{base}/{endpoint}/test"), json!({})).await;
    assert!(tested.status.is_success(), "{:#}", tested.body);
    let mails = post.receives(2).await;
    for (address, mails) in
        ["ann@example.com", "olga@example.com"].map(|address| (address, to(&mails, address)))
    {
        assert_eq!(mails.len(), 1, "{address}");
        assert_eq!(mails[0].subject(), "A webhook of Acme was disabled");
        assert!(mails[0].text().contains("Billing") && mails[0].text().contains("(410)"));
        assert!(!mails[0].text().contains("secret=x") && !mails[0].html().contains("secret=x"));
    }
    service.stop().await;
}
