//! Attack 47: whatever is done to the log in the database, by its superuser, an auditor who kept a checkpoint finds it,
//! and finds where. Attack 48 is in `log.rs`: for anybody less it is not even possible.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tenure_projections::projection::named;

use super::support::{export, logged};
use crate::support::process::{Place, ends};
use crate::support::{Acme, TestService};

/// The first entry that is tampered with, between the checkpoints at 4 and at 8 that the auditor kept.
const BAD: usize = 6;

/// What an auditor has: the key, checkpoints and hashes from before, and the one that covers the export.
struct Auditor {
    place: Place,
    size: usize,
}

impl Auditor {
    async fn prepared(acme: &Acme) -> Self {
        for n in 0..12 {
            let name = json!({"name": format!("Acme {n}")});
            acme.ada().patch(&acme.at(""), name).await.expect(StatusCode::OK);
        }
        let place = Place::new();
        let key = acme.service.bare(Method::GET, "/.well-known/tenure-audit-key", &[]).await.body;
        std::fs::write(place.path().join("vkey"), key.as_str().unwrap()).unwrap();
        let mut size = 0;
        for (name, query) in [("4", "?size=4"), ("8", "?size=8"), ("now", "")] {
            let note = acme.ada().sees(&acme.at(&format!("/audit-log/checkpoint{query}"))).await.body;
            let note = note.as_str().unwrap();
            size = note.lines().nth(1).unwrap().parse().unwrap();
            std::fs::write(place.path().join(name), note).unwrap();
        }
        let hashes = acme.ada().sees(&acme.at("/audit-log/proofs/hashes?limit=8")).await.body;
        std::fs::write(place.path().join("hashes"), hashes.as_str().unwrap()).unwrap();
        Self { place, size }
    }

    fn write(&self, export: &str) {
        std::fs::write(self.place.path().join("export"), export).unwrap();
    }

    /// Runs `tenure audit verify` offline; its exit status and what it said.
    async fn verify(&self, more: &[&str]) -> (i32, String) {
        let key = std::fs::read_to_string(self.place.path().join("vkey")).unwrap();
        let mut args = vec!["audit", "verify", "export", "--checkpoint", "now", "--key", key.trim()];
        args.extend(["--earlier", "8", "--earlier", "4"]);
        args.extend(more);
        let said = ends(self.place.command(&args)).await;
        assert!(!self.place.data_dir().exists(), "a data directory was looked for");
        (said.status.code().unwrap(), said.out + &said.err)
    }

    /// What is said of an export that is not verified.
    #[track_caller]
    fn finds(said: &(i32, String), expected: &[&str]) {
        assert_eq!(said.0, 1, "{}", said.1);
        for words in expected {
            assert!(said.1.contains(words), "no {words:?} in: {}", said.1);
        }
    }
}

/// Tampers as superuser in a transaction of its own, exports what there is then, and takes it back.
async fn tampered(acme: &Acme, sql: &str, rebuilt: bool) -> String {
    let mut admin = acme.service.database.connect().await.unwrap();
    let mut tx = admin.begin().await.unwrap();
    tx.execute("drop trigger events_append_only on events").await.unwrap();
    let sql = sql.replace("$w", &format!("workspace_id = '{}'", acme.id));
    tx.execute(sqlx::raw_sql(&sql)).await.unwrap();
    if rebuilt {
        rebuild_tree(&mut tx, acme).await;
    }
    let export = export(&mut tx, &acme.id).await;
    tx.rollback().await.unwrap();
    admin.close().await.unwrap();
    export
}

async fn rebuild_tree(connection: &mut PgConnection, acme: &Acme) {
    let forget = format!("delete from proof_nodes where workspace_id = '{}'", acme.id);
    connection.execute(forget.as_str()).await.unwrap();
    let events = logged(connection, &acme.id).await;
    let events: Vec<_> = events.into_iter().map(|event| event.decode().unwrap()).collect();
    named("proofs").unwrap().apply(connection, &events).await.unwrap();
}

const CHANGE: &str = "update events set metadata = replace(metadata::text, '\"actor_id\":\"ada\"', '\"actor_id\":\"bob\"')::json
     where $w and workspace_seq = 6";

