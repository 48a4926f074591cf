//! JSON value → request struct, with every error at once instead of serde's first.
//!
//! Serde stops at a fault. So the faulty member is noted, taken out, and reading starts again, until it
//! succeeds or nothing more can be taken out. Then the struct's own rules (garde) speak about what is left.
use std::fmt::{self, Display, Write as _};

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::flaw::Flaw;
use super::problem::FieldError;
use super::strict_value::Strict;

const MOST_ERRORS: usize = 100;

/// Each fault costs another reading of the document. This bounds, in bytes read, what one bad request can
/// make us do: a body of usual size gets all its errors listed, one of a mebibyte at least the first few.
const MOST_WORK: usize = 4 << 20;
const FEWEST_READINGS: usize = 4;

/// An RFC 6901 JSON pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pointer(pub(crate) Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

impl Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            f.write_char('/')?;
            match step {
                Step::Index(index) => write!(f, "{index}")?,
                Step::Name(name) => f.write_str(&name.replace('~', "~0").replace('/', "~1"))?,
            }
        }
        Ok(())
    }
}

/// `size` is the length of the document as it was sent, `known` what is already wrong with it.
pub(crate) fn read<T>(mut document: Value, size: usize, known: Vec<FieldError>) -> Result<T, Vec<FieldError>>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let mut findings = Findings { errors: known, removed: Vec::new() };
    let mut readings = (MOST_WORK / size.max(1)).clamp(FEWEST_READINGS, MOST_ERRORS);
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(Strict(&document)) {
            Ok(value) => return findings.judge(value),
            Err(error) => error,
        };
        let place = locate(&document, error.path());
        findings.note_flaw(&place, error.into_inner());
        readings -= 1;
        if readings == 0 || !remove(&mut document, &place) {
            return Err(findings.errors);
        }
    }
}

/// The error of one garde rule. A message `code: detail` names its own code.
pub(crate) fn rule_error(pointer: String, message: &str) -> FieldError {
    let is_code = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match message.split_once(": ") {
        Some((code, detail)) if is_code(code) => FieldError::new(pointer, code, detail),
        // garde's own words for `required`.
        _ if message == "not set" => FieldError::new(pointer, "required", "this field is required"),
        _ => FieldError::new(pointer, "invalid", message),
    }
}

pub(crate) fn rule_path(path: &garde::Path) -> Vec<Step> {
    use garde::error::Kind;
    // `__iter` is hidden but the only view that keeps keys and indices apart (Display cannot tell a key
    // "a.b" from two keys); it starts at the leaf. A test pins what we rely on.
    let mut steps: Vec<Step> = path
        .__iter()
        .filter_map(|(kind, text)| match kind {
            Kind::None => None,
            Kind::Index => text.parse().ok().map(Step::Index),
            Kind::Key => Some(Step::Name(text.strip_prefix("r#").unwrap_or(text).to_owned())),
        })
        .collect();
    steps.reverse();
    steps
}

struct Findings {
    errors: Vec<FieldError>,
    /// What was taken out, by its place in the document as it was sent.
    removed: Vec<Pointer>,
}

impl Findings {
    fn note_flaw(&mut self, place: &[Step], flaw: Flaw) {
        let pointer = self.as_sent(place);
        let mut faulty = pointer.clone();
        if let Flaw::MissingField(name) = flaw {
            faulty.0.push(Step::Name(name.to_owned()));
        }
        // What was taken out inside of it may be the only reason for this flaw.
        if !self.removed.iter().any(|r| r.0.starts_with(&faulty.0)) {
            self.note(flaw.into_error(faulty.to_string()));
        }
        self.removed.push(pointer);
    }

    /// One error per place: the first said what is wrong, later ones are mostly its consequences.
    fn note(&mut self, error: FieldError) {
        if self.errors.iter().all(|known| known.pointer != error.pointer) {
            self.errors.push(error);
        }
    }

    fn judge<T: Validate<Context = ()>>(mut self, value: T) -> Result<T, Vec<FieldError>> {
        if let Err(report) = value.validate() {
            for (path, error) in report.iter() {
                let pointer = self.as_sent(&rule_path(path));
                // A rule about a place where something was taken out judges our document, not the caller's.
                let disturbed = |r: &Pointer| r.0.starts_with(&pointer.0) || pointer.0.starts_with(&r.0);
                if !self.removed.iter().any(disturbed) {
                    self.note(rule_error(pointer.to_string(), error.message()));
                }
            }
        }
        self.errors.truncate(MOST_ERRORS);
        if self.errors.is_empty() { Ok(value) } else { Err(self.errors) }
    }

    /// Undoes the shift of array indices that taking elements out has caused.
    fn as_sent(&self, place: &[Step]) -> Pointer {
        let mut pointer = Pointer::default();
        for step in place {
            let step = match step {
                Step::Index(index) => Step::Index(self.index_as_sent(&pointer, *index)),
                Step::Name(_) => step.clone(),
            };
            pointer.0.push(step);
        }
        pointer
    }

    fn index_as_sent(&self, array: &Pointer, index: usize) -> usize {
        let mut gone: Vec<usize> = self
            .removed
            .iter()
            .filter_map(|r| match r.0.split_last() {
                Some((Step::Index(index), parent)) if parent == array.0 => Some(*index),
                _ => None,
            })
            .collect();
        gone.sort_unstable();
        gone.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
    }
}

/// As much of serde's path as exists in the document; a variant's name is a step only where it is a key.
fn locate(document: &Value, path: &Path) -> Vec<Step> {
    let mut place = Vec::new();
    let mut at = document;
    for segment in path {
        let (step, inner) = match segment {
            Segment::Seq { index } => (Step::Index(*index), at.get(*index)),
            Segment::Map { key } | Segment::Enum { variant: key } => (Step::Name(key.clone()), at.get(key)),
            Segment::Unknown => break,
        };
        if let Some(inner) = inner {
            place.push(step);
            at = inner;
        }
    }
    place
}

fn remove(document: &mut Value, place: &[Step]) -> bool {
    let Some((last, parents)) = place.split_last() else { return false };
    let parent = parents.iter().try_fold(document, |at, step| match step {
        Step::Name(name) => at.get_mut(name),
        Step::Index(index) => at.get_mut(index),
    });
    match (parent, last) {
        (Some(Value::Object(members)), Step::Name(name)) => members.remove(name).is_some(),
        (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}
