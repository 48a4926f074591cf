//! `tenure audit export`: straight from the database to a file, in bounded memory, and on from where it stopped.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use sqlx::ConnectOptions;

use super::{lengthen, refused};
use crate::support::process::{Place, Said, ends};
use crate::support::{Acme, TestService};

/// `tenure audit export` beside a running service.
fn command(place: &Place, service: &TestService, args: &[&str]) -> std::process::Command {
    let mut command = place.command(&[&["audit", "export"], args].concat());
    command.env("TENURE_MASTER_KEY_FILE", service.master_key_file());
    command.env("TENURE_DATABASE_URL", service.database.to_url_lossy().as_str());
    command
}

async fn exports(place: &Place, service: &TestService, args: &[&str]) -> Said {
    ends(command(place, service, args)).await
}

async fn over_http(acme: &Acme, query: &str) -> Vec<u8> {
    let request = acme.ada().request(Method::GET, &acme.at(&format!("/audit-log/export{query}")));
    request.send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn the_command_writes_what_the_route_answers() {
    let (acme, place) = (Acme::found().await, Place::new());
    acme.service.user("carol").delete(&acme.at("")).await.refused(403, "permission_denied");
    refused(&acme).await;
    for format in ["ndjson", "csv", "parquet"] {
        let file = format!("acme.{format}");
        let said = exports(&place, &acme.service, &[&acme.id, "--format", format, "--output", &file]).await;
        assert!(said.status.success(), "{said:?}");
        assert!(said.out.contains(&file), "{said:?}");
        let written = fs::read(place.path().join(&file)).unwrap();
        assert_eq!(written, over_http(&acme, &format!("?format={format}")).await, "{format}");
        assert!(!place.path().join(format!("{file}.partial")).exists());
        // What is there is not written over.
        let again = exports(&place, &acme.service, &[&acme.id, "--format", format, "--output", &file]).await;
        assert!(!again.status.success() && again.err.contains("--resume"), "{again:?}");
    }
    let said = exports(&place, &acme.service, &[&acme.id, "--after", "3"]).await;
    assert_eq!(said.out.as_bytes(), over_http(&acme, "?after=3").await, "{}", said.err);
    let said = exports(&place, &acme.service, &[&acme.id, "--attempts"]).await;
    assert_eq!(said.out.as_bytes(), over_http(&acme, "?include=attempts").await, "{}", said.err);
    let nobody = tenure::ids::new_v7().to_string();
    let said = exports(&place, &acme.service, &[&nobody]).await;
    assert!(!said.status.success() && said.err.contains("there is no workspace"), "{said:?}");
    let help = exports(&place, &acme.service, &["--help"]).await;
    assert!(help.out.contains("Examples:") && help.out.contains("--resume"), "{help:?}");
    acme.stop().await;
}

#[tokio::test]
async fn a_file_that_was_cut_off_anywhere_is_gone_on_with() {
    let (acme, place) = (Acme::found().await, Place::new());
    for format in ["ndjson", "csv"] {
        let whole = over_http(&acme, &format!("?format={format}")).await;
        let file = place.path().join(format!("acme.{format}"));
        let partial = place.path().join(format!("acme.{format}.partial"));
        let arguments =
            [acme.id.as_str(), "--format", format, "--output", file.to_str().unwrap(), "--resume"];
        for cut in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            fs::write(&partial, &whole[..cut]).unwrap();
            let said = exports(&place, &acme.service, &arguments).await;
            assert!(said.status.success(), "{said:?}");
            assert!(!partial.exists());
            assert_eq!(
                String::from_utf8_lossy(&fs::read(&file).unwrap()),
                String::from_utf8_lossy(&whole),
                "{cut}"
            );
            fs::remove_file(&file).unwrap();
        }
        // What is complete is gone on with when there is more.
        fs::write(&file, &whole).unwrap();
        acme.ada().patch(&acme.at(""), serde_json::json!({"description": format})).await;
        exports(&place, &acme.service, &arguments).await;
        let more = over_http(&acme, &format!("?format={format}")).await;
        assert_eq!(fs::read(&file).unwrap(), more);
        assert!(more.len() > whole.len());
    }
    let resume = [acme.id.as_str(), "--format", "parquet", "--output", "x", "--resume"];
    let said = exports(&place, &acme.service, &resume).await;
    assert!(!said.status.success() && said.err.contains("Parquet"), "{said:?}");
    let nothing = [acme.id.as_str(), "--output", "not-there", "--resume"];
    let said = exports(&place, &acme.service, &nothing).await;
    assert!(!said.status.success() && said.err.contains("not-there"), "{said:?}");
    acme.stop().await;
}

#[tokio::test]
async fn a_long_history_is_exported_in_bounded_memory() {
    let (acme, place) = (Acme::found().await, Place::new());
    lengthen(&acme.service, &acme.id, 20_000, 3_000).await;
    for (format, at_least) in [("ndjson", 100 << 20), ("parquet", 100 << 10)] {
        let file = place.path().join(format!("long.{format}"));
        let mut command = command(
            &place,
            &acme.service,
            &[&acme.id, "--format", format, "--output", file.to_str().unwrap()],
        );
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (begun, mut peak) = (Instant::now(), 0);
        let status = loop {
            peak = peak.max(peak_of(child.id()).unwrap_or(0));
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            assert!(begun.elapsed() < Duration::from_mins(3), "the export does not end");
        };
        assert!(status.success());
        let length = fs::metadata(&file).unwrap().len();
        assert!(length > at_least, "{length} bytes of {format}");
        assert!(peak > 0 && peak < 96 << 20, "{peak} bytes at the most for {length} bytes of {format}");
        if format == "ndjson" {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.lines().count() > 20_000);
            let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["changes"]["seats_limit"]["to"], 20_101);
        }
    }
    acme.service.leave().await;
}

/// The most memory a process has held, in bytes.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
