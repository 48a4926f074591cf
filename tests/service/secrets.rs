//! No token, code or key is stored, logged or told again (attack 24, invariant 5).

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row;
use tenure::secrets::invitation_token;
use tracing_subscriber::EnvFilter;

use crate::support::service::{Answer, OPERATOR_KEY};
use crate::support::{Acme, TestService};

/// What is logged on this thread: all of a test and its service, as they share one.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A lone subscriber is asked about a line only on its own thread, and a line that another test's thread comes to first
/// is then off for good. Two are asked everywhere.
static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();

impl Log {
    pub fn listen(&self) -> tracing::subscriber::DefaultGuard {
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("tenure=trace,sqlx=trace,tower_http=trace"))
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// What must not be found anywhere: each secret, and the parts of it that are as good.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn token(&mut self, token: &str) {
        let bytes = URL_SAFE_NO_PAD.decode(&token[4..]).unwrap();
        let hex = bytes[20..].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        self.0.extend([token.to_owned(), token[token.len() - 24..].to_owned(), hex]);
    }

    /// The whole of it, what is signed, and the signature.
    fn session(&mut self, token: &str) {
        let (claims, signature) = token.rsplit_once('.').unwrap();
        self.0.extend([token.to_owned(), claims.to_owned(), signature.to_owned()]);
    }

    /// As it is shown, without what marks it, and the bytes.
    fn webhook(&mut self, secret: &str) {
        let bare = secret.strip_prefix("whsec_").unwrap();
        let hex = STANDARD
            .decode(bare)
            .unwrap()
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        self.0.extend([secret.to_owned(), bare.to_owned(), hex]);
    }

    fn code(&mut self, code: &str) {
        self.0.extend([code.to_owned(), code.replace('-', ""), code.to_lowercase()]);
    }

    #[track_caller]
    fn are_not_in(&self, text: &str, place: &str) {
        for secret in &self.0 {
            if let Some(at) = text.find(secret.as_str()) {
                let from = text.floor_char_boundary(at.saturating_sub(200));
                let to = text.ceil_char_boundary((at + 200).min(text.len()));
                panic!("a secret is in {place}: …{}…", &text[from..to]);
            }
        }
    }
}

