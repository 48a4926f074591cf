//! The master key is rotated under a running service, and what it opened stays open; another one opens nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::process::{Place, Serving};

/// Answers of one service, by the operator for a user.
struct Asks<'a> {
    serving: &'a Serving,
    key: String,
}

impl Asks<'_> {
    async fn send(
        &self,
        method: Method,
        path: &str,
        actor: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = self.serving.request(&self.key, method, path).json(&body);
        if let Some(actor) = actor {
            request = request.header("Tenure-Actor", actor);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn provision(&self, user: &str) {
        let body = json!({"email": format!("{user}@example.com"), "email_verified": true, "name": user});
        let (status, answer) = self.send(Method::PUT, &format!("/v1/users/{user}"), None, body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    async fn name_of(&self, user: &str) -> Value {
        let (status, answer) = self.send(Method::GET, &format!("/v1/users/{user}"), None, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["name"].clone()
    }

    /// A workspace of ada's, an invitation's token, a session's token, and a cursor.
    async fn promises(&self) -> [String; 4] {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (_, made) = self.send(Method::POST, "/v1/workspaces", Some("ada"), json!({"name": "Acme"})).await;
        let id = text(&made["id"]);
        let invite = json!({"email": "bob@example.com", "notify": false});
        let path = format!("/v1/workspaces/{id}/invitations");
        let (_, invited) = self.send(Method::POST, &path, Some("ada"), invite).await;
        let (_, session) = self.send(Method::POST, "/v1/session", Some("ada"), json!({})).await;
        let path = format!("/v1/workspaces/{id}/audit-log?limit=1");
        let (_, page) = self.send(Method::GET, &path, Some("ada"), json!({})).await;
        [id, text(&invited["token"]), text(&session["token"]), text(&page["next_cursor"])]
    }

    async fn keeps(&self, [id, token, session, cursor]: &[String; 4]) {
        let preview = json!({"token": token});
        let (status, answer) = self.send(Method::POST, "/v1/invitations/preview", Some("bob"), preview).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let seen = self.serving.request(session, Method::GET, "/v1/session").send().await.unwrap();
        assert_eq!(seen.status(), StatusCode::OK);
        let path = format!("/v1/workspaces/{id}/audit-log?limit=1&cursor={cursor}");
        let (status, answer) = self.send(Method::GET, &path, Some("ada"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

fn keys_in(place: &Place) -> usize {
    let file = place.data_dir().join("master.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::read(file).unwrap().len() / 32
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_a_running_service_voids_nothing() {
    let place = Place::new();
    let serving = place.serves().await;
    let asks = Asks { serving: &serving, key: place.key() };
    asks.provision("ada").await;
    asks.provision("bob").await;
    let promises = asks.promises().await;
    let old = fs::read(place.data_dir().join("master.key")).unwrap();

    // With writes going on.
    let over = Arc::new(AtomicBool::new(false));
    let writes = async {
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            asks.provision(&format!("user-{n}")).await;
            n += 1;
        }
        n
    };
    let rotates = async {
        let rotated = place.runs(&["master-key", "rotate"]).await.well();
        over.store(true, Ordering::Relaxed);
        rotated
    };
    let (written, rotated) = tokio::join!(writes, rotates);
    assert!(written > 0 && rotated.contains("the root key are wrapped by"), "{rotated}");
    assert_eq!(keys_in(&place), 2);
    asks.keeps(&promises).await;
    for n in [0, written - 1] {
        assert_eq!(asks.name_of(&format!("user-{n}")).await, format!("user-{n}"));
    }
    // Whatever was being written then is wrapped anew, and the old key can go.
    let again = place.runs(&["master-key", "status"]).await.well();
    if again.lines().any(|line| line.contains("earlier") && !line.ends_with("wraps 0 keys")) {
        place.runs(&["master-key", "retire"]).await.badly();
        place.runs(&["master-key", "rotate"]).await.well();
    }
    place.runs(&["master-key", "retire"]).await.well();
    assert_eq!(keys_in(&place), 1);
    assert!(place.runs(&["master-key", "retire"]).await.well().contains("no earlier"));
    asks.provision("late").await;
    asks.keeps(&promises).await;
    let address = serving.address();
    serving.interrupt().await;

    // Where it was, since a session's issuer is its address.
    let serving = place.serves_at(&address).await;
    let asks = Asks { serving: &serving, key: place.key() };
    asks.keeps(&promises).await;
    assert_eq!((asks.name_of("user-0").await, asks.name_of("late").await), (json!("user-0"), json!("late")));
    serving.interrupt().await;

    // The old master key opens this database no more, and that is said.
    let file = place.data_dir().join("master.key");
    let new = fs::read(&file).unwrap();
    fs::write(&file, old).unwrap();
    let refused = place.runs(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!refused.status.success());
    assert!(refused.err.contains("belongs to another master key"), "{}", refused.err);
    fs::write(&file, new).unwrap();
    place.runs(&["projections"]).await.well();
}

// Cut off after the file was written: nothing is wrapped by the new key yet, and everything opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_cut_off_goes_on_where_it_was() {
    let place = Place::new();
    let serving = place.serves().await;
    let asks = Asks { serving: &serving, key: place.key() };
    asks.provision("ada").await;
    let file = place.data_dir().join("master.key");
    let cut_off = [vec![9; 32], fs::read(&file).unwrap()].concat();
    fs::write(&file, &cut_off).unwrap();
    // Restarted in the middle of it.
    serving.interrupt().await;
    let serving = place.serves().await;
    let asks = Asks { serving: &serving, key: place.key() };
    assert_eq!(asks.name_of("ada").await, "ada");
    asks.provision("bob").await;
    let refused = place.runs(&["master-key", "retire"]).await;
    assert!(!refused.status.success() && refused.err.contains("still wrapped"), "{}", refused.err);
    assert_eq!(fs::read(&file).unwrap(), cut_off);
    let rotated = place.runs(&["master-key", "rotate"]).await.well();
    assert!(rotated.contains("going on"), "{rotated}");
    assert_eq!(fs::read(&file).unwrap(), cut_off, "no further key");
    place.runs(&["master-key", "retire"]).await.well();
    assert_eq!(fs::read(&file).unwrap(), [9; 32]);
    assert_eq!((asks.name_of("ada").await, asks.name_of("bob").await), (json!("ada"), json!("bob")));
    serving.interrupt().await;
}
