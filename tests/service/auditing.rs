//! The auditor's page keeps its word: its commands are run as written, on a genuine export and on a doctored one.

use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::Acme;
use crate::support::process::{Place, Said, ends};
use crate::support::service::OPERATOR_KEY;

const PAGE: &str = include_str!("../../docs/auditing.md");

/// The code block that follows a marker.
fn block(marker: &str) -> &'static str {
    let after = PAGE.split_once(&format!("<!-- {marker} -->")).unwrap().1;
    let code = after.split_once('\n').unwrap().1.split_once('\n').unwrap().1;
    code.split_once("```").unwrap().0
}

/// Runs blocks of the page, one after the other, in one shell.
async fn shell(acme: &Acme, place: &Place, markers: &[&str]) -> Said {
    let blocks: String = markers.iter().map(|marker| block(marker)).collect();
    let settings = format!(
        "url={} workspace={} token={OPERATOR_KEY}\naudit=$url/v1/workspaces/$workspace/audit-log\n\
         tenure() {{ '{}' \"$@\"; }}\n",
        acme.service.url,
        acme.id,
        env!("CARGO_BIN_EXE_tenure")
    );
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &(settings + &blocks)]);
    shell.current_dir(place.path()).stdin(Stdio::null());
    ends(shell).await
}

const BY_HAND: [&str; 3] = ["by hand: leaves", "by hand: root", "by hand: compare"];

#[tokio::test]
async fn the_commands_of_the_page_verify_a_genuine_history_and_find_what_is_not() {
    let acme = Acme::found().await;
    let place = Place::new();
    shell(&acme, &place, &["keep"]).await.well();
    let odd = json!({"name": "Zo\u{eb} \"100%\" \\ \u{1f980}", "description": "two\nlines\tand % \\x41"});
    acme.ada().patch(&acme.at(""), odd).await.expect(StatusCode::OK);
    acme.pending("eve@example.com").await;
    let said = shell(&acme, &place, &["export", "checkpoint", "verify"]).await.well();
    assert!(said.contains("Verified: export.ndjson"), "{said}");
    let said = shell(&acme, &place, &BY_HAND).await.well();
    assert!(said.contains("now.checkpoint: ") && said.matches("entries, as signed").count() == 2, "{said}");
    let size = std::fs::read_to_string(place.path().join("may.checkpoint")).unwrap();
    let size = size.lines().nth(1).unwrap();
    assert!(said.contains(&format!("may.checkpoint: {size} entries, as signed")), "{said}");

    // One letter in one leaf.
    let path = place.path().join("export.ndjson");
    let genuine = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = genuine
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 2 { line.replace("actor_type", "actor_tYpe") } else { line.to_owned() })
        .collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let said = shell(&acme, &place, &["verify"]).await;
    assert!(said.status.code() == Some(1) && said.out.contains("entry 3 (line 3)"), "{said:?}");
    let said = shell(&acme, &place, &BY_HAND).await;
    assert!(
        said.status.code() == Some(1) && said.out.contains("now.checkpoint: not what was signed"),
        "{said:?}"
    );
    let said = shell(&acme, &place, &["by hand: locate"]).await;
    assert!(said.out.contains("line 3"), "{said:?}");

    // The tail cut, after which all that is left fits what was kept.
    let lines: Vec<&str> = genuine.lines().collect();
    std::fs::write(&path, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let said = shell(&acme, &place, &BY_HAND).await;
    assert!(said.status.code() == Some(1) && said.out.contains("entries are missing"), "{said:?}");
    acme.stop().await;
}
