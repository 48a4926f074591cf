//! The audit log as a file, over HTTP: in three formats the same, neutral for spreadsheets, broken off visibly.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sqlx::Row;
use uuid::Uuid;

use super::{lengthen, refused};
use crate::support::Acme;

/// The names of the columns of CSV and Parquet, and what is in them, as text.
type Record = BTreeMap<String, String>;

async fn body(acme: &Acme, query: &str) -> Vec<u8> {
    let request = acme.ada().request(Method::GET, &acme.at(&format!("/audit-log/export{query}")));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    response.bytes().await.unwrap().to_vec()
}

async fn lines(acme: &Acme, query: &str) -> Vec<Value> {
    let text = String::from_utf8(body(acme, query).await).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn csv(acme: &Acme, query: &str) -> Vec<Record> {
    let bytes = body(acme, &format!("?format=csv{query}")).await;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let record =
        |record: csv::StringRecord| names.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
    reader.records().map(|read| record(read.unwrap())).collect()
}

async fn parquet(acme: &Acme, query: &str) -> Vec<Record> {
    let bytes = Bytes::from(body(acme, &format!("?format=parquet{query}")).await);
    let reader = SerializedFileReader::new(bytes).unwrap();
    let text = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Long(number) => number.to_string(),
        Field::Str(text) => text.clone(),
        Field::TimestampMicros(micros) => instant(*micros),
        other => panic!("{other:?}"),
    };
    let record = |row: parquet::record::Row| {
        row.get_column_iter().map(|(name, field)| (name.clone(), text(field))).collect()
    };
    reader.get_row_iter(None).unwrap().map(|row| record(row.unwrap())).collect()
}