#[tokio::test]
async fn an_untouched_history_is_verified() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    auditor.write(&tampered(&acme, "select 1", false).await);
    for more in [&[][..], &["--hashes", "hashes"]] {
        let (status, said) = auditor.verify(more).await;
        assert_eq!(status, 0, "{said}");
        for words in ["Verified:", "all of them, in order and unchanged", "8: 8 entries", "4: 4 entries"] {
            assert!(said.contains(words), "no {words:?} in: {said}");
        }
    }
    acme.stop().await;
}

#[tokio::test]
async fn one_byte_changed_is_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    for sql in [
        CHANGE,
        "update events set recorded_at = recorded_at + interval '1 microsecond' where $w and workspace_seq = 6",
        "update events set aggregate_id = aggregate_id || '0' where $w and workspace_seq = 6",
        "update events set event_version = '2' where $w and workspace_seq = 6",
        "update events set payload = (payload::text || ' ')::json where $w and workspace_seq = 6",
    ] {
        auditor.write(&tampered(&acme, sql, false).await);
        let expected = ["entry 6 (line 6)", "it was changed", "Entries 1 to 4 are as signed in 4"];
        Auditor::finds(&auditor.verify(&[]).await, &expected);
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_deleted_row_is_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    auditor.write(&tampered(&acme, "delete from events where $w and workspace_seq = 6", false).await);
    Auditor::finds(&auditor.verify(&[]).await, &["entry 6", "missing", "deleted", "1 to 4 are as signed"]);
    // With those after it numbered anew, so that there is no gap.
    let renumbered = "delete from events where $w and workspace_seq = 6;
         update events set workspace_seq = -workspace_seq + 1 where $w and workspace_seq > 6;
         update events set workspace_seq = -workspace_seq where $w and workspace_seq < 0";
    let renumbered = format!("alter table events drop constraint events_workspace_seq_check; {renumbered}");
    auditor.write(&tampered(&acme, &renumbered, false).await);
    Auditor::finds(&auditor.verify(&[]).await, &["entry 6 (line 6)", "it was changed"]);
    acme.stop().await;
}

#[tokio::test]
async fn two_swapped_rows_are_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    let swapped = "alter table events drop constraint events_workspace_seq_check;
         update events set workspace_seq = workspace_seq - 13 where $w and workspace_seq in (6, 7);
         update events set workspace_seq = -workspace_seq where $w and workspace_seq < 0";
    auditor.write(&tampered(&acme, swapped, false).await);
    Auditor::finds(&auditor.verify(&[]).await, &["entry 6 (line 6)", "it was changed"]);
    // In the export only: a line where another should be.
    let whole = tampered(&acme, "select 1", false).await;
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.swap(BAD - 1, BAD);
    auditor.write(&lines.join("\n"));
    Auditor::finds(&auditor.verify(&[]).await, &["entry 6", "missing"]);
    acme.stop().await;
}

#[tokio::test]
async fn a_cut_tail_is_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    for rebuilt in [false, true] {
        auditor.write(&tampered(&acme, "delete from events where $w and workspace_seq > 10", rebuilt).await);
        let covered = format!("now covers {} entries", auditor.size);
        let expected = ["entry 11", "the tail was cut", covered.as_str(), "1 to 8 are as signed in 8"];
        Auditor::finds(&auditor.verify(&[]).await, &expected);
    }
    acme.stop().await;
}

#[tokio::test]
async fn what_was_added_is_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    acme.ada().patch(&acme.at(""), json!({"name": "One more"})).await.expect(StatusCode::OK);
    auditor.write(&tampered(&acme, "select 1", false).await);
    let (entry, covered) =
        (format!("entry {}", auditor.size + 1), format!("now covers {} entries", auditor.size));
    Auditor::finds(&auditor.verify(&[]).await, &[&entry, "nothing vouches for it", &covered]);
    acme.stop().await;
}

