//! The sealed fields of one event, and the sealed origin beside it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_aggregates::personal::ERASED;
use uuid::Uuid;

use super::DataKey;
use super::sealed::{self, Place};

/// The field that the sealed origin counts as.
pub(super) const ORIGIN: &str = "origin";

/// From where a request came, as it is sealed beside an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOrigin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Seals every text in these fields of an event; returns which of them the event has.
pub fn seal(
    key: &DataKey,
    place: Place<'_>,
    payload: &mut Value,
    fields: &[&'static str],
) -> Vec<&'static str> {
    let Some(object) = payload.as_object_mut() else { return vec![] };
    let mut sealed = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(value) = object.get_mut(*field).filter(|value| !value.is_null()) else { continue };
        texts(value, &mut (*field).to_owned(), &mut |path, text| {
            *text = sealed::seal(key, Place { field: path, ..place }, text);
        });
        sealed.push(*field);
    }
    sealed
}

/// The sealed origin of a request; nothing if nothing is known of it.
pub fn origin(key: &DataKey, place: Place<'_>, ip: Option<&str>, user_agent: Option<&str>) -> Option<String> {
    if ip.is_none() && user_agent.is_none() {
        return None;
    }
    let origin = RequestOrigin { ip: ip.map(str::to_owned), user_agent: user_agent.map(str::to_owned) };
    let text = serde_json::to_string(&origin).ok()?;
    Some(sealed::seal(key, Place { field: ORIGIN, ..place }, &text))
}

/// What an origin says once opened; what is erased says so of both.
pub(super) fn read_origin(text: &str) -> RequestOrigin {
    let erased = || RequestOrigin { ip: Some(ERASED.to_owned()), user_agent: Some(ERASED.to_owned()) };
    serde_json::from_str(text).unwrap_or_else(|_| erased())
}

/// The ids of the keys that these fields need.
pub(super) fn keys_of(payload: &mut Value, fields: &[String], ids: &mut Vec<Uuid>) {
    for field in fields {
        let Some(value) = payload.get_mut(field) else { continue };
        keys_of_value(value, ids);
    }
}

/// The ids of the keys that the texts below a value need.
pub(super) fn keys_of_value(value: &mut Value, ids: &mut Vec<Uuid>) {
    texts(value, &mut String::new(), &mut |_, text| {
        ids.extend(sealed::parts(text).map(|parts| parts.key_id));
    });
}

/// Every text below a value, with its path.
pub(super) fn texts(value: &mut Value, path: &mut String, each: &mut impl FnMut(&str, &mut String)) {
    let below = path.len();
    match value {
        Value::String(text) => each(path, text),
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                push(path, &at.to_string());
                texts(item, path, each);
                path.truncate(below);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                push(path, name);
                texts(member, path, each);
                path.truncate(below);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_in_a_field_is_sealed_and_nothing_else() {
        let key = DataKey { id: Uuid::from_u128(1), secret: [1; 32] };
        let place = Place {
            workspace: Uuid::from_u128(2),
            aggregate_type: "Workspace",
            aggregate_id: "w",
            sequence: 1,
            field: "",
        };
        let mut payload = json!({
            "type": "WorkspaceCreated", "name": "Acme", "description": null, "owner_id": "ada",
            "social": {"x": "@acme"}, "networks": ["10.0.0.0/8"], "seats_limit": 3
        });
        let fields = ["name", "description", "social", "networks", "website"];
        let sealed = seal(&key, place, &mut payload, &fields);
        assert_eq!(sealed, ["name", "social", "networks"]);
        let text = payload.to_string();
        assert!(!text.contains("Acme") && !text.contains("@acme") && !text.contains("10.0.0.0"), "{text}");
        assert_eq!(payload["owner_id"], "ada");
        assert_eq!(payload["description"], Value::Null);
        assert!(payload["social"]["x"].as_str().unwrap().contains(":1:social.x:"));
        assert!(payload["networks"][0].as_str().unwrap().contains(":1:networks.0:"));
    }

    #[test]
    fn an_origin_that_says_nothing_is_not_sealed_and_an_erased_one_says_so() {
        let key = DataKey { id: Uuid::from_u128(1), secret: [1; 32] };
        let place = Place {
            workspace: Uuid::from_u128(2),
            aggregate_type: "User",
            aggregate_id: "u",
            sequence: 1,
            field: "",
        };
        assert_eq!(origin(&key, place, None, None), None);
        assert!(origin(&key, place, Some("10.1.2.3"), None).is_some_and(|text| !text.contains("10.1.2.3")));
        assert_eq!(read_origin(ERASED).ip.as_deref(), Some(ERASED));
        assert_eq!(
            read_origin(r#"{"ip":"::1"}"#),
            RequestOrigin { ip: Some("::1".to_owned()), user_agent: None }
        );
    }
}
