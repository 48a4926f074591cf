//! The routes: every checkpoint and proof of a small history, to the letter, and to whom they are shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure_projections::leaf;

use super::support::{ct_consistent, ct_includes, hex, logged, naive_root, opened, unbase64};
use crate::support::{Acme, Answer, TestService};

const CHECKPOINT: &str = "/audit-log/checkpoint";

async fn leaves(acme: &Acme) -> Vec<String> {
    let admin = acme.service.admin().await;
    let events = logged(&mut admin.acquire().await.unwrap(), &acme.id).await;
    admin.close().await;
    events.iter().map(leaf::leaf).collect()
}

async fn vkey(service: &TestService, workspace: &str) -> String {
    let path = format!("/.well-known/tenure-audit-key?workspace_id={workspace}");
    service.bare(Method::GET, &path, &[]).await.expect(StatusCode::OK).body.as_str().unwrap().to_owned()
}

fn note(answer: &Answer) -> &str {
    answer.body.as_str().unwrap()
}

#[tokio::test]
async fn every_checkpoint_is_signed_and_has_the_root_that_the_definition_gives() {
    let acme = Acme::found().await;
    let (leaves, key) = (leaves(&acme).await, vkey(&acme.service, &acme.id).await);
    for size in 1..=leaves.len() {
        let answer = acme.ada().sees(&acme.at(&format!("{CHECKPOINT}?size={size}"))).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        let (origin, signed, root) = opened(note(&answer), &key);
        assert!(origin.ends_with(&format!("/workspaces/{}", acme.id)), "{origin}");
        assert_eq!((signed, root), (size as u64, naive_root(&leaves[..size])));
        // Nothing in it is of the moment.
        assert_eq!(acme.ada().sees(&acme.at(&format!("{CHECKPOINT}?size={size}"))).await.body, answer.body);
    }
    let whole = acme.ada().sees(&acme.at(CHECKPOINT)).await;
    assert_eq!(opened(note(&whole), &key).1, leaves.len() as u64, "the whole history by default");
    acme.stop().await;
}

#[tokio::test]
async fn every_entry_is_proved_to_be_part_of_every_checkpoint_after_it() {
    let acme = Acme::found().await;
    let (leaves, key) = (leaves(&acme).await, vkey(&acme.service, &acme.id).await);
    for size in 1..=leaves.len() as u64 {
        for seq in 1..=size {
            let path = acme.at(&format!("/audit-log/proofs/inclusion?workspace_seq={seq}&size={size}"));
            let proof = acme.ada().sees(&path).await.body;
            let leaf = leaves[seq as usize - 1].as_str();
            assert_eq!((&proof["leaf"], &proof["leaf_index"]), (&json!(leaf), &json!(seq - 1)));
            let (_, signed, root) = opened(proof["checkpoint"].as_str().unwrap(), &key);
            assert_eq!((signed, unbase64(proof["root"].as_str().unwrap())), (size, root));
            assert!(ct_includes(leaf, seq - 1, &proof["hashes"], root, size), "{seq} of {size}");
            assert!(!ct_includes(&format!("{leaf} "), seq - 1, &proof["hashes"], root, size));
        }
    }
    let last = acme.ada().sees(&acme.at("/audit-log/proofs/inclusion")).await.body;
    assert_eq!(last["workspace_seq"], leaves.len(), "the last entry by default");
    acme.stop().await;
}

#[tokio::test]
async fn every_checkpoint_is_proved_to_begin_every_later_one() {
    let acme = Acme::found().await;
    let leaves = leaves(&acme).await;
    for to in 1..=leaves.len() {
        for from in 1..=to {
            let path = acme.at(&format!("/audit-log/proofs/consistency?from={from}&to={to}"));
            let proof = acme.ada().sees(&path).await.body;
            let (old, new) = (naive_root(&leaves[..from]), naive_root(&leaves[..to]));
            assert_eq!(unbase64(proof["from_root"].as_str().unwrap()), old);
            assert_eq!(unbase64(proof["to_root"].as_str().unwrap()), new);
            assert!(ct_consistent((old, from as u64), (new, to as u64), &proof["hashes"]), "{from} to {to}");
            if from < to {
                assert!(!ct_consistent(([7; 32], from as u64), (new, to as u64), &proof["hashes"]));
            }
        }
    }
    acme.stop().await;
}

