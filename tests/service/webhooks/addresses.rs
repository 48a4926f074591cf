//! Where webhooks never go unless the operator said so.

use reqwest::StatusCode;
use serde_json::json;
use tenure::service::Service;

use super::receiver::Receiver;
use super::{Endpoint, at_home, is_over, something_happens};
use crate::support::Acme;
use crate::support::cluster::fresh_database;

#[tokio::test]
async fn what_an_operator_no_longer_allows_is_not_connected_to_any_more() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    receiver.hears_of("membership.role_changed", 1).await;
    endpoint.ends(1).await;
    let endpoint = endpoint.id;
    let strict = acme
        .service
        .sibling_with(|settings| {
            at_home(settings);
            settings.webhook_allow_networks = None;
        })
        .await;
    let Acme { service, id } = acme;
    service.leave().await;
    let acme = Acme { service: strict, id };
    let endpoint = Endpoint { acme: &acme, id: endpoint, secret: String::new() };
    something_happens(&acme, "member").await;
    let refused = |d: &serde_json::Value| is_over(d) && d["reason"] == "private_address";
    let delivery = endpoint.comes_to("membership.role_changed", refused).await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("failed"), &json!(6)));
    assert_eq!(delivery["attempt_log"][0]["status"], json!(null));
    assert_eq!(receiver.heard().len(), 1);
    acme.stop().await;
}

#[tokio::test]
async fn networks_that_are_none_are_refused_at_the_start() {
    let database = fresh_database().await;
    let data_dir = tempfile::tempdir().unwrap();
    let flags = tenure::config::Flags { data_dir: Some(data_dir.path().to_owned()), ..Default::default() };
    for odd in ["localhost", "10.0.0.0/40", "0.0.0.0/0"] {
        let mut settings = tenure::config::Settings::read(&flags, None).unwrap();
        settings.webhook_allow_networks = Some(odd.to_owned());
        let refused = Service::start(&settings, &database, None).await.unwrap_err().to_string();
        assert!(refused.contains("TENURE_WEBHOOK_ALLOW_NETWORKS"), "{refused}");
    }
}

#[tokio::test]
async fn no_test_and_no_redelivery_goes_round_the_rule() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    let admin = acme.service.admin().await;
    endpoint.ada().patch(&endpoint.at(""), json!({"enabled": false})).await.expect(StatusCode::OK);
    something_happens(&acme, "admin").await;
    let one = json!({"from_seq": 1, "to_seq": 1});
    endpoint.ada().post(&endpoint.at("/redeliver"), one).await.refused(409, "webhook_endpoint_disabled");
    endpoint.tests().await;
    receiver.hears_of("webhook_endpoint.tested", 1).await;
    endpoint.comes_to("webhook_endpoint.tested", is_over).await;
    assert_eq!(receiver.heard().len(), 1, "only the test");
    admin.close().await;
    acme.stop().await;
}
