//! `tenure replay`: the history of a workspace as a story, as a process of its own tells it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::process::{Place, Serving};

/// A server, and the story that was lived on it.
struct Lived {
    place: Place,
    serving: Serving,
    workspace: String,
    /// Where the log ended before carol was removed.
    before: i64,
}

async fn sends(
    serving: &Serving,
    key: &str,
    actor: Option<&str>,
    what: (&str, String, Value),
) -> (i64, Value) {
    let (method, path, body) = what;
    let mut request = serving.request(key, method.parse::<Method>().unwrap(), &path).json(&body);
    if let Some(actor) = actor {
        request = request.header("Tenure-Actor", actor);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {text}");
    let position = headers["tenure-position"].to_str().unwrap().parse().unwrap();
    (position, serde_json::from_str(&text).unwrap_or_default())
}

impl Lived {
    async fn through() -> Self {
        let place = Place::new();
        let serving = place.serves().await;
        let key = place.key();
        let does = async |actor, what| sends(&serving, &key, actor, what).await;
        let names = [("ada", "Ada Lovelace"), ("bob", "Bob"), ("carol", "carol")];
        for (user, name) in names {
            let email = format!("{user}@example.com");
            let body = json!({"email": email, "email_verified": true, "name": name});
            does(None, ("PUT", format!("/v1/users/{user}"), body)).await;
        }
        let (ada, bob) = (Some("ada"), Some("bob"));
        let (_, acme) =
            does(ada, ("POST", "/v1/workspaces".into(), json!({"name": "Acme", "slug": "acme"}))).await;
        let workspace = acme["id"].as_str().unwrap().to_owned();
        let at = |rest: &str| format!("/v1/workspaces/{workspace}{rest}");
        let body = json!({"email": "bob@example.com", "role": "admin", "notify": false});
        let (_, sent) = does(ada, ("POST", at("/invitations"), body)).await;
        does(bob, ("POST", "/v1/invitations/accept".into(), json!({"token": sent["token"]}))).await;
        does(None, ("PUT", "/v1/users/bob".into(), json!({"name": "Robert"}))).await;
        let scribe = json!({"permissions": ["content:read", "content:write"]});
        does(bob, ("PUT", at("/roles/scribe"), scribe)).await;
        does(bob, ("PUT", at("/members/carol"), json!({"role": "scribe"}))).await;
        does(ada, ("PATCH", at(""), json!({"name": "Acme Ltd", "description": "Two\nlines"}))).await;
        let (before, _) =
            does(bob, ("POST", at("/members/carol/deactivate"), json!({"reason": "away"}))).await;
        does(bob, ("DELETE", at("/members/carol"), json!({}))).await;
        does(ada, ("POST", at("/invitations"), json!({"email": "eve@example.com"}))).await;
        does(ada, ("POST", at("/transfer-ownership"), json!({"to": "bob"}))).await;
        does(None, ("POST", at("/suspend"), json!({"reason": "not paid"}))).await;
        Self { place, serving, workspace, before }
    }

    async fn told(&self, args: &[&str]) -> String {
        let args: Vec<&str> = std::iter::once("replay").chain(args.iter().copied()).collect();
        self.place.runs(&args).await.well()
    }
}

/// The same whenever and wherever it is told.
fn timeless(text: &str) -> String {
    let words = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            let bare: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            let date = bare.len() == 10 && bare.chars().filter(|c| *c == '-').count() == 2;
            if bare.parse::<Uuid>().is_ok() {
                *word = word.replace(&bare, "ID");
            } else if date && bare.starts_with("20") {
                "DATE".clone_into(word);
            } else if word.ends_with('Z') && word.len() == 9 && word.contains(':') {
                "TIME".clone_into(word);
            }
        }
        words.join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_history_is_told_as_a_story() {
    let lived = Lived::through().await;
    let whole = lived.told(&["acme"]).await;
    insta::assert_snapshot!("story", timeless(&whole));
    assert_eq!(lived.told(&[&lived.workspace]).await, whole, "by its id");
    assert!(!whole.contains('\u{1b}'), "colours are for a terminal");
    // Up to a position, and as it stood there.
    let before = lived.before.to_string();
    let earlier = lived.told(&["acme", "--as-of", &before]).await;
    insta::assert_snapshot!("story_as_of", timeless(&earlier));
    let (story, _) = earlier.split_once("\n\n").unwrap();
    assert!(whole.starts_with(story));
    // Who is erased keeps their part in it, and nothing else.
    let gone = lived.serving.request(&lived.place.key(), Method::DELETE, "/v1/users/carol");
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let erased = lived.told(&["acme"]).await;
    assert!(erased.contains("added [erased] (carol) as a scribe") && !erased.contains("sealed:"), "{erased}");
    lived.serving.interrupt().await;
}

#[tokio::test]
async fn a_history_is_told_as_json() {
    let lived = Lived::through().await;
    let lines =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let all = lines(&lived.told(&["acme", "--json"]).await);
    let events: Vec<&Value> = all.iter().filter(|line| line["action"].is_string()).collect();
    let seqs: Vec<i64> = events.iter().map(|line| line["workspace_seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    let accepted = events.iter().find(|line| line["action"] == "invitation.accepted").unwrap();
    assert_eq!((&accepted["actor"]["id"], &accepted["command"]), (&json!("bob"), &json!("AcceptInvitation")));
    // What it ends with is what the service answers.
    let rest = &all[events.len()..];
    let key = lived.place.key();
    let path = format!("/v1/workspaces/{}", lived.workspace);
    let shown = lived.serving.request(&key, Method::GET, &path).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::OK);
    assert_eq!(rest[0]["workspace"], shown.json::<Value>().await.unwrap());
    let shown = lived.serving.request(&key, Method::GET, &format!("{path}/members")).send().await.unwrap();
    let members: Vec<&Value> = rest.iter().filter_map(|line| line.get("member")).collect();
    assert_eq!(json!(members), shown.json::<Value>().await.unwrap()["items"]);
    assert_eq!(rest.iter().filter(|line| line.get("invitation").is_some()).count(), 1);
    // By a time before it all, there is nothing to tell; of the future, nothing is known.
    for (args, why) in [
        (["acme", "--as-of", "2000-01-01T00:00:00Z"], "no workspace had the slug acme"),
        (["acme", "--as-of", "99999999"], "ahead of the log"),
        (["acme", "--as-of", "2999-01-01T00:00:00Z"], "in the future"),
        (["acme", "--as-of", "soon"], "expected a position or an instant"),
        (["01890000-0000-7000-8000-000000000000", "--as-of", "1"], "there was no workspace"),
    ] {
        let said = lived.place.runs(&[&["replay"], &args[..]].concat()).await;
        assert!(!said.status.success() && said.err.contains(why), "{args:?}: {}", said.err);
    }
    lived.serving.interrupt().await;
}
