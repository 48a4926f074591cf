//! A client that is signed in, by bearer or by cookie.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, StatusCode};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::{Answer, TestService, User};

pub const COOKIE: &str = "__Host-tenure_session";

/// One who shows a session token.
pub struct Client<'a> {
    pub service: &'a TestService,
    pub token: String,
}

/// Signs a user in, where they were last or in the workspace named.
pub async fn sign_in<'a>(user: &User<'a>, workspace: Option<&str>) -> (Client<'a>, Answer) {
    let body = workspace.map_or_else(|| json!({}), |id| json!({"workspace_id": id}));
    let answer = user.post("/v1/session", body).await.expect(StatusCode::CREATED);
    (Client::of(user.service, &answer), answer)
}

impl<'a> Client<'a> {
    pub fn of(service: &'a TestService, answer: &Answer) -> Self {
        Self { service, token: answer.text("token") }
    }

    /// The same token, shown to another process.
    pub fn at<'b>(&self, service: &'b TestService) -> Client<'b> {
        Client { service, token: self.token.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.service.client.request(method, format!("{}{path}", self.service.url)).bearer_auth(&self.token)
    }

    pub fn with_cookie(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.service.client.request(method, format!("{}{path}", self.service.url));
        request.header("cookie", format!("theme=dark; {COOKIE}={}", self.token))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        Answer::of(self.request(method, path).json(&body)).await
    }

    pub async fn switch(&self, workspace: &str) -> Answer {
        self.send(Method::POST, "/v1/session/switch", json!({"workspace_id": workspace})).await
    }

    /// Switches, and goes on with the new token.
    pub async fn switched(&self, workspace: &str) -> Client<'a> {
        Client::of(self.service, &self.switch(workspace).await.expect(StatusCode::OK))
    }

    pub async fn shows(&self) -> Answer {
        self.get("/v1/session").await.expect(StatusCode::OK)
    }

    /// Whatever is tried with it, as bearer or as cookie: 401, and nothing happens.
    pub async fn is_dead(&self) {
        let before = self.service.head().await;
        for (method, path) in [
            (Method::GET, "/v1/session"),
            (Method::GET, "/v1/permissions"),
            (Method::POST, "/v1/workspaces"),
            (Method::POST, "/v1/session/switch"),
            (Method::DELETE, "/v1/session"),
        ] {
            for request in [self.request(method.clone(), path), self.with_cookie(method.clone(), path)] {
                let request =
                    if method == Method::POST { request.json(&json!({"name": "X"})) } else { request };
                let answer = Answer::of(request).await.refused(401, "unauthenticated");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                answer.is_problem(401);
            }
        }
        assert_eq!(self.service.head().await, before, "something was written");
    }
}

/// The claims of a token, its signature unseen.
pub fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

pub fn header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// The value of the session cookie an answer sets, and its attributes.
pub fn cookie(answer: &Answer) -> (String, Vec<String>) {
    let line = answer.header("set-cookie").expect("a cookie");
    let mut parts = line.split("; ");
    let value = parts.next().unwrap().strip_prefix(&format!("{COOKIE}=")).unwrap().to_owned();
    let mut attributes: Vec<String> = parts.map(str::to_owned).collect();
    attributes.sort();
    (value, attributes)
}

/// Verifies a token as another service would: with nothing but the published keys.
pub async fn verified(service: &TestService, token: &str) -> Option<Value> {
    let published = service.bare(Method::GET, "/.well-known/jwks.json", &[]).await.expect(StatusCode::OK);
    let head = header(token);
    assert_eq!((&head["alg"], &head["typ"]), (&json!("EdDSA"), &json!("JWT")));
    let key = published.body["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"])?;
    assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(message.as_bytes(), &signature).ok()?;
    Some(claims(token))
}
