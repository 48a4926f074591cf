//! `Query<T>`: the parameters of a read; unknown, repeated and unreadable ones are all refused at once.
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_path_to_error::Segment;

use super::fields::{Pointer, rule_error, rule_path};
use super::flaw::Flaw;
use super::lenient_param::{Param, is_clean};
use super::problem::{FieldError, Problem};

const MOST_PARAMETERS: usize = 32;

/// `T` is written like a body: `deny_unknown_fields`, `Option` fields, garde rules. Pointers read `?limit`.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Self).map_err(Problem::invalid)
    }
}

/// For routes without parameters: one that is sent is refused, so that none is silently ignored.
#[derive(Debug, Clone, Copy)]
pub struct NoQuery;

#[derive(serde::Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Nothing {} = read(parts.uri.query().unwrap_or_default()).map_err(Problem::invalid)?;
        Ok(Self)
    }
}

fn read<T>(query: &str) -> Result<T, Vec<FieldError>>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let (mut params, mut errors) = split(query);
    loop {
        let pairs = params.iter().map(|(name, value)| (name.as_str(), Param(value)));
        let error = match serde_path_to_error::deserialize(MapDeserializer::<_, Flaw>::new(pairs)) {
            Ok(value) => return judge(value, errors),
            Err(error) => error,
        };
        let name = match (error.path().iter().next(), error.inner()) {
            (Some(Segment::Map { key }), _) => key.clone(),
            (_, Flaw::MissingField(name)) => (*name).to_owned(),
            _ => String::new(),
        };
        note(&mut errors, error.into_inner().into_error(format!("?{name}")));
        let before = params.len();
        params.retain(|(known, _)| *known != name);
        if params.len() == before {
            return Err(errors);
        }
    }
}

/// The parameters that can be read, each once, and an error for each that cannot.
fn split(query: &str) -> (Vec<(String, String)>, Vec<FieldError>) {
    let (mut params, mut errors) = (Vec::<(String, String)>::new(), Vec::new());
    for (count, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        let pointer = format!("?{}", name.chars().take(100).collect::<String>());
        if count >= MOST_PARAMETERS {
            note(&mut errors, FieldError::new("?", "invalid", "too many parameters"));
            break;
        } else if params.iter().any(|(known, _)| *known == name) {
            note(&mut errors, FieldError::new(pointer, "duplicate", "this parameter is given twice"));
        } else if !is_clean(&name) || !is_clean(&value) {
            note(&mut errors, FieldError::new(pointer, "invalid", "not UTF-8, or holds U+0000"));
        } else {
            params.push((name.into_owned(), value.into_owned()));
        }
    }
    (params, errors)
}

fn judge<T: Validate<Context = ()>>(value: T, mut errors: Vec<FieldError>) -> Result<T, Vec<FieldError>> {
    if let Err(report) = value.validate() {
        for (path, error) in report.iter() {
            let name = Pointer(rule_path(path)).to_string();
            note(&mut errors, rule_error(format!("?{}", name.trim_start_matches('/')), error.message()));
        }
    }
    if errors.is_empty() { Ok(value) } else { Err(errors) }
}

fn note(errors: &mut Vec<FieldError>, error: FieldError) {
    if errors.iter().all(|known| known.pointer != error.pointer) {
        errors.push(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize, Validate)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    struct List {
        #[garde(range(min = 1, max = 500))]
        limit: Option<u32>,
        #[garde(skip)]
        status: Option<Status>,
        #[garde(skip)]
        actor: Option<uuid::Uuid>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Status {
        Pending,
        Accepted,
    }

    fn errors(query: &str) -> Vec<(String, String)> {
        read::<List>(query).unwrap_err().into_iter().map(|e| (e.pointer, e.code)).collect()
    }

    fn pair(pointer: &str, code: &str) -> (String, String) {
        (pointer.to_owned(), code.to_owned())
    }

    #[test]
    fn good_parameters_are_read() {
        let list: List = read("limit=7&status=pending").unwrap();
        assert_eq!((list.limit, list.status, list.actor), (Some(7), Some(Status::Pending), None));
        assert!(read::<List>("").is_ok());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_eq!(
            errors("limit=x&status=lost&actor=7&nmae=1&nmae=2"),
            [
                pair("?nmae", "duplicate"),
                pair("?limit", "wrong_type"),
                pair("?status", "unknown_value"),
                pair("?actor", "invalid")
            ]
        );
        assert_eq!(errors("limit=501&x=1"), [pair("?x", "unknown_field"), pair("?limit", "invalid")]);
        assert_eq!(errors("limit=1&limit=1"), [pair("?limit", "duplicate")]);
        assert_eq!(errors("limit=%00&actor=%ff"), [pair("?limit", "invalid"), pair("?actor", "invalid")]);
    }
}
