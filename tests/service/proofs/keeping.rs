//! What stays: the roots when the read model is rebuilt, the checkpoints and the key when the service starts again.

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tenure::clock;
use tenure::config::{Flags, Settings};
use tenure::database::{Role, pool};
use tenure::projector::rebuild;
use tenure::service::Service;

use crate::support::cluster::fresh_database;
use crate::support::process::{Place, ends};
use crate::support::{Acme, Answer};

#[tokio::test]
async fn a_rebuild_leaves_every_checkpoint_as_it_was() {
    let acme = Acme::found().await;
    let take = async || {
        let mut taken = Vec::new();
        for size in 1..=8 {
            let path = acme.at(&format!("/audit-log/checkpoint?size={size}"));
            taken.push(acme.ada().sees(&path).await.body);
            taken.push(
                acme.ada().sees(&acme.at(&format!("/audit-log/proofs/consistency?to={size}"))).await.body,
            );
        }
        taken
    };
    let before = take().await;
    let admin = acme.service.admin().await;
    let projector = pool(&acme.service.database, Role::Projector, 2);
    rebuild(&admin, &projector, &acme.service.app().vault, clock::now, &["proofs"], |_| {}).await.unwrap();
    projector.close().await;
    admin.close().await;
    assert_eq!(take().await, before);
    acme.ada().patch(&acme.at(""), json!({"name": "Acme Ltd"})).await.expect(StatusCode::OK);
    assert_eq!(take().await, before, "and it goes on growing");
    acme.stop().await;
}

#[tokio::test]
async fn a_forgotten_person_changes_no_proof() {
    let acme = Acme::found().await;
    let take = async || {
        let mut taken = Vec::new();
        for seq in 1..=6 {
            let path = acme.at(&format!("/audit-log/proofs/inclusion?workspace_seq={seq}&size=6"));
            taken.push(acme.ada().sees(&path).await.body);
        }
        taken
    };
    let before = take().await;
    let leaves: String = before.iter().map(|proof| proof["leaf"].as_str().unwrap()).collect();
    assert!(leaves.contains("sealed:") && !leaves.contains("@example.com"), "{leaves}");
    acme.service.operator().delete("/v1/users/carol").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(take().await, before);
    let (from, now) = (acme.at("/audit-log/proofs/consistency?from=6"), acme.ada());
    assert!(now.sees(&from).await.body["to"].as_u64().unwrap() > 6, "and the history went on");
    acme.stop().await;
}

#[tokio::test]
async fn a_restart_signs_on_and_another_key_never() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let path = |id: &str| format!("/v1/workspaces/{id}/audit-log/checkpoint");
    let ada = serving.request(&key, Method::PUT, "/v1/users/ada").json(&json!({"name": "Ada"}));
    let ada = Answer::of(ada).await.expect(StatusCode::CREATED).text("personal_workspace_id");
    let first = Answer::of(serving.request(&key, Method::GET, &path(&ada))).await.expect(StatusCode::OK);
    let vkey = Answer::of(serving.request(&key, Method::GET, "/.well-known/tenure-audit-key")).await;
    let (_address, file) = (serving.address(), place.data_dir().join("audit-signing.key"));
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777,
        0o600
    );
    serving.interrupt().await;

    // The name stays although there is a public URL now.
    let mut again = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    again.env("TENURE_PUBLIC_URL", "https://tenure.example");
    let serving = crate::support::process::Serving::start(again).await;
    let second = Answer::of(serving.request(&key, Method::GET, &path(&ada))).await.expect(StatusCode::OK);
    assert_eq!(second.body, first.body, "byte for byte");
    let again = Answer::of(serving.request(&key, Method::GET, "/.well-known/tenure-audit-key")).await;
    assert_eq!(again.body, vkey.body);
    serving.signal(Signal::SIGTERM);
    serving.ended().await;

    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let refused = ends(place.command(&["serve", "--listen", "127.0.0.1:0"])).await.badly();
    let vkey = vkey.body.as_str().unwrap().trim().to_owned();
    assert!(refused.contains(&vkey) && refused.contains("TENURE_AUDIT_SIGNING_KEY_FILE"), "{refused}");
    assert!(!file.exists(), "no other key is made in its place");
    std::fs::write(&file, [1; 32]).unwrap();
    let refused = ends(place.command(&["serve", "--listen", "127.0.0.1:0"])).await.badly();
    assert!(refused.contains("open to others") || refused.contains("second history"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    let elsewhere = place.path().join("audit.key");
    std::fs::write(&elsewhere, kept).unwrap();
    std::fs::set_permissions(&elsewhere, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("TENURE_AUDIT_SIGNING_KEY_FILE", &elsewhere);
    let serving = crate::support::process::Serving::start(serve).await;
    let third = Answer::of(serving.request(&key, Method::GET, &path(&ada))).await.expect(StatusCode::OK);
    assert_eq!(third.body, first.body);
    serving.interrupt().await;
}

#[tokio::test]
async fn a_process_with_a_key_of_its_own_does_not_start() {
    let acme = Acme::found().await;
    let data_dir = tempfile::tempdir().unwrap();
    let flags = Flags { data_dir: Some(data_dir.path().to_owned()), ..Flags::default() };
    let mut settings = Settings::read(&flags, None).unwrap();
    settings.master_key_file = Some(acme.service.master_key_file());
    settings.audit_signing_key_file = Some(data_dir.path().join("audit-signing.key"));
    let refused = Service::start(&settings, &acme.service.database, None).await.unwrap_err().to_string();
    assert!(refused.contains("is not there") && refused.contains("second history"), "{refused}");
    // Whoever brings the master key brings the one beside it.
    settings.audit_signing_key_file = None;
    Service::start(&settings, &acme.service.database, None).await.unwrap().stop().await;
    acme.stop().await;
}

#[tokio::test]
async fn the_name_of_the_logs_is_the_public_url_at_the_first_start() {
    let database = fresh_database().await;
    let url = "https://id.example/tenure/".to_owned();
    let service = crate::support::TestService::start_on(database, |s| s.public_url = Some(url)).await;
    let key = service.bare(Method::GET, "/.well-known/tenure-audit-key", &[]).await;
    assert!(key.body.as_str().unwrap().starts_with("id.example/tenure+"), "{:?}", key.body);
    service.stop().await;
}