#[tokio::test]
async fn everything_rewritten_with_new_hashes_is_bracketed_and_with_kept_hashes_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    auditor.write(&tampered(&acme, CHANGE, true).await);
    let bracket = ["one of 5 to 8", "signed in 8", "rewritten, with new hashes", "1 to 4 are as signed in 4"];
    Auditor::finds(&auditor.verify(&[]).await, &bracket);
    let kept = auditor.verify(&["--hashes", "hashes"]).await;
    Auditor::finds(&kept, &["entry 6 (line 6)", "it was changed", "1 to 4 are as signed in 4"]);
    acme.stop().await;
}

/// The service itself would sign the rewritten history: the checkpoint from before convicts it.
#[tokio::test]
async fn a_rewritten_history_that_is_signed_anew_does_not_fit_the_checkpoint_from_before() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    let mut admin = acme.service.database.connect().await.unwrap();
    admin.execute("drop trigger events_append_only on events").await.unwrap();
    let sql = CHANGE.replace("$w", &format!("workspace_id = '{}'", acme.id));
    admin.execute(sqlx::raw_sql(&sql)).await.unwrap();
    rebuild_tree(&mut admin, &acme).await;
    let forged = acme.ada().sees(&acme.at("/audit-log/checkpoint")).await.body;
    std::fs::write(auditor.place.path().join("now"), forged.as_str().unwrap()).unwrap();
    auditor.write(&export(&mut admin, &acme.id).await);
    Auditor::finds(&auditor.verify(&[]).await, &["one of 5 to 8", "signed in 8", "rewritten"]);
    let key = std::fs::read_to_string(auditor.place.path().join("vkey")).unwrap();
    let args = ["audit", "verify", "export", "--checkpoint", "now", "--key", key.trim()];
    assert!(ends(auditor.place.command(&args)).await.status.success(), "nothing else tells");
    // Two checkpoints of one size that were both signed are the proof by themselves.
    let eight = acme.ada().sees(&acme.at("/audit-log/checkpoint?size=8")).await.body;
    std::fs::write(auditor.place.path().join("forged8"), eight.as_str().unwrap()).unwrap();
    let both = auditor.verify(&["--earlier", "forged8"]).await;
    Auditor::finds(&both, &["two histories were signed"]);
    admin.close().await.unwrap();
    acme.service.leave().await;
}

#[tokio::test]
async fn a_doctored_readable_part_is_named() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    let whole = tampered(&acme, "select 1", false).await;
    for (field, said) in [
        ("position", json!(1)),
        ("time", json!("2020-01-01T00:00:00Z")),
        ("actor", json!({"type": "user", "id": "mallory"})),
        ("action", json!("workspace.deleted")),
        ("target", json!({"type": "workspace", "id": "another"})),
        ("leaf_hash", json!("00".repeat(32))),
    ] {
        let mut lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines[BAD - 1][field] = said;
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        auditor.write(&lines.join("\n"));
        let beside = format!("`{field}` beside it says something else");
        Auditor::finds(&auditor.verify(&[]).await, &["entry 6 (line 6)", "its leaf is well", &beside]);
    }
    acme.stop().await;
}