/// Does everything that makes or takes a secret, well and badly.
async fn tour(acme: &Acme) -> Secrets {
    let mut secrets = Secrets(vec![OPERATOR_KEY.to_owned()]);
    let (ada, dave) = (acme.ada(), acme.service.user("dave"));
    let keyed = |method: Method, path: String, body: Value, key: &'static str| {
        let ada = ada.clone();
        async move { ada.send(method, &path, Some(&body), &[("idempotency-key", key)]).await }
    };
    let told = json!({"email": "eve@example.com", "notify": false});
    let sent = keyed(Method::POST, acme.at("/invitations"), told, "k1").await.expect(StatusCode::CREATED);
    secrets.token(&sent.text("token"));
    let mailed = json!({"email": "frank@example.com"});
    let mailed = keyed(Method::POST, acme.at("/invitations"), mailed, "k2").await.expect(StatusCode::CREATED);
    let id = mailed.text("id").parse().unwrap();
    secrets.token(&invitation_token::issue(&acme.service.app().keys.invitation_token, id, 1));
    let resend = acme.at(&format!("/invitations/{}/resend", sent.text("id")));
    let again = keyed(Method::POST, resend, json!({"notify": false}), "k3").await.expect(StatusCode::OK);
    secrets.token(&again.text("token"));
    let items = json!({"invitations": [{"email": "dave@example.com", "notify": false}]});
    let batch = keyed(Method::POST, acme.at("/invitations/batch"), items, "k4").await.expect(StatusCode::OK);
    let token = batch.items()[0]["invitation"]["token"].as_str().unwrap().to_owned();
    secrets.token(&token);
    let mut code = String::new();
    for key in ["k5", "k6"] {
        let issued = keyed(Method::PUT, acme.at("/invite-code"), json!({}), key).await.expect(StatusCode::OK);
        code = issued.text("code");
        secrets.code(&code);
    }
    let hook = json!({"url": "https://hooks.example.com/a", "events": ["user.erased"]});
    let hook = keyed(Method::POST, acme.at("/webhooks"), hook, "w1").await.expect(StatusCode::CREATED);
    let rotate = acme.at(&format!("/webhooks/{}/rotate-secret", hook.text("id")));
    let rotated = keyed(Method::POST, rotate, json!({}), "w2").await.expect(StatusCode::OK);
    for answer in [hook, rotated] {
        secrets.webhook(&answer.text("secret"));
    }
    let session = sessions(acme, &mut secrets).await;
    // In places where they do not belong, with people they are not for, in requests that are broken.
    let bob = acme.service.user("bob");
    let mut wrong = vec![
        bob.accepts(&token).await,
        bob.post("/v1/join", json!({"code": token})).await,
        bob.post("/v1/join", json!({token.as_str(): 1, "code": [token]})).await,
        bob.post("/v1/invitations/accept", json!({"token": code, "nonsense": token})).await,
        bob.post("/v1/invitations/decline", json!({"token": format!("{token}x")})).await,
        bob.get(&format!("/v1/permissions?token={token}")).await,
        ada.get(&acme.at(&format!("/members?cursor={token}"))).await,
        ada.get(&acme.at(&format!("/members?nonsense={token}"))).await,
    ];
    for bearer in [format!("{session}x"), format!("x{session}"), session.replace('.', "..")] {
        wrong.push(
            acme.service
                .bare(Method::GET, "/v1/session", &[("authorization", &format!("Bearer {bearer}"))])
                .await,
        );
        let cookie = format!("__Host-tenure_session={bearer}");
        wrong.push(acme.service.bare(Method::GET, "/v1/session", &[("cookie", &cookie)]).await);
    }
    wrong.push(bob.get(&format!("/v1/permissions?session_token={session}")).await);
    wrong.push(bob.post("/v1/session", json!({"workspace_id": session, "token": session})).await);
    let broken = format!("{{\"token\":\"{token}\",\"token\":\"{token}\"}}").into_bytes();
    wrong.push(bob.send_raw(Method::POST, "/v1/invitations/accept", "application/json", broken).await);
    let bearer = format!("Basic {OPERATOR_KEY}");
    wrong.push(acme.service.bare(Method::GET, "/v1/permissions", &[("authorization", &bearer)]).await);
    let bearer = format!("Bearer {token}");
    wrong.push(acme.service.bare(Method::GET, "/v1/permissions", &[("authorization", &bearer)]).await);
    for answer in wrong {
        assert!(answer.status.is_client_error(), "{:#}", answer.body);
        // A name that the caller made up comes back as a pointer; all else says nothing of what was sent.
        let mut body = answer.body.clone();
        body.as_object_mut().unwrap().remove("errors");
        secrets.are_not_in(&body.to_string(), "a refusal");
    }
    let eve = acme.service.provision("eve").await;
    eve.accepts(&again.text("token")).await.expect(StatusCode::OK);
    let preview = dave.post("/v1/invitations/preview", json!({"token": token})).await.expect(StatusCode::OK);
    secrets.are_not_in(&preview.body.to_string(), "a preview");
    let joined = dave.post("/v1/join", json!({"code": code})).await;
    secrets.are_not_in(&joined.body.to_string(), "an answer to joining");
    let declined = dave.post("/v1/invitations/decline", json!({"token": token})).await;
    secrets.are_not_in(&declined.body.to_string(), "an answer to declining");
    secrets
}

