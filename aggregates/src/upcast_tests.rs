//! Chains of steps, versions nobody knows, and that no step is ever taken back.

use serde_json::json;

use super::*;

const CHAIN: &Table = &[("Moved", &[named, counted])];

fn named(fields: &mut Map<String, Value>) {
    let name = fields.remove("n").unwrap_or_default();
    fields.insert("name".to_owned(), name);
}

fn counted(fields: &mut Map<String, Value>) {
    let length = fields["name"].as_str().map_or(0, str::len);
    fields.insert("length".to_owned(), length.into());
}

fn through(table: &Table, version: &str, mut payload: Value) -> Value {
    run(missing(table, "Moved", version).unwrap(), &mut payload);
    payload
}

#[test]
fn a_chain_goes_on_from_wherever_an_event_stands() {
    let current = json!({"type": "Moved", "name": "ada", "length": 3});
    assert_eq!(through(CHAIN, "1", json!({"type": "Moved", "n": "ada"})), current);
    assert_eq!(through(CHAIN, "2", json!({"type": "Moved", "name": "ada"})), current);
    assert_eq!(through(CHAIN, "3", current.clone()), current);
}

#[test]
fn a_version_this_program_does_not_know_is_an_error_that_says_which() {
    for version in ["0", "4", "01", "+1", "-1", "1.0", " 1", "", "x", "99999999999999999999999"] {
        let unknown = missing(CHAIN, "Moved", version).unwrap_err();
        assert_eq!((unknown.version.as_str(), unknown.current), (version, 3));
    }
    let unknown = upcast("WorkspaceArchived", "2", json!({"type": "WorkspaceArchived"})).unwrap_err();
    let said = "WorkspaceArchived of version 2, while this program knows no version after 1";
    assert_eq!(unknown.to_string(), said);
    assert!(upcast_text("SessionSwitched", "3", "{}").is_err());
}

// A program that knows version 3 must never hand out what only looks like version 2.
#[test]
fn what_is_current_is_never_touched_so_nothing_is_cast_down() {
    for (event_type, steps) in STEPS {
        let version = (steps.len() + 1).to_string();
        let strange = json!({"type": event_type, "at": 1, "anything": {"else": null}});
        assert_eq!(upcast(event_type, &version, strange.clone()).unwrap(), strange);
        let text = format!(" {strange} ");
        assert!(matches!(upcast_text(event_type, &version, &text), Ok(Cow::Borrowed(same)) if same == text));
    }
}

#[test]
fn text_and_value_come_to_the_same() {
    let old =
        json!({"type": "SessionSwitched", "user_id": "ada", "generation": 2, "at": "2026-11-20T12:00:00Z"});
    let text = old.to_string();
    let upcast_text = upcast_text("SessionSwitched", "1", &text).unwrap();
    let upcast = upcast("SessionSwitched", "1", old).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&upcast_text).unwrap(), upcast);
    assert_eq!(upcast["switched_at"], "2026-11-20T12:00:00Z");
    assert_eq!(upcast.get("at"), None);
}

#[test]
fn what_is_no_event_is_left_to_the_decoder() {
    for text in ["", "{", "[1]", "null", "\"text\""] {
        let left = upcast_text("SessionSwitched", "1", text).unwrap();
        assert_eq!(left, text);
    }
    let nothing = upcast("SessionSwitched", "1", json!({})).unwrap();
    assert_eq!(nothing, json!({}), "no field is made up");
}

// What is sealed is bound to its old place by the text itself, and only carried along.
#[test]
fn a_sealed_text_is_carried_as_it_is() {
    let sealed = "sealed:AAAAAAAAAAAAAAAAAAAAAA:3:n:AAAA";
    assert_eq!(through(CHAIN, "1", json!({"n": sealed}))["name"], sealed);
}