fn instant(micros: i64) -> String {
    let time = tenure_aggregates::Time::from_timestamp_micros(micros).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// An entry of the list as a record of columns.
fn record(entry: &Value) -> Record {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let time: chrono::DateTime<chrono::Utc> = entry["time"].as_str().unwrap().parse().unwrap();
    let pairs = [
        ("position", text(&entry["position"])),
        ("workspace_seq", text(&entry["workspace_seq"])),
        ("time", instant(time.timestamp_micros())),
        ("outcome", text(&entry["outcome"])),
        ("actor_type", text(&entry["actor"]["type"])),
        ("actor_id", text(&entry["actor"]["id"])),
        ("actor_via", text(&entry["actor"]["via"])),
        ("action", text(&entry["action"])),
        ("target_type", text(&entry["target"]["type"])),
        ("target_id", text(&entry["target"]["id"])),
        ("changes", text(&entry["changes"])),
        ("reason", text(&entry["reason"])),
        ("command", text(&entry["command"])),
        ("ip", text(&entry["origin"]["ip"])),
        ("user_agent", text(&entry["origin"]["user_agent"])),
        ("request_id", text(&entry["origin"]["request_id"])),
        ("correlation_id", text(&entry["origin"]["correlation_id"])),
        ("causation_id", text(&entry["origin"]["causation_id"])),
        ("refusal_code", text(&entry["refusal"]["code"])),
        ("refusal_permission", text(&entry["refusal"]["permission"])),
        ("refusal_count", text(&entry["refusal"]["count"])),
    ];
    pairs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

fn seqs(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["workspace_seq"].as_i64().unwrap()).collect()
}

/// Acme with a slug, a name that is awkward, and something refused.
async fn busy() -> Acme {
    let acme = Acme::found().await;
    let ada = acme.ada();
    for (name, slug) in
        [("Ünïcode, \"quoted\"; 'x'", "first"), ("x\"},{\"action\":\"workspace.deleted\"", "second")]
    {
        ada.patch(&acme.at(""), json!({"name": name, "slug": slug})).await.expect(StatusCode::OK);
    }
    acme.service.user("carol").delete(&acme.at("")).await.refused(403, "permission_denied");
    ada.post(&acme.at("/members/carol/deactivate"), json!({"reason": "on leave"}))
        .await
        .expect(StatusCode::OK);
    refused(&acme).await;
    acme
}

#[tokio::test]
async fn ndjson_is_the_whole_history_with_its_leaves_and_the_entries_are_those_of_the_list() {
    let acme = busy().await;
    let exported = lines(&acme, "").await;
    let admin = acme.service.admin().await;
    let events = sqlx::query(
        "select position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                payload::text as payload, metadata::text as metadata, recorded_at
         from events where workspace_id = $1 order by workspace_seq",
    )
    .bind(acme.id.parse::<Uuid>().unwrap())
    .fetch_all(&admin)
    .await
    .unwrap();
    admin.close().await;
    assert_eq!(
        seqs(&exported),
        (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>(),
        "every event"
    );
    for (seq, (line, event)) in exported.iter().zip(&events).enumerate() {
        let text = |name: &str| event.get::<String, _>(name);
        let time = event.get::<tenure_aggregates::Time, _>("recorded_at").timestamp_micros();
        let leaf = [
            "tenure leaf v1".to_owned(),
            acme.id.clone(),
            (seq + 1).to_string(),
            event.get::<i64, _>("position").to_string(),
            format!(
                "{}/{}/{}",
                text("aggregate_type"),
                text("aggregate_id"),
                event.get::<i64, _>("sequence")
            ),
            format!("{}/{}", text("event_type"), text("event_version")),
            instant(time),
            text("metadata"),
            text("payload"),
        ];
        assert_eq!(line["leaf"], leaf.join("\n"));
        assert_eq!(line["outcome"], "done");
    }
    let is_claim = |line: &&Value| line["action"].as_str().unwrap().starts_with("claim.");
    assert!(exported.iter().filter(is_claim).count() >= 3, "also what is no entry of the list");
    let mut entries: Vec<Value> = exported.iter().filter(|line| !is_claim(line)).cloned().collect();
    for entry in &mut entries {
        for proof in ["leaf", "leaf_hash"] {
            entry.as_object_mut().unwrap().shift_remove(proof);
        }
    }
    entries.reverse();
    let list = acme.ada().sees(&acme.at("/audit-log?outcome=done&limit=500")).await;
    assert_eq!(entries, list.items());
    acme.stop().await;
}

#[tokio::test]
async fn all_three_formats_say_the_same_with_what_was_refused_when_it_is_asked_for() {
    let acme = busy().await;
    for query in
        ["", "&include=attempts", "&outcome=refused", "&action=membership.*", "&q=carol&include=attempts"]
    {
        let lines = lines(&acme, &format!("?format=ndjson{query}")).await;
        let expected: Vec<Record> = lines.iter().map(record).collect();
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(csv(&acme, query).await, expected, "{query}");
        assert_eq!(parquet(&acme, query).await, expected, "{query}");
        let refused = lines.iter().filter(|line| line["outcome"] == "refused").collect::<Vec<_>>();
        assert_eq!(
            refused.len(),
            usize::from(query.contains("include") || query.contains("refused")),
            "{query}"
        );
        assert!(refused.iter().all(|line| line.get("leaf").is_none()));
        assert!(seqs(&lines).is_sorted(), "oldest first");
    }
    // With what was refused it is the whole list, from its other end.
    let mut whole = lines(&acme, "?include=attempts").await;
    whole.retain(|line| !line["action"].as_str().unwrap().starts_with("claim."));
    whole.reverse();
    let list = acme.ada().sees(&acme.at("/audit-log?limit=500")).await;
    for entry in &mut whole {
        for proof in ["leaf", "leaf_hash"] {
            entry.as_object_mut().unwrap().shift_remove(proof);
        }
    }
    assert_eq!(whole, list.items());
    // An empty file is a file.
    assert!(lines(&acme, "?actor=nobody").await.is_empty());
    assert!(csv(&acme, "&actor=nobody").await.is_empty());
    assert!(parquet(&acme, "&actor=nobody").await.is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn an_export_says_what_it_is_and_goes_on_after_any_line() {
    let acme = busy().await;
    let whole = lines(&acme, "").await;
    let last = *seqs(&whole).last().unwrap();
    for after in [0, 1, last - 1, last, last + 7] {
        let rest = lines(&acme, &format!("?after={after}")).await;
        assert_eq!(rest, whole[usize::try_from(after.min(last)).unwrap()..], "after {after}");
        let rows = csv(&acme, &format!("&after={after}")).await;
        assert_eq!(rows.len(), rest.len());
    }
    for (format, kind) in [
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("parquet", "application/vnd.apache.parquet"),
    ] {
        let answer = acme.ada().sees(&acme.at(&format!("/audit-log/export?format={format}"))).await;
        assert_eq!(answer.header("content-type"), Some(kind));
        let name = format!("attachment; filename=\"audit-log-{}.{format}\"", acme.id);
        assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for (query, code) in [
        ("format=xlsx", "validation_failed"),
        ("after=-1", "validation_failed"),
        ("include=everything", "validation_failed"),
        ("limit=5", "unknown_field"),
    ] {
        acme.ada().get(&acme.at(&format!("/audit-log/export?{query}"))).await.refused(400, code);
    }
    acme.service.user("dave").get(&acme.at("/audit-log/export")).await.refused(404, "not_found");
    acme.stop().await;
}

#[tokio::test]
async fn no_cell_is_a_formula_and_none_forges_a_line() {
    // Attacks 44 and 49.
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let evil = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        " =1",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        "\u{a0}=1",
        "\u{3000}=1",
        "=cmd|' /C calc'!A0",
    ];
    let mut reasons = Vec::new();
    for text in evil {
        let answer = operator.post(&acme.at("/suspend"), json!({"reason": text})).await;
        operator.post(&acme.at("/resume"), json!({})).await.expect(StatusCode::OK);
        // Some reasons are trimmed at the door.
        if answer.status == StatusCode::OK {
            reasons.push(answer.body["suspension"]["reason"].as_str().unwrap().to_owned());
        }
    }
    assert!(reasons.len() >= 8, "{reasons:?}");
    let headers = [("user-agent", "=HYPERLINK(\"http://evil.example\")"), ("x-request-id", "-2")];
    acme.ada()
        .send(Method::PATCH, &acme.at(""), Some(&json!({"name": "a,b\";=c"})), &headers)
        .await
        .expect(StatusCode::OK);
    let (csv, lines) = (csv(&acme, "").await, lines(&acme, "").await);
    assert_eq!(csv.len(), lines.len(), "one record a line, whatever is in it");
    let dangerous =
        |text: &str| text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r']);
    for (record, line) in csv.iter().zip(&lines) {
        for (name, cell) in record {
            assert!(!dangerous(cell), "{name}: {cell:?}");
        }
        if let Some(reason) = line["reason"].as_str() {
            let neutral = if dangerous(reason) { format!("'{reason}") } else { reason.to_owned() };
            assert_eq!(record["reason"], neutral);
        }
    }
    let found: Vec<&str> =
        csv.iter().map(|record| record["reason"].as_str()).filter(|text| !text.is_empty()).collect();
    assert_eq!(found, reasons.iter().map(|reason| format!("'{reason}")).collect::<Vec<_>>());
    assert_eq!(csv.last().unwrap()["user_agent"], "'=HYPERLINK(\"http://evil.example\")");
    // In JSON nothing is changed.
    let told: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(told, reasons);
    let parquet = parquet(&acme, "").await;
    assert_eq!(parquet.last().unwrap()["user_agent"], "=HYPERLINK(\"http://evil.example\")");
    acme.stop().await;
}

#[tokio::test]
async fn a_reader_who_is_removed_meanwhile_has_a_file_that_is_visibly_broken_off() {
    let acme = Acme::found().await;
    lengthen(&acme.service, &acme.id, 5_000, 6_000).await;
    let bob = acme.service.user("bob");
    let mut response = bob.request(Method::GET, &acme.at("/audit-log/export")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut text = response.chunk().await.unwrap().unwrap().to_vec();
    acme.ada().delete(&acme.at("/members/bob")).await.expect(StatusCode::NO_CONTENT);
    let mut broken = None;
    while broken.is_none() {
        match response.chunk().await {
            Ok(Some(bytes)) => text.extend(bytes),
            Ok(None) => break,
            Err(error) => broken = Some(error),
        }
    }
    assert!(broken.is_some(), "the end looks like an end");
    // The whole lines are good, and from there it goes on for whoever may.
    let cut = text.iter().rposition(|byte| *byte == b'\n').unwrap();
    let begun: Vec<Value> =
        text[..cut].split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    let last = *seqs(&begun).last().unwrap();
    assert_eq!(seqs(&begun), (1..=last).collect::<Vec<_>>());
    let rest = lines(&acme, &format!("?after={last}")).await;
    assert_eq!(seqs(&rest)[0], last + 1);
    assert_eq!(rest.last().unwrap()["action"], "membership.ended");
    acme.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stands_in_the_export_all_the_same() {
    let acme = Acme::found().await;
    let admin = acme.service.admin().await;
    let mut surgeon = admin.acquire().await.unwrap().detach();
    sqlx::query("set session_replication_role = replica").execute(&mut surgeon).await.unwrap();
    sqlx::query("update events set payload = '{\"type\":\"FromTheFuture\"}' where workspace_id = $1 and workspace_seq = 2")
        .bind(acme.id.parse::<Uuid>().unwrap())
        .execute(&mut surgeon)
        .await
        .unwrap();
    admin.close().await;
    let exported = lines(&acme, "").await;
    assert_eq!(seqs(&exported)[..3], [1, 2, 3]);
    assert_eq!(exported[1]["changes"], Value::Object(Map::new()));
    assert!(exported[1]["leaf"].as_str().unwrap().ends_with("{\"type\":\"FromTheFuture\"}"));
    acme.service.leave().await;
}

#[tokio::test]
async fn what_is_erased_is_erased_in_every_file_and_only_the_leaf_keeps_it_sealed() {
    let acme = Acme::found().await;
    acme.service.operator().delete("/v1/users/carol").await.expect(StatusCode::NO_CONTENT);
    let exported = lines(&acme, "").await;
    let started = exported.iter().find(|line| line["actor"]["id"] == "carol").unwrap();
    assert_eq!(started["origin"]["ip"], "[erased]");
    let invited = exported.iter().filter(|line| line["action"] == "invitation.sent").collect::<Vec<_>>();
    assert_eq!(invited.len(), 2);
    assert_eq!(invited[0]["changes"]["email"]["to"], "bob@example.com");
    assert_eq!(invited[1]["changes"]["email"]["to"], "[erased]");
    for mut line in exported {
        let leaf = line.as_object_mut().unwrap().shift_remove("leaf").unwrap();
        assert!(!line.to_string().contains("sealed:"), "{line:#}");
        assert!(!leaf.as_str().unwrap().contains("@example.com"), "{leaf}");
    }
    acme.stop().await;
}