/// Signs in, switches, and signs out; returns the last token of a session that goes on.
async fn sessions(acme: &Acme, secrets: &mut Secrets) -> String {
    let ada = acme.ada();
    let mut last = String::new();
    for key in ["k7", "k8"] {
        let signed_in =
            ada.send(Method::POST, "/v1/session", Some(&json!({})), &[("idempotency-key", key)]).await;
        let token = signed_in.expect(StatusCode::CREATED).text("token");
        secrets.session(&token);
        let ask = |method: Method, path: &str, token: &str| {
            acme.service.client.request(method, format!("{}{path}", acme.service.url)).bearer_auth(token)
        };
        let switch = ask(Method::POST, "/v1/session/switch", &token).json(&json!({"workspace_id": acme.id}));
        let switched = Answer::of(switch.header("idempotency-key", format!("{key}s"))).await;
        let token = switched.expect(StatusCode::OK).text("token");
        secrets.session(&token);
        let renewed = Answer::of(ask(Method::GET, "/v1/session", &token)).await.expect(StatusCode::OK);
        last = renewed.text("token");
        secrets.session(&last);
        if key == "k7" {
            Answer::of(ask(Method::DELETE, "/v1/session", &last)).await.expect(StatusCode::NO_CONTENT);
        }
    }
    last
}

#[tokio::test]
async fn no_log_line_holds_a_secret() {
    let log = Log::default();
    let listening = log.listen();
    let acme = Acme::found().await;
    let secrets = tour(&acme).await;
    acme.stop().await;
    drop(listening);
    let text = log.text();
    assert!(text.contains("/v1/invitations/accept"), "nothing was logged");
    assert!(text.contains("a bearer token was refused"), "refusals were not logged");
    secrets.are_not_in(&text, "the log");
}

#[tokio::test]
async fn no_table_holds_a_secret() {
    let acme = Acme::found().await;
    let secrets = tour(&acme).await;
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let (mut tables, text) = dump(&acme.service).await;
    secrets.are_not_in(&text, "the database");
    tables.retain(|table| {
        ["public.events", "public.audit_log", "public.idempotency"].contains(&table.as_str())
    });
    assert_eq!(tables.len(), 3, "the tables that matter were looked at");
    acme.stop().await;
}

/// Every table that has rows, and every row of every table as text.
async fn dump(service: &TestService) -> (Vec<String>, String) {
    let admin = service.admin().await;
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
                  where schemaname not in ('pg_catalog', 'information_schema')";
    let (mut filled, mut text) = (Vec::new(), String::new());
    for table in sqlx::query(tables).fetch_all(&admin).await.unwrap() {
        let table: String = table.get(0);
        let rows = sqlx::query(&format!("select t::text from {table} t")).fetch_all(&admin).await.unwrap();
        if !rows.is_empty() {
            filled.push(table);
        }
        for row in rows {
            text.push_str(row.get::<&str, _>(0));
            text.push('\n');
        }
    }
    admin.close().await;
    (filled, text)
}

#[tokio::test]
async fn no_later_answer_holds_a_secret() {
    let acme = Acme::found().await;
    let secrets = tour(&acme).await;
    let operator = acme.service.operator();
    let mut paths: Vec<String> =
        ["", "/members", "/invitations", "/audit-log", "/events", "/readiness", "/roles", "/webhooks"]
            .map(|rest| acme.at(rest))
            .to_vec();
    paths.extend(
        ["/v1/users/dave", "/v1/users/dave/workspaces", "/readyz", "/metrics", "/openapi.json"]
            .map(str::to_owned),
    );
    for invitation in operator.sees(&acme.at("/invitations")).await.items() {
        paths.push(acme.at(&format!("/invitations/{}", invitation["id"].as_str().unwrap())));
    }
    for hook in operator.sees(&acme.at("/webhooks")).await.items() {
        let path = format!("/webhooks/{}", hook["id"].as_str().unwrap());
        paths.extend([acme.at(&path), acme.at(&format!("{path}/deliveries"))]);
    }
    for path in paths {
        let answer = Answer::of(operator.request(Method::GET, &path)).await;
        secrets.are_not_in(&answer.body.to_string(), &path);
        for value in answer.headers.values() {
            secrets.are_not_in(&String::from_utf8_lossy(value.as_bytes()), &path);
        }
    }
    acme.stop().await;
}
