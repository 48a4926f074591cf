//! Why serde refused a value, kept apart by kind. `serde_json::Error` has only a text, and that text quotes
//! the input; this one says what was expected and repeats nothing but field names.
use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::problem::FieldError;

const LONGEST_DETAIL: usize = 200;

#[derive(Debug)]
pub(crate) enum Flaw {
    UnknownField,
    /// Reported at the struct that lacks it.
    MissingField(&'static str),
    Other {
        code: &'static str,
        detail: String,
    },
}

impl Flaw {
    pub(crate) fn wrong_type(found: Unexpected, expected: &dyn Display) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) | Unexpected::Char(_) => "a string",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "an array",
            Unexpected::Map => "an object",
            _ => "something else",
        };
        Self::Other {
            code: "wrong_type",
            detail: cut(&format!("expected {}, found {found}", plain(expected))),
        }
    }

    pub(crate) fn into_error(self, pointer: String) -> FieldError {
        let (code, detail) = match self {
            Self::UnknownField => ("unknown_field", "there is no such field".to_owned()),
            Self::MissingField(_) => ("required", "this field is required".to_owned()),
            Self::Other { code, detail } => (code, detail),
        };
        FieldError::new(pointer, code, detail)
    }
}

impl de::Error for Flaw {
    fn custom<T: Display>(message: T) -> Self {
        Self::Other { code: "invalid", detail: cut(&message.to_string()) }
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::wrong_type(found, &expected)
    }

    fn invalid_value(_: Unexpected, expected: &dyn Expected) -> Self {
        Self::Other { code: "invalid", detail: cut(&format!("expected {}", plain(&expected))) }
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::Other { code: "invalid", detail: cut(&format!("expected {expected}, found {length} items")) }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Other { code: "unknown_value", detail: one_of(expected) }
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownField
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField => f.write_str("unknown field"),
            Self::MissingField(name) => write!(f, "missing field {name}"),
            Self::Other { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Flaw {}

pub(crate) fn one_of(choices: &[&str]) -> String {
    cut(&format!("expected one of: {}", choices.join(", ")))
}

/// Serde says what it expected in Rust's words; callers read JSON's.
fn plain(expected: &dyn Display) -> String {
    let words = expected.to_string();
    let plain = match words.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative, within range",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number within range",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        rust if rust.starts_with("struct ") => "an object",
        _ => return words,
    };
    plain.to_owned()
}

/// A custom `Deserialize` may quote its input, and the input may be a mebibyte.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_DETAIL).collect()
}
