//! Session, workspace and permission, over HTTP (S0.7, S0.11–14; attacks 1, 4, 6, 11, 14, 16, 36).

use std::time::Duration;

use futures::stream::{self, StreamExt};
use invoices::invoice::{self, NewInvoice};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tenure::ids;
use tenure_aggregates::Time;
use tenure_guard::TenantTx;
use tenure_guard::http::SESSION_COOKIE;

use super::Stage;
use crate::support::Answer;
use crate::support::product::Tenant;

#[tokio::test]
async fn an_invoice_is_written_read_and_approved_in_its_workspace() {
    let stage = Stage::with_connections(2).await;
    let (ada, eve) = (stage.tenant("ada"), stage.tenant("eve"));
    let id = ada.bills("Initech", 1200).await;
    let approved = ada.post(&format!("/invoices/{id}/approve"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(approved.body["approved_by"], "ada");
    let shown = ada.get(&format!("/invoices/{id}")).await.expect(StatusCode::OK);
    assert_eq!((shown.text("customer"), shown.text("created_by")), ("Initech".into(), "ada".into()));
    assert_eq!(ada.get("/invoices").await.body.as_array().unwrap().len(), 1);
    // Another tenant's id answers as a random one.
    let random = ids::new_v7();
    for path in ["/invoices/{}", "/invoices/{}/approve"] {
        let method = if path.ends_with("approve") { Method::POST } else { Method::GET };
        let foreign = Answer::of(eve.request(method.clone(), &path.replace("{}", &id))).await;
        let absent = Answer::of(eve.request(method, &path.replace("{}", &random.to_string()))).await;
        assert_eq!(foreign.body, absent.body);
        foreign.refused(404, "not_found");
    }
    assert_eq!(eve.get("/invoices").await.body, json!([]));
    stage.product.stop().await;
}

#[tokio::test]
async fn path_session_and_body_agree_on_the_workspace_or_it_is_refused() {
    let stage = Stage::with_connections(2).await;
    let (ada, eve) = (stage.tenant("ada"), stage.tenant("eve"));
    let id = ada.bills("Initech", 1200).await;
    let nobody = ids::new_v7();
    let body = json!({"customer": "Evil", "amount_cents": 1});
    for (method, path) in [
        (Method::GET, "/invoices".to_owned()),
        (Method::POST, "/invoices".to_owned()),
        (Method::GET, format!("/invoices/{id}")),
        (Method::POST, format!("/invoices/{id}/approve")),
        (Method::GET, "/total".to_owned()),
    ] {
        let ask = async |workspace| {
            let request = stage.product.request(method.clone(), &format!("/workspaces/{workspace}{path}"));
            Answer::of(request.bearer_auth(&eve.token).json(&body)).await.refused(404, "not_found")
        };
        let (foreign, mut absent) = (ask(ada.workspace).await, ask(nobody).await);
        absent.body["instance"] = foreign.body["instance"].clone();
        assert_eq!(foreign.body, absent.body, "{method} {path}");
    }
    let sneaky = json!({"customer": "Evil", "amount_cents": 1, "workspace_id": ada.workspace});
    eve.post("/invoices", sneaky).await.refused(400, "validation_failed");
    let admin = stage.product.admin().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from invoices").fetch_one(&admin).await.unwrap();
    assert_eq!(kept, 1, "something was written");
    admin.close().await;
    stage.product.stop().await;
}

#[tokio::test]
async fn each_refusal_is_told_apart() {
    let stage = Stage::with_connections(2).await;
    let ada = stage.tenant("ada");
    let id = ada.bills("Initech", 1200).await;
    let new = json!({"customer": "Initech", "amount_cents": 7});
    let with = |change: &Value| {
        stage.product.tenant(ada.workspace, stage.tenure.token("bob", ada.workspace, change))
    };
    for (change, read, write, code) in [
        (json!({}), 200, 201, None),
        (json!({"permissions": ["invoices:read"]}), 200, 403, Some("permission_denied")),
        (json!({"permissions": []}), 403, 403, Some("permission_denied")),
        (json!({"workspace_status": "suspended"}), 200, 423, Some("workspace_suspended")),
        (json!({"workspace_status": "archived"}), 200, 409, Some("workspace_archived")),
        (json!({"exp": 1}), 401, 401, Some("unauthenticated")),
        (json!({"aud": "invoices"}), 401, 401, Some("unauthenticated")),
    ] {
        let bob = with(&change);
        assert_eq!(bob.get(&format!("/invoices/{id}")).await.status.as_u16(), read, "{change}");
        let written = bob.post("/invoices", new.clone()).await;
        assert_eq!((written.status.as_u16(), written.body["code"].as_str()), (write, code), "{change}");
    }
    let path = format!("/workspaces/{}/invoices", ada.workspace);
    let anonymous = Answer::of(stage.product.request(Method::GET, &path)).await;
    assert_eq!(anonymous.refused(401, "unauthenticated").body["instance"], json!(path));
    // A browser's cookie, from this site and from another.
    let cookie = format!("{SESSION_COOKIE}={}", ada.token);
    let posted = async |origin: &str| {
        let request = stage.product.request(Method::POST, &path).header("cookie", &cookie);
        Answer::of(request.header("origin", origin).json(&new)).await
    };
    posted(&stage.product.url).await.expect(StatusCode::CREATED);
    posted("https://evil.example").await.refused(403, "cross_origin");
    stage.product.stop().await;
}

#[tokio::test]
async fn a_thousand_interleaved_requests_over_one_connection_show_nothing_foreign() {
    let stage = Stage::with_connections(1).await;
    let tenants = [stage.tenant("ada"), stage.tenant("eve")];
    for (tenant, customer) in tenants.iter().zip(["Initech", "Evil"]) {
        tenant.bills(customer, 1000).await;
    }
    let mut random = StdRng::seed_from_u64(6);
    let asked: Vec<_> = (0..1000).map(|_| (random.random_range(0..2), random.random_range(0..4))).collect();
    let answered = stream::iter(asked)
        .map(|(who, what)| {
            let (tenant, own, foreign) = (&tenants[who], ["Initech", "Evil"][who], ["Evil", "Initech"][who]);
            async move {
                let answer = match what {
                    0 => tenant.get("/invoices").await,
                    1 => tenant.get("/total").await,
                    2 => tenant.post("/invoices", json!({"customer": own, "amount_cents": 1000})).await,
                    _ => tenant.get(&format!("/invoices/{}", ids::new_v7())).await,
                };
                let text = answer.body.to_string();
                assert!(!text.contains(foreign), "{text}");
                assert_eq!(answer.status == 404, what == 3, "{text}");
                (who, answer.status == 201)
            }
        })
        .buffer_unordered(12)
        .collect::<Vec<_>>()
        .await;
    for (who, tenant) in tenants.iter().enumerate() {
        let written = 1 + answered.iter().filter(|answer| **answer == (who, true)).count();
        let total = tenant.get("/total").await.expect(StatusCode::OK).body;
        assert_eq!(
            total,
            json!({"count": written, "amount_cents": written * 1000}),
            "every 201 is there, once"
        );
    }
    assert_nothing_is_set(&stage.product.pool).await;
    stage.product.stop().await;
}

#[tokio::test]
async fn a_cancelled_request_leaves_no_setting_behind_and_loses_nothing() {
    let stage = Stage::with_connections(1).await;
    let (ada, eve) = (stage.tenant("ada"), stage.tenant("eve"));
    eve.bills("Evil", 1).await;
    let mut random = StdRng::seed_from_u64(36);
    let mut written = 0;
    for round in 0..300 {
        let patience = Duration::from_micros(random.random_range(0..3000));
        // A request whose client hangs up, or a transaction nobody waits for.
        if round % 2 == 0 {
            let body = json!({"customer": "Initech", "amount_cents": 1});
            drop(tokio::time::timeout(patience, ada.post("/invoices", body)).await);
        } else {
            drop(
                tokio::time::timeout(patience, TenantTx::begin_in(&stage.product.pool, ada.workspace)).await,
            );
        }
        assert_nothing_is_set(&stage.product.pool).await;
        if round % 10 == 0 {
            eve.bills("Evil", 1).await;
            written += 1;
        }
    }
    assert_eq!(
        count(&stage.product.admin().await, &eve).await,
        written + 1,
        "an acknowledged write was lost"
    );
    stage.product.stop().await;
}

#[tokio::test]
async fn a_panic_leaves_no_setting_behind_and_keeps_nothing() {
    let stage = Stage::with_connections(1).await;
    let ada = stage.tenant("ada");
    let (pool, workspace) = (stage.product.pool.clone(), ada.workspace);
    let handler = tokio::spawn(async move {
        let mut tx = TenantTx::begin_in(&pool, workspace).await.unwrap();
        let new = NewInvoice { customer: "Initech".into(), amount_cents: 1 };
        invoice::create(&mut tx, &new, "ada").await.unwrap();
        panic!("as a handler might");
    });
    assert!(handler.await.unwrap_err().is_panic());
    assert_nothing_is_set(&stage.product.pool).await;
    assert_eq!(ada.get("/invoices").await.body, json!([]));
    stage.product.stop().await;
}

/// Of a tenant, as the tables' owner sees it.
async fn count(admin: &PgPool, tenant: &Tenant<'_>) -> i64 {
    let sql = "select count(*) from invoices where workspace_id = $1";
    sqlx::query_scalar(sql).bind(tenant.workspace).fetch_one(admin).await.unwrap()
}

/// The next one to get the connection finds neither a transaction nor a workspace.
async fn assert_nothing_is_set(pool: &PgPool) {
    let setting = "select coalesce(current_setting('tenure.workspace', true), '')";
    let setting: String = sqlx::query_scalar(setting).fetch_one(pool).await.unwrap();
    assert_eq!(setting, "");
    // In a transaction, time stands still.
    let now = async || sqlx::query_scalar::<_, Time>("select now()").fetch_one(pool).await.unwrap();
    assert_ne!(now().await, now().await, "a transaction is open");
    let unset = sqlx::query("select 1 from invoices").fetch_all(pool).await;
    assert!(unset.is_err(), "an unset workspace is an error");
}