#[tokio::test]
async fn the_leaf_hashes_are_served_in_pages() {
    let acme = Acme::found().await;
    let leaves = leaves(&acme).await;
    let expected: Vec<String> =
        leaves.iter().map(|leaf| hex(&naive_root(std::slice::from_ref(leaf)))).collect();
    let lines = |answer: Answer| -> Vec<String> { note(&answer).lines().map(str::to_owned).collect() };
    assert_eq!(lines(acme.ada().sees(&acme.at("/audit-log/proofs/hashes")).await), expected);
    let middle = acme.ada().sees(&acme.at("/audit-log/proofs/hashes?after=2&limit=3")).await;
    assert_eq!(lines(middle), expected[2..5]);
    assert_eq!(acme.ada().sees(&acme.at("/audit-log/proofs/hashes?after=999")).await.body, json!(""));
    acme.stop().await;
}

#[tokio::test]
async fn what_the_tree_does_not_have_is_refused_by_name() {
    let acme = Acme::found().await;
    let size = leaves(&acme).await.len();
    let beyond = size + 1;
    for (path, pointer, code) in [
        (format!("{CHECKPOINT}?size={beyond}"), "?size", "out_of_range"),
        (format!("{CHECKPOINT}?size=18446744073709551615"), "?size", "out_of_range"),
        (format!("{CHECKPOINT}?size=18446744073709551616"), "?size", "wrong_type"),
        (format!("{CHECKPOINT}?size=-1"), "?size", "wrong_type"),
        (format!("/audit-log/proofs/inclusion?workspace_seq={beyond}"), "?workspace_seq", "out_of_range"),
        ("/audit-log/proofs/inclusion?workspace_seq=3&size=2".into(), "?workspace_seq", "out_of_range"),
        (format!("/audit-log/proofs/inclusion?size={beyond}"), "?size", "out_of_range"),
        ("/audit-log/proofs/consistency?from=3&to=2".into(), "?from", "out_of_range"),
        (format!("/audit-log/proofs/consistency?to={beyond}"), "?to", "out_of_range"),
    ] {
        let answer = acme.ada().get(&acme.at(&path)).await.refused(400, "validation_failed");
        assert_eq!(answer.errors(), [(pointer, code)], "{path}");
    }
    for (path, pointer) in [
        (format!("{CHECKPOINT}?size=0"), "?size"),
        ("/audit-log/proofs/inclusion?workspace_seq=0".into(), "?workspace_seq"),
        ("/audit-log/proofs/consistency?from=0".into(), "?from"),
        ("/audit-log/proofs/hashes?limit=10001".into(), "?limit"),
        ("/audit-log/proofs/hashes?after=-1".into(), "?after"),
    ] {
        let answer = acme.ada().get(&acme.at(&path)).await.refused(400, "validation_failed");
        assert_eq!(answer.errors()[0].0, pointer, "{path}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn proofs_are_for_those_who_may_read_the_audit_log() {
    let acme = Acme::found().await;
    for route in [
        CHECKPOINT,
        "/audit-log/proofs/inclusion",
        "/audit-log/proofs/consistency",
        "/audit-log/proofs/hashes",
    ] {
        acme.service.user("bob").sees(&acme.at(route)).await;
        acme.service.user("carol").get(&acme.at(route)).await.refused(403, "permission_denied");
        acme.service.user("dave").get(&acme.at(route)).await.refused(404, "not_found");
        acme.service.bare(Method::GET, &acme.at(route), &[]).await.refused(401, "unauthenticated");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_checkpoint_is_as_fresh_as_the_position_that_comes_with_the_request() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let key = vkey(&acme.service, &acme.id).await;
    for n in 0..10 {
        let done = acme.ada().patch(&acme.at(""), json!({"name": format!("Acme {n}")})).await;
        let position = done.header("tenure-position").unwrap().to_owned();
        let headers = [("tenure-position", position.as_str())];
        let answer = sibling.user("ada").send(Method::GET, &acme.at(CHECKPOINT), None, &headers).await;
        let (_, size, root) = opened(note(&answer.expect(StatusCode::OK)), &key);
        let leaves = leaves(&acme).await;
        assert_eq!((size, root), (leaves.len() as u64, naive_root(&leaves)), "{n}");
    }
    let headers = [("tenure-position", "999999")];
    let answer = acme.ada().send(Method::GET, &acme.at(CHECKPOINT), None, &headers).await;
    answer.refused(400, "position_in_future");
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn the_verifier_key_is_public_and_the_same_for_all_workspaces() {
    let acme = Acme::found().await;
    let installation = acme.service.bare(Method::GET, "/.well-known/tenure-audit-key", &[]).await;
    let installation = installation.expect(StatusCode::OK);
    assert_eq!(installation.header("cache-control"), Some("public, max-age=3600"));
    let parts = |key: &str| -> (String, Vec<u8>) {
        let (name, rest) = key.trim().split_once('+').unwrap();
        (name.to_owned(), STANDARD.decode(rest.split_once('+').unwrap().1).unwrap())
    };
    let (name, key) = parts(note(&installation));
    let other = acme.ada().creates("Other").await;
    for workspace in [&acme.id, &other] {
        assert_eq!(
            parts(&vkey(&acme.service, workspace).await),
            (format!("{name}/workspaces/{workspace}"), key.clone())
        );
    }
    // The public key itself, and no more: not even whether a workspace exists.
    assert_eq!(key.len(), 33);
    let answer = acme.service.bare(Method::GET, "/.well-known/tenure-audit-key?workspace_id=x", &[]).await;
    assert_eq!(answer.refused(400, "validation_failed").errors()[0].0, "?workspace_id");
    acme.stop().await;
}

#[tokio::test]
async fn checkpoints_taken_while_others_write_begin_the_history_that_comes_of_it() {
    let acme = Acme::found().await;
    let key = vkey(&acme.service, &acme.id).await;
    // Nobody is through before the checkpoints are: with each three that were taken, everybody writes once more.
    let (took, seen) = tokio::sync::watch::channel(0);
    let writers = (0..8).map(|writer| {
        let (acme, mut seen) = (&acme, seen.clone());
        async move {
            for n in 0..12 {
                seen.wait_for(|taken| *taken >= n * 3).await.unwrap();
                let email = format!("w{writer}-{n}@example.com");
                acme.ada()
                    .post(&acme.at("/invitations"), json!({"email": email}))
                    .await
                    .expect(StatusCode::CREATED);
            }
        }
    });
    let reads = async {
        let mut taken = Vec::new();
        for _ in 0..40 {
            let answer = acme.service.user("bob").sees(&acme.at(CHECKPOINT)).await;
            let (_, size, root) = opened(note(&answer), &key);
            let path = acme.at(&format!("/audit-log/proofs/inclusion?workspace_seq={size}&size={size}"));
            let proof = acme.service.user("bob").sees(&path).await.body;
            taken.push((size, root, proof));
            took.send_replace(taken.len());
        }
        (taken, took)
    };
    let (_, (taken, _)): (Vec<()>, _) = tokio::join!(futures::future::join_all(writers), reads);
    let leaves = leaves(&acme).await;
    assert!(leaves.len() >= 96);
    let distinct: std::collections::BTreeSet<u64> = taken.iter().map(|(size, ..)| *size).collect();
    assert!(distinct.len() > 3, "nobody wrote meanwhile: {distinct:?}");
    for (size, root, proof) in taken {
        assert_eq!(root, naive_root(&leaves[..size as usize]), "{size}");
        let leaf: &Value = &proof["leaf"];
        assert!(ct_includes(leaf.as_str().unwrap(), size - 1, &proof["hashes"], root, size));
    }
    acme.stop().await;
}
