//! Bytes → JSON value, refusing what `serde_json` alone lets pass: duplicate names, deep nesting, `\u0000`.
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fields::{Pointer, Step};
use super::flaw::cut;
use super::problem::FieldError;

const DEEPEST: usize = 32;
const MOST_NULS: usize = 32;

/// Not JSON as this service reads it; `pointer` is how far reading got.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

/// The document, with an error for each string in it that holds U+0000: well-formed, but never stored.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Value, Vec<FieldError>), Malformed> {
    let mut place = Place::default();
    let text = std::str::from_utf8(bytes).map_err(|_| place.malformed("the body is not UTF-8"))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node(&mut place).deserialize(&mut deserializer).and_then(|value| {
        place.path.0.clear();
        deserializer.end().map(|()| value)
    });
    value.map(|value| (value, std::mem::take(&mut place.nuls))).map_err(|error| {
        let detail =
            place.refusal.map_or_else(|| format!("not JSON: {}", cut(&error.to_string())), str::to_owned);
        place.malformed(&detail)
    })
}

#[derive(Default)]
struct Place {
    path: Pointer,
    nuls: Vec<FieldError>,
    refusal: Option<&'static str>,
}

impl Place {
    fn malformed(&self, detail: &str) -> Malformed {
        Malformed { pointer: self.path.to_string(), detail: detail.to_owned() }
    }

    fn refuse<E: serde::de::Error>(&mut self, why: &'static str) -> E {
        self.refusal = Some(why);
        E::custom(why)
    }

    fn note_nul(&mut self, text: &str) {
        if text.contains('\0') && self.nuls.len() < MOST_NULS {
            let error = FieldError::new(self.path.to_string(), "invalid", "U+0000 is not allowed");
            self.nuls.push(error);
        }
    }
}

/// Reads one value at `path`. On an error the path stays where it is: that is where the fault lies.
struct Node<'p>(&'p mut Place);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        Number::from_f64(n).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        self.0.note_nul(text);
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let place = self.0;
        if place.path.0.len() >= DEEPEST {
            return Err(place.refuse("nested too deeply (at most 32 levels)"));
        }
        let mut array = Vec::new();
        loop {
            place.path.0.push(Step::Index(array.len()));
            let Some(item) = items.next_element_seed(Node(place))? else { break };
            place.path.0.pop();
            array.push(item);
        }
        place.path.0.pop();
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let place = self.0;
        if place.path.0.len() >= DEEPEST {
            return Err(place.refuse("nested too deeply (at most 32 levels)"));
        }
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            place.path.0.push(Step::Name(name.clone()));
            place.note_nul(&name);
            if object.contains_key(&name) {
                return Err(place.refuse("this name occurs twice in its object"));
            }
            object.insert(name, members.next_value_seed(Node(place))?);
            place.path.0.pop();
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(json: &str) -> String {
        parse(json.as_bytes()).unwrap_err().pointer
    }

    #[test]
    fn the_fault_is_pointed_at() {
        assert_eq!(pointer(r#"{"a":{"b":1,"b":2}}"#), "/a/b");
        assert_eq!(pointer(r#"{"a":[1,{"x/y~":1e400}]}"#), "/a/1/x~1y~0");
        assert_eq!(pointer(r#"{"a":"\ud800"}"#), "/a");
        assert_eq!(pointer(r#"{"a":1} x"#), "");
        assert_eq!(pointer(r#"{"a":{"\udc00":1}}"#), "/a");
    }

    #[test]
    fn thirty_two_levels_are_read_and_one_more_is_not() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(32).as_bytes()).is_ok());
        assert!(parse(nested(33).as_bytes()).is_err());
        assert!(parse("[".repeat(10_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn nul_is_noted_in_values_and_names_and_reading_goes_on() {
        let (_, nuls) = parse(br#"{"a":"x\u0000","b":["\u0000"],"c\u0000":1}"#).unwrap();
        let pointers: Vec<_> = nuls.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/a", "/b/0", "/c\0"]);
    }
}