#[tokio::test]
async fn what_cannot_be_judged_is_told_apart() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    let whole = tampered(&acme, "select 1", false).await;
    auditor.write(&whole);
    let path = auditor.place.path();
    let key = std::fs::read_to_string(path.join("vkey")).unwrap().trim().to_owned();
    std::fs::write(path.join("nonsense"), "nonsense").unwrap();
    std::fs::write(path.join("empty"), "").unwrap();
    let note = std::fs::read_to_string(path.join("now")).unwrap();
    std::fs::write(path.join("forged"), note.replacen(&format!("\n{}\n", auditor.size), "\n9\n", 1)).unwrap();
    let other = acme.ada().creates("Other").await;
    let others = acme.ada().sees(&format!("/v1/workspaces/{other}/audit-log/checkpoint")).await.body;
    std::fs::write(path.join("others"), others.as_str().unwrap()).unwrap();
    let stranger = TestService::start().await;
    let foreign = stranger.bare(Method::GET, "/.well-known/tenure-audit-key", &[]).await.body;
    let foreign = foreign.as_str().unwrap().trim().to_owned();
    stranger.stop().await;
    // Another last letter, whichever it is.
    let last = if key.ends_with('x') { 'y' } else { 'x' };
    let broken = format!("{}{last}", &key[..key.len() - 1]);
    for (export, checkpoint, earlier, key, status, words) in [
        ("nowhere", "now", "4", &key, 2, "nowhere"),
        ("empty", "now", "4", &key, 1, "the tail was cut"),
        ("nonsense", "now", "4", &key, 2, "no export"),
        ("export", "nowhere", "4", &key, 2, "nowhere"),
        ("export", "nonsense", "4", &key, 2, "not a checkpoint at all"),
        ("export", "now", "others", &key, 2, "another workspace"),
        ("export", "8", "now", &key, 2, "covers more"),
        ("export", "now", "4", &broken, 2, "no verifier key"),
        ("export", "now", "4", &foreign, 2, "for which the verifier key is not"),
        ("export", "forged", "4", &key, 1, "forged"),
        ("export", "others", "others", &key, 1, "its leaf is of workspace"),
    ] {
        let args = [
            "audit",
            "verify",
            export,
            "--checkpoint",
            checkpoint,
            "--earlier",
            earlier,
            "--key",
            key.as_str(),
        ];
        let said = ends(auditor.place.command(&args)).await;
        let text = said.out + &said.err;
        assert_eq!(said.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[BAD - 1] = "{";
    auditor.write(&lines.join("\n"));
    Auditor::finds(&auditor.verify(&[]).await, &["entry 6 (line 6)", "cannot be read"]);
    // The key under the workspace's own name is as good.
    auditor.write(&whole);
    let path = format!("/.well-known/tenure-audit-key?workspace_id={}", acme.id);
    let own = acme.service.bare(Method::GET, &path, &[]).await.body;
    let args = ["audit", "verify", "export", "--checkpoint", "now", "--key", own.as_str().unwrap().trim()];
    ends(auditor.place.command(&args)).await.well();
    acme.stop().await;
}

/// `--workspace`: the log in the database against its own tree, which the superuser forgot to touch.
#[tokio::test]
async fn the_log_and_its_tree_are_held_against_each_other() {
    let acme = Acme::found().await;
    let auditor = Auditor::prepared(&acme).await;
    let url = acme.service.database.to_url_lossy().to_string();
    let verify = async |more: &[&str]| {
        let mut args = vec!["audit", "verify", "--workspace", acme.id.as_str(), "--database-url", &url];
        args.extend(more);
        let said = ends(auditor.place.command(&args)).await;
        (said.status.code().unwrap(), said.out + &said.err)
    };
    let key = std::fs::read_to_string(auditor.place.path().join("vkey")).unwrap();
    let pinned = ["--checkpoint", "now", "--key", key.trim(), "--earlier", "4"];
    let (status, said) = verify(&[]).await;
    assert!(status == 0 && said.contains("Nothing from outside vouches"), "{said}");
    let (status, said) = verify(&pinned).await;
    assert!(status == 0 && said.contains("in order and unchanged"), "{said}");
    let mut admin = acme.service.database.connect().await.unwrap();
    admin.execute("drop trigger events_append_only on events").await.unwrap();
    let mut tamper = async |sql: &str| {
        let sql = sql.replace("$w", &format!("workspace_id = '{}'", acme.id));
        admin.execute(sqlx::raw_sql(&sql)).await.unwrap();
    };
    // A node above the leaves, which no export shows.
    let node = "update proof_nodes set hashes = overlay(hashes placing '\\x00' from 40) where $w and workspace_seq = 10";
    tamper(node).await;
    Auditor::finds(&verify(&[]).await, &["entry 10", "a node of the tree above it was changed"]);
    tamper("delete from events where $w and workspace_seq > 12").await;
    tamper(CHANGE).await;
    for more in [&[][..], &pinned] {
        Auditor::finds(&verify(more).await, &["entry 6:", "it was changed"]);
    }
    tamper("delete from events where $w and workspace_seq = 3").await;
    Auditor::finds(&verify(&[]).await, &["entry 3", "missing"]);
    tamper("delete from events where $w").await;
    Auditor::finds(&verify(&[]).await, &["entry 1", "missing"]);
    admin.close().await.unwrap();
    let exists = Path::new(&auditor.place.data_dir()).join("pg").exists();
    assert!(!exists, "no database of its own was started");
    acme.service.leave().await;
}
