//! A payload of which only what is sealed is looked into: opened, that is put in its place, and all else stays as it is
//! written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::open::{Keys, open_value};
use super::payload::keys_of_value;
use super::sealed::Place;

#[derive(Debug)]
pub(super) struct Spliced<'a> {
    payload: &'a str,
    /// In the order of the payload.
    sealed: Vec<Field<'a>>,
}

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    /// Where in the payload its value is written.
    written: Range<usize>,
    value: Value,
}

impl<'a> Spliced<'a> {
    /// `sealed` names the fields that are, with commas between them. None if the payload is no object.
    pub(super) fn read(payload: &'a str, sealed: &str) -> Option<Self> {
        let written = Named(sealed).deserialize(&mut serde_json::Deserializer::from_str(payload)).ok()?;
        let field = |(name, written): (Cow<'a, str>, &'a RawValue)| {
            let start = written.get().as_ptr().addr() - payload.as_ptr().addr();
            let value = serde_json::from_str(written.get()).ok()?;
            Some(Field { name, written: start..start + written.get().len(), value })
        };
        let sealed = written.into_iter().map(field).collect::<Option<_>>()?;
        Some(Self { payload, sealed })
    }

    /// Adds the ids of the keys it was sealed with.
    pub(super) fn keys(&mut self, ids: &mut Vec<Uuid>) {
        for field in &mut self.sealed {
            keys_of_value(&mut field.value, ids);
        }
    }

    /// The payload, opened; else which text is not what was sealed for its place.
    pub(super) fn open(self, keys: &Keys, place: Place<'_>) -> Result<String, String> {
        let (mut opened, mut done) = (String::with_capacity(self.payload.len()), 0);
        for mut field in self.sealed {
            open_value(keys, place, &field.name, &mut field.value)?;
            opened.push_str(&self.payload[done..field.written.start]);
            opened.push_str(&field.value.to_string());
            done = field.written.end;
        }
        opened.push_str(&self.payload[done..]);
        Ok(opened)
    }
}

/// Reads the values of the fields of these names, with commas between them, as they are written.
struct Named<'n>(&'n str);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            if self.0.split(',').any(|sealed| sealed == name) {
                found.push((name, members.next_value()?));
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::super::payload::seal;
    use super::super::{DataKey, Found};
    use super::*;

    const PLACE: Place<'static> = Place {
        workspace: Uuid::from_u128(1),
        aggregate_type: "Workspace",
        aggregate_id: "w",
        sequence: 3,
        field: "",
    };

    fn key() -> DataKey {
        DataKey { id: Uuid::from_u128(7), secret: [7; 32] }
    }

    #[test]
    fn what_is_sealed_is_opened_and_all_else_stays_as_it_is_written() {
        let clear = json!({
            "type": "WorkspaceCreated", "name": "A \"b\"\n ü", "note": "sealed:no", "kind": "team",
            "social": {"x": "@acme", "more": ["1", null, 2]}, "slug": null, "at": 1.50
        });
        let mut sealed = clear.clone();
        let fields = seal(&key(), PLACE, &mut sealed, &["social", "name", "slug"]).join(",");
        // As nobody writes it here: what is not sealed keeps its spelling.
        let text = sealed.to_string().replace("\"kind\":\"team\"", " \"kind\" : \"te\\u0061m\"");
        let mut spliced = Spliced::read(&text, &fields).unwrap();
        let mut ids = Vec::new();
        spliced.keys(&mut ids);
        assert_eq!(ids, [key().id; 3]);
        let opened = spliced.open(&HashMap::from([(key().id, Found::Key(key()))]), PLACE).unwrap();
        assert!(opened.contains(" \"kind\" : \"te\\u0061m\""), "{opened}");
        assert_eq!(serde_json::from_str::<Value>(&opened).unwrap(), clear);
    }

    #[test]
    fn what_was_sealed_for_another_place_is_named_and_what_is_forgotten_says_so() {
        let mut sealed = json!({"name": "Acme", "website": "x"});
        let fields = seal(&key(), PLACE, &mut sealed, &["name", "website"]).join(",");
        let text = sealed.to_string();
        let elsewhere = Place { sequence: 4, ..PLACE };
        let open = |keys: &Keys, place| Spliced::read(&text, &fields).unwrap().open(keys, place);
        let there = HashMap::from([(key().id, Found::Key(key()))]);
        assert_eq!(open(&there, elsewhere), Err("name is not what was sealed for this place".to_owned()));
        let forgotten = HashMap::from([(key().id, Found::Destroyed)]);
        assert_eq!(open(&forgotten, PLACE).unwrap(), r#"{"name":"[erased]","website":"[erased]"}"#);
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for text in ["", "[]", "1", "{", r#"{"name":"#] {
            assert!(Spliced::read(text, "name").is_none(), "{text}");
        }
    }
}
