//! The first minutes with `tenure`: what it prints, keeps, refuses and says, as a process on its own PostgreSQL.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::options_of;
use tenure_projections::ALL;

use crate::support::cluster::fresh_database;
use crate::support::process::{Place, Serving, ends};

#[tokio::test]
async fn a_stranger_starts_it_looks_around_and_starts_it_again() {
    let place = Place::new();
    let serving = place.serves().await;
    assert_eq!(serving.line("data "), place.data_dir().to_str().unwrap());
    let printed = serving.line("operator key ").split(' ').next().unwrap().to_owned();
    assert_eq!(printed, place.key());
    let file = std::fs::metadata(place.data_dir().join("operator.key")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert!(!serving.log().contains(&printed), "the key is in no log");
    runs_as_printed(&serving);

    let put = serving.request(&printed, Method::PUT, "/v1/users/ada").json(&json!({"name": "Ada"}));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    let log = serving.interrupt().await;
    assert!(log.contains("stopped") && !log.contains("ERROR"), "{log}");
    let log = std::fs::read_to_string(place.data_dir().join("pg/postgres.log")).unwrap();
    assert!(!log.contains("WARNING"), "PostgreSQL complains: {log}");

    let again = place.serves().await;
    assert!(!again.greeting.contains(&printed), "{}", again.greeting);
    assert!(again.greeting.contains("tenure operator-key"), "{}", again.greeting);
    runs_as_printed(&again);
    let ada = again.request(&printed, Method::GET, "/v1/users/ada").send().await.unwrap();
    assert_eq!(ada.json::<Value>().await.unwrap()["name"], "Ada");
    assert_eq!(place.runs(&["operator-key"]).await.well().trim(), printed);
}

/// The printed line, to the letter.
fn runs_as_printed(serving: &Serving) {
    let line = serving.greeting.lines().find(|line| line.trim_start().starts_with("curl")).unwrap();
    let output = Command::new("sh").args(["-c", &line.replace("curl ", "curl -sS ")]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && answer["items"].is_array(), "{answer:#}");
}

#[tokio::test]
async fn a_rotated_key_counts_at_once_on_the_running_server() {
    let place = Place::new();
    let serving = place.serves().await;
    let old = place.key();
    let status =
        async |key: &str| serving.request(key, Method::GET, "/v1/permissions").send().await.unwrap().status();
    assert_eq!(status(&old).await, StatusCode::OK);
    let new = place.runs(&["operator-key", "--rotate"]).await.well().trim().to_owned();
    assert_ne!(old, new);
    assert_eq!(new, place.key());
    let rotated = Instant::now();
    while status(&old).await != StatusCode::UNAUTHORIZED {
        assert!(rotated.elapsed() < Duration::from_secs(3), "the old key lives on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status(&new).await, StatusCode::OK);
}

#[tokio::test]
async fn ctrl_c_finishes_what_was_accepted() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let mut sent = Vec::new();
    for user in 0..40 {
        let put = serving.request(&key, Method::PUT, &format!("/v1/users/user-{user}")).json(&json!({}));
        sent.push(tokio::spawn(put.send()));
    }
    // Some are under way, some may not have been accepted yet: those hear nothing, or a refusal.
    tokio::time::sleep(Duration::from_millis(15)).await;
    serving.signal(Signal::SIGINT);
    let mut created = Vec::new();
    for (user, sent) in sent.into_iter().enumerate() {
        match sent.await.unwrap() {
            Ok(answer) if answer.status() == StatusCode::CREATED => created.push(user),
            Ok(answer) => assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => assert!(error.is_connect() || error.is_request(), "{error:?}"),
        }
    }
    let log = serving.ended().await;
    assert!(!log.contains("ERROR"), "{log}");
    let again = place.serves().await;
    for user in created {
        let got = again.request(&key, Method::GET, &format!("/v1/users/user-{user}")).send().await.unwrap();
        assert_eq!(got.status(), StatusCode::OK, "user-{user} was acknowledged");
    }
}

#[tokio::test]
async fn a_second_instance_is_turned_away_and_the_first_goes_on() {
    let place = Place::new();
    let serving = place.serves().await;
    let said = place.runs(&["serve", "--listen", "127.0.0.1:0"]).await.badly();
    assert!(said.contains("in use by another instance") && said.contains("process"), "{said}");
    let said = place.runs(&["serve", "--listen", &serving.address()]).await.badly();
    assert!(said.contains(&format!("cannot listen on {}", serving.address())), "{said}");
    let ready = serving.request("", Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_name() {
    let place = Place::new();
    let serve = || place.command(&["serve", "--listen", "127.0.0.1:0"]);
    for (name, value) in [
        ("TENURE_OPERATOR_KEY", "short"),
        ("TENURE_LISTNE", "127.0.0.1:1"),
        ("TENURE_POOL_SIZE", "many"),
        ("TENURE_LOG", "not=a=filter"),
    ] {
        let mut command = serve();
        command.env(name, value);
        let said = ends(command).await.badly();
        let setting = name["TENURE_".len()..].to_lowercase();
        assert!(said.to_lowercase().contains(&setting), "{name}: {said}");
    }
    let toml = place.path().join("tenure.toml");
    for (line, name) in [("listne = \"127.0.0.1:1\"", "listne"), ("pool_size = \"many\"", "pool_size")] {
        std::fs::write(&toml, line).unwrap();
        let said = ends(serve()).await.badly();
        assert!(said.contains(name), "{line}: {said}");
    }
    std::fs::remove_file(toml).unwrap();
    let said = place.runs(&["serve", "--listen", "nowhere"]).await.badly();
    assert!(said.contains("listen"), "{said}");
    let said = place.runs(&["serve", "--config", "absent.toml"]).await.badly();
    assert!(said.contains("absent.toml"), "{said}");
    let said = place.runs(&["rebuild", "nothing"]).await.badly();
    assert!(said.contains("nothing") && said.contains("audit_log"), "{said}");
}

#[tokio::test]
async fn a_preset_operator_key_is_kept_nowhere() {
    let place = Place::new();
    let key = "a-preset-key-of-at-least-32-characters";
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TENURE_OPERATOR_KEY", key);
    let serving = Serving::start(command).await;
    let status = serving.request(key, Method::GET, "/v1/permissions").send().await.unwrap().status();
    assert_eq!(status, StatusCode::OK);
    assert!(!place.data_dir().join("operator.key").exists());
    assert!(!serving.greeting.contains(key) && !serving.log().contains(key));
    let mut rotate = place.command(&["operator-key", "--rotate"]);
    rotate.env("TENURE_OPERATOR_KEY", key);
    assert!(ends(rotate).await.badly().contains("TENURE_OPERATOR_KEY"));
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused() {
    let place = Place::new();
    let data = place.data_dir().join("pg/data");
    std::fs::create_dir_all(&data).unwrap();
    for dir in [place.data_dir(), place.data_dir().join("pg"), data.clone()] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
    }
    std::fs::write(data.join("PG_VERSION"), "12\n").unwrap();
    let said = place.runs(&["serve", "--listen", "127.0.0.1:0"]).await.badly();
    assert!(said.contains("was made by PostgreSQL 12") && said.contains("pg_upgrade"), "{said}");
}

/// A database of a role that may do nothing else, and its address.
async fn plain_database(name: &str) -> (sqlx::PgConnection, String) {
    let superuser = fresh_database().await;
    let mut admin = superuser.clone().connect().await.unwrap();
    // The roles may be there already: they are the cluster's.
    admin.execute(format!("create role {name} login").as_str()).await.unwrap();
    admin.execute(format!("create database {name}").as_str()).await.unwrap();
    admin.close().await.unwrap();
    let (socket, port) = (superuser.get_socket().unwrap().display().to_string(), superuser.get_port());
    let admin = superuser.database(name).connect().await.unwrap();
    let socket = socket.replace('/', "%2F");
    (admin, format!("postgres://{name}@localhost/{name}?host={socket}&port={port}&sslmode=disable"))
}

#[tokio::test]
async fn a_role_that_lacks_rights_is_told_the_very_statements() {
    let (mut admin, url) = plain_database("plain_owner").await;
    let place = Place::new();
    let args = ["migrate", "--database-url", &url];
    let said = place.runs(&args).await.badly();
    assert!(said.contains("plain_owner lacks rights in the database plain_owner"), "{said}");
    let statements: Vec<&str> = said.lines().filter(|line| line.ends_with(';')).collect();
    assert!(statements.contains(&"grant tenure_service to plain_owner;"), "{said}");
    assert!(statements.contains(&"grant usage, create on schema public to plain_owner;"), "{said}");
    for statement in statements {
        admin.execute(statement).await.unwrap();
    }
    assert_eq!(place.runs(&args).await.well().trim(), "The database is ready.");
    assert_eq!(place.runs(&args).await.well().trim(), "The database is ready.");

    let serving =
        Serving::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url])).await;
    let key = place.key();
    let put = serving.request(&key, Method::PUT, "/v1/users/ada").json(&json!({"name": "Ada"}));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    let get = serving.request(&key, Method::GET, "/v1/users/ada").send().await.unwrap();
    assert_eq!(get.json::<Value>().await.unwrap()["name"], "Ada");
    place.runs(&["rebuild", "--all", "--database-url", &url]).await.well();
    assert!(!place.data_dir().join("pg").exists(), "it made no PostgreSQL of its own");
    // Whoever owns the tables cannot change the log either.
    let mut owner = options_of(&url).unwrap().connect().await.unwrap();
    for change in ["update events set payload = '{}'", "delete from events", "truncate events"] {
        let refused = owner.execute(change).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    drop(serving);
    owner.close().await.unwrap();
    admin.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_in_words() {
    let place = Place::new();
    for url in ["postgres://nobody@127.0.0.1:1/nothing", "http://example.com", "nonsense"] {
        let said = place.runs(&["serve", "--listen", "127.0.0.1:0", "--database-url", url]).await.badly();
        assert!(said.contains("PostgreSQL") || said.contains("database URL"), "{url}: {said}");
    }
    let secret = "postgres://tenure:the-password@127.0.0.1:1/nothing";
    let said = place.runs(&["serve", "--listen", "127.0.0.1:0", "--database-url", secret]).await.badly();
    assert!(!said.contains("the-password"), "{said}");
}

#[tokio::test]
async fn every_command_helps_with_examples() {
    let place = Place::new();
    let help = place.runs(&["--help"]).await.well();
    assert!(help.contains("Examples:\n  tenure serve"), "{help}");
    for command in ["serve", "migrate", "operator-key", "projections", "deliveries", "replay", "rebuild"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let own = place.runs(&[command, "--help"]).await.well();
        assert!(own.contains("Example") && own.contains(&format!("  tenure {command}")), "{own}");
    }
    assert_eq!(place.runs(&["no-such-command"]).await.status.code(), Some(2));
    assert!(!place.data_dir().exists(), "asking makes nothing");
}

#[tokio::test]
async fn read_models_are_shown_beside_a_running_server() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let put = serving.request(&key, Method::PUT, "/v1/users/ada").json(&json!({"name": "Ada"}));
    let head = put.send().await.unwrap().headers()["tenure-position"].to_str().unwrap().to_owned();
    serving.request(&key, Method::GET, "/v1/users/ada").send().await.unwrap();
    assert_eq!(place.runs(&["migrate"]).await.well().trim(), "The database is ready.");
    let shown = place.runs(&["projections"]).await.well();
    let (titles, lines) = shown.split_once('\n').unwrap();
    for title in ["position", "lag", "parked"] {
        assert!(titles.contains(title), "{shown}");
    }
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    let mut known = ALL.map(|projection| projection.name);
    known.sort_unstable();
    assert_eq!(names, known);
    for line in &lines {
        assert_eq!((line[2], &line[4..7]), ("live", &[head.as_str(), "0", "0"][..]), "{shown}");
    }
    assert!(place.runs(&["projections", "--retry-parked"]).await.well().contains("Nothing is parked."));
    place.runs(&["rebuild", "members"]).await.well();
    let status = serving.request("", Method::GET, "/readyz").send().await.unwrap().status();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn commands_work_without_a_running_server() {
    let place = Place::new();
    assert_eq!(place.runs(&["migrate"]).await.well().trim(), "The database is ready.");
    assert!(place.runs(&["rebuild", "--all"]).await.well().contains("from 0 events"));
    assert_eq!(place.runs(&["projections"]).await.well().lines().count(), ALL.len() + 1);
    let shown = place.runs(&["operator-key"]).await.well();
    assert_eq!(shown.trim(), place.key());
    assert!(place.postgres().is_empty() || !place.data_dir().join("database-url").exists());
}
