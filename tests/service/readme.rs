//! The README keeps its word: its tour is run as written, and its commands are the ones that CI runs.

use std::process::{Command, Stdio};

use crate::support::process::{Place, ends};

const README: &str = include_str!("../../README.md");

/// The code block that follows a marker.
fn block(marker: &str) -> &'static str {
    let after = README.split_once(&format!("<!-- {marker} -->")).unwrap().1;
    let code = after.split_once("```sh\n").unwrap().1;
    code.split_once("```").unwrap().0
}

#[tokio::test]
async fn the_tour_works_as_written() {
    let place = Place::new();
    let serving = place.serves().await;
    // The tour stands where a stranger does: beside `.tenure`, with the service on its usual port.
    std::os::unix::fs::symlink(place.data_dir(), place.path().join(".tenure")).unwrap();
    let tour = block("tour").to_owned() + block("audit");
    let tour = tour
        .replace("cli=target/release/tenure", concat!("cli=", env!("CARGO_BIN_EXE_tenure")))
        .replace("url=http://127.0.0.1:7373", &format!("url={}", serving.url));
    assert!(tour.contains(&serving.url), "the tour says where the service is");
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &tour]).current_dir(place.path()).stdin(Stdio::null());
    let said = ends(shell).await.well();
    for expected in [
        r#""personal_workspace_id""#,
        r#""invited_by":"Ada""#,
        r#""role":"admin","status":"active""#,
        r#""decision":true,"context":{"reason":{"code":"role_allows""#,
        r#""name":"clerk","built_in":false"#,
        r#""key":"tnk_"#,
        r#""token":"ey"#,
        r#""action":"workspace.created""#,
        r#""type":"tenure.invitation.accepted.v1""#,
        r#""owner_id":"bob""#,
        r#""action":"membership.started","target":{"type":"membership","id":"bob"}"#,
        "Verified: acme.ndjson",
        r#""email":"[erased]""#,
        "Verified: later.ndjson",
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    assert_eq!(said.matches("urn:tenure:problem:").count(), 0, "a problem in\n{said}");
    serving.interrupt().await;
}

#[test]
fn the_two_commands_are_the_ones_that_ci_runs() {
    let ci = include_str!("../../.ci/run");
    assert_eq!(block("run").trim(), "cargo run --release -- serve");
    assert_eq!(block("test").trim(), "cargo test --locked");
    for marker in ["run", "test"] {
        assert!(ci.contains(&format!("<!-- {marker} -->")), "CI takes the {marker} command from the README");
    }
}
