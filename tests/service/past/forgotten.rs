//! Who is erased is forgotten in the past, too, and the history stands.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tenure_aggregates::personal::ERASED;

use crate::support::Acme;

#[tokio::test]
async fn whoever_is_erased_reads_erased_in_the_past() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let sent = acme.ada().sees(&acme.at("/invitations?email=carol@example.com")).await;
    let id = sent.items()[0]["id"].as_str().unwrap().to_owned();
    let head = acme.service.head().await;
    operator.delete("/v1/users/carol").await.expect(StatusCode::NO_CONTENT);
    let then = |path: &str| format!("{path}?as_of={head}");
    let user = operator.sees(&then("/v1/users/carol")).await;
    assert_eq!((user.text("email"), user.text("name")), (ERASED.to_owned(), ERASED.to_owned()));
    assert_eq!((user.text("user_id"), user.text("status")), ("carol".to_owned(), "active".to_owned()));
    let member = acme.ada().sees(&then(&acme.at("/members/carol"))).await;
    assert_eq!((member.text("email"), member.text("role")), (ERASED.to_owned(), "member".to_owned()));
    let members = acme.ada().sees(&then(&acme.at("/members"))).await;
    assert_eq!(members.column("email"), ["ada@example.com", "bob@example.com", ERASED]);
    let invitation = acme.ada().sees(&then(&acme.at(&format!("/invitations/{id}")))).await;
    assert_eq!(
        (invitation.text("email"), invitation.text("status")),
        (ERASED.to_owned(), "accepted".to_owned())
    );
    let switcher = operator.sees(&then("/v1/users/carol/workspaces")).await;
    assert_eq!(switcher.column("name"), [ERASED, "Acme"], "her own workspace went with her");
    // Nothing is found by what she was called, and nothing sealed leaves.
    let path = acme.at(&format!("/members?q=carol@&as_of={head}"));
    assert_eq!(acme.ada().sees(&path).await.items(), [] as [Value; 0]);
    let why = acme.ada().sees(&acme.at("/members/carol/history")).await;
    assert_eq!(why.items()[1]["changes"]["email"], json!({"from": null, "to": ERASED}));
    assert_eq!(why.items().last().unwrap()["action"], "membership.ended");
    for answer in [&user, &member, &members, &invitation, &switcher, &why] {
        let text = answer.body.to_string();
        assert!(!text.contains("sealed:") && !text.contains("carol@example.com"), "{text}");
    }
    // Since then there is no such user.
    operator.get("/v1/users/carol").await.refused(404, "user_not_found");
    let now = acme.service.head().await;
    operator.get(&format!("/v1/users/carol?as_of={now}")).await.refused(404, "user_not_found");
    drop(operator);
    acme.stop().await;
}
