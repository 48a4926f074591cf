//! The product beside a real Tenure: the README's own commands, a session of Tenure's, a switch, a suspension.

use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::process::{Place, Serving, ends};
use crate::support::product::Product;

const README: &str = include_str!("../../../examples/invoices/README.md");

/// The README's commands that write the first invoice.
fn commands() -> &'static str {
    let code = README.split("```sh\n").nth(2).unwrap();
    code.split_once("```").unwrap().0
}

async fn asks(serving: &Serving, key: &str, actor: &str, path: &str, body: Value) -> Value {
    let request = serving.request(key, Method::POST, path).header("Tenure-Actor", actor).json(&body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn the_products_readme_works_as_written() {
    let place = Place::new();
    let serving = place.serves().await;
    let (key, product) = (place.key(), Product::start(&serving.url, 4).await);
    for user in ["ada", "bob"] {
        let put =
            serving.request(&key, Method::PUT, &format!("/v1/users/{user}")).json(&json!({"name": user}));
        assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    }
    let acme = asks(&serving, &key, "ada", "/v1/workspaces", json!({"name": "Acme"})).await;
    let workspace = acme["id"].as_str().unwrap();
    let member = serving.request(&key, Method::PUT, &format!("/v1/workspaces/{workspace}/members/bob"));
    assert_eq!(member.json(&json!({})).send().await.unwrap().status(), StatusCode::CREATED);
    std::os::unix::fs::symlink(place.data_dir(), place.path().join(".tenure")).unwrap();

    // The permissions first: a session's token lists what its role allows when it is made.
    let code = commands()
        .replace("http://127.0.0.1:7373", &serving.url)
        .replace("http://127.0.0.1:7400", &product.url);
    let (registering, invoicing) = code.split_once("# session:").unwrap();
    let runs = async |code: &str, session: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", code]).current_dir(place.path()).stdin(Stdio::null());
        shell.env("workspace", workspace).env("session", session);
        ends(shell).await.well()
    };
    runs(registering, "").await;
    let session = asks(&serving, &key, "bob", "/v1/session", json!({"workspace_id": workspace})).await;
    let token = session["token"].as_str().unwrap();
    let said = runs(&format!("# {invoicing}"), token).await;
    assert!(said.contains("Initech") && said.contains("120000"), "{said}");

    // Another workspace's session finds none of it, and a suspended workspace is read only.
    let id = workspace.parse().unwrap();
    let home = asks(&serving, &key, "bob", "/v1/session", json!({})).await;
    let home = home["token"].as_str().unwrap().to_owned();
    let elsewhere = asks(&serving, &key, "ada", "/v1/session", json!({})).await;
    let elsewhere = elsewhere["token"].as_str().unwrap().to_owned();
    // Bob used Acme last; Ada is in her personal workspace.
    assert_eq!(product.tenant(id, home).get("/invoices").await.status, StatusCode::OK);
    product.tenant(id, elsewhere).get("/invoices").await.refused(404, "not_found");
    asks_operator(&serving, &key, &format!("/v1/workspaces/{workspace}/suspend")).await;
    let late = asks(&serving, &key, "bob", "/v1/session", json!({"workspace_id": workspace})).await;
    let late = product.tenant(id, late["token"].as_str().unwrap().to_owned());
    assert_eq!(late.get("/invoices").await.status, StatusCode::OK);
    let body = json!({"customer": "Initech", "amount_cents": 1});
    late.post("/invoices", body).await.refused(423, "workspace_suspended");
    product.stop().await;
    serving.interrupt().await;
}

async fn asks_operator(serving: &Serving, key: &str, path: &str) {
    let answer = serving.request(key, Method::POST, path).json(&json!({"reason": "unpaid"})).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}
