//! The operator key is made once, preset, rotated, and lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const PRESET: &str = "0123456789abcdef0123456789abcdef";

fn at(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000 + milliseconds).unwrap()
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data/operator.key");
    (home, path)
}

#[test]
fn is_made_once() {
    let (_home, path) = home();
    let (key, created) = OperatorKey::load_or_create(&path, None).unwrap();
    assert!(created);
    assert!(key.reveal().starts_with("tno_") && key.reveal().len() == 47);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (again, created) = OperatorKey::load_or_create(&path, None).unwrap();
    assert!(!created && again.matches(key.reveal()));
    for wrong in
        ["", "tno_", &key.reveal()[1..], &format!("{}x", key.reveal()), &format!("{} ", key.reveal())]
    {
        assert!(!again.matches(wrong));
    }
}

#[test]
fn a_preset_wins_and_stays_off_the_disk() {
    let (_home, path) = home();
    let (key, created) = OperatorKey::load_or_create(&path, Some(PRESET)).unwrap();
    assert!(!created && key.matches(PRESET) && !path.exists());
    let tab = format!("{PRESET}\t");
    let accent = format!("{PRESET}é");
    let space = format!("{PRESET} ");
    for unfit in ["", &PRESET[1..], &tab, &accent, &space, &"x".repeat(513)] {
        let refusal = OperatorKey::load_or_create(&path, Some(unfit)).unwrap_err();
        assert!(matches!(refusal, OperatorKeyError::UnfitPreset));
        assert!(unfit.is_empty() || !refusal.to_string().contains(unfit));
    }
}

#[test]
fn a_damaged_or_open_file_is_refused_and_kept() {
    let (_home, path) = home();
    secret_file::create(&path, b"short\n").unwrap();
    assert!(matches!(OperatorKey::load_or_create(&path, None), Err(OperatorKeyError::UnfitFile { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"short\n");
    OperatorKey::rotate(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(OperatorKey::load_or_create(&path, None), Err(OperatorKeyError::File(_))));
}

#[test]
fn a_rotation_is_seen_within_a_second() {
    let (_home, path) = home();
    let (file, created) = OperatorKeyFile::open(&path, None, at(0)).unwrap();
    assert!(created);
    let (old, _) = OperatorKey::load_or_create(&path, None).unwrap();
    assert!(file.matches(old.reveal(), at(1)));
    let new = OperatorKey::rotate(&path).unwrap();
    assert!(file.matches(old.reveal(), at(999)), "the file is looked at once a second, no oftener");
    assert!(!file.matches(old.reveal(), at(1_001)));
    assert!(file.matches(new.reveal(), at(1_002)));
    let third = OperatorKey::rotate(&path).unwrap();
    assert!(file.matches(third.reveal(), at(-60_000)), "a clock set back does not blind us");
}

#[test]
fn without_a_readable_file_nobody_is_the_operator() {
    let (_home, path) = home();
    let (file, _) = OperatorKeyFile::open(&path, None, at(0)).unwrap();
    let (key, _) = OperatorKey::load_or_create(&path, None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!file.matches(key.reveal(), at(2_000)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(file.matches(key.reveal(), at(4_000)));
    fs::remove_file(&path).unwrap();
    assert!(!file.matches(key.reveal(), at(6_000)));
    assert!(!file.matches("", at(8_000)));
    assert!(!path.exists(), "a running server never makes a key behind the operator's back");
}

#[test]
fn a_preset_key_follows_no_file() {
    let (_home, path) = home();
    let (file, created) = OperatorKeyFile::open(&path, Some(PRESET), at(0)).unwrap();
    let rotated = OperatorKey::rotate(&path).unwrap();
    assert!(!created && file.matches(PRESET, at(5_000)) && !file.matches(rotated.reveal(), at(5_000)));
}

#[test]
fn shows_nothing() {
    let (_home, path) = home();
    let (file, _) = OperatorKeyFile::open(&path, None, at(0)).unwrap();
    let (preset, _) = OperatorKeyFile::open(&path, Some(PRESET), at(0)).unwrap();
    let shown = format!("{file:?} {preset:?}");
    assert!(!shown.contains("tno_") && !shown.contains(PRESET) && shown.contains("[redacted]"));
}
