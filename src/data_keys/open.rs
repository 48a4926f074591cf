//! Opening many sealed texts with one look at the table. What cannot be opened any more reads `[erased]`.

use std::collections::HashMap;

use cqrs_es::persist::SerializedEvent;
use serde_json::Value;
use tenure_aggregates::personal::ERASED;
use tenure_projections::recorded::{Logged, Opened};
use uuid::Uuid;

use super::payload::{ORIGIN, keys_of, keys_of_value, read_origin, texts};
use super::sealed::{self, Place};
use super::{Found, Vault};
use crate::store::StoreError;

/// The stream that something sealed belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    pub workspace: Uuid,
    pub aggregate_type: &'a str,
    pub aggregate_id: &'a str,
}

/// A value of a read model in which sealed texts may stand.
#[derive(Debug)]
pub struct SealedValue<'a> {
    pub stream: Stream<'a>,
    pub value: &'a mut Value,
}

pub(super) type Keys = HashMap<Uuid, Found>;

/// A row of the log with what is sealed in it still closed.
struct Closed {
    logged: Logged,
    /// Only where the event has sealed fields.
    payload: Option<(Value, Vec<String>)>,
    origin: Option<String>,
}

impl Vault {
    /// Events of the log, opened. One whose JSON cannot be read, or whose sealed fields do not open in their place
    /// though their key is there, comes as it is: decoding it says what is wrong.
    pub async fn open_events(&self, rows: Vec<Logged>) -> Result<Vec<Opened>, StoreError> {
        let mut ids = Vec::new();
        let mut closed: Vec<Closed> = rows.into_iter().map(|logged| look_at(logged, &mut ids)).collect();
        let keys = self.keys_of(ids).await?;
        Ok(closed.drain(..).map(|row| row.open(&keys)).collect())
    }

    /// Opens the events of a stream, as stock postgres-es gives them.
    pub async fn open_stream(&self, events: &mut [SerializedEvent]) -> Result<(), StoreError> {
        let mut ids = Vec::new();
        let marked: Vec<Vec<String>> = events
            .iter_mut()
            .map(|event| {
                let fields = sealed_fields(&event.metadata);
                keys_of(&mut event.payload, &fields, &mut ids);
                fields
            })
            .collect();
        let keys = self.keys_of(ids).await?;
        for (event, fields) in events.iter_mut().zip(&marked) {
            let workspace = event.metadata.get("workspace_id").and_then(Value::as_str);
            let place = Place {
                workspace: workspace.and_then(|id| id.parse().ok()).unwrap_or_default(),
                aggregate_type: &event.aggregate_type,
                aggregate_id: &event.aggregate_id,
                sequence: i64::try_from(event.sequence).unwrap_or(i64::MAX),
                field: "",
            };
            open_fields(&keys, place, &mut event.payload, fields).map_err(|reason| {
                StoreError::Corrupt(format!("{} {}: {reason}", event.aggregate_type, event.aggregate_id))
            })?;
        }
        Ok(())
    }

    /// Opens every sealed text anywhere in these values. A text that only looks sealed stays as it is.
    pub async fn open_values(&self, values: &mut [SealedValue<'_>]) -> Result<(), StoreError> {
        let mut ids = Vec::new();
        for sealed in &mut *values {
            keys_of_value(sealed.value, &mut ids);
        }
        let keys = self.keys_of(ids).await?;
        for sealed in values {
            let stream = sealed.stream;
            texts(sealed.value, &mut String::new(), &mut |_, text| {
                if let Some(opened) = open_anywhere(&keys, stream, text) {
                    *text = opened;
                }
            });
        }
        Ok(())
    }

    /// Opens texts of a read model, each of its own stream.
    pub async fn open_texts(&self, texts: &mut [(Stream<'_>, &mut String)]) -> Result<(), StoreError> {
        let ids =
            texts.iter().filter_map(|(_, text)| sealed::parts(text)).map(|parts| parts.key_id).collect();
        let keys = self.keys_of(ids).await?;
        for (stream, text) in texts {
            if let Some(opened) = open_anywhere(&keys, *stream, text) {
                **text = opened;
            }
        }
        Ok(())
    }

    pub(super) async fn keys_of(&self, mut ids: Vec<Uuid>) -> Result<Keys, StoreError> {
        if ids.is_empty() {
            return Ok(Keys::new());
        }
        ids.sort_unstable();
        ids.dedup();
        self.keys(&ids).await
    }
}

fn look_at(logged: Logged, ids: &mut Vec<Uuid>) -> Closed {
    let (fields, origin) = marks(&logged.metadata);
    ids.extend(origin.as_deref().and_then(sealed::parts).map(|parts| parts.key_id));
    let payload = (!fields.is_empty()).then(|| serde_json::from_str::<Value>(&logged.payload).ok()).flatten();
    let payload = payload.map(|mut payload| {
        keys_of(&mut payload, &fields, ids);
        (payload, fields)
    });
    Closed { logged, payload, origin }
}

/// What an event's metadata say is sealed: fields of the payload, and the origin.
fn marks(metadata: &str) -> (Vec<String>, Option<String>) {
    #[derive(serde::Deserialize)]
    struct Marks {
        #[serde(default)]
        sealed: Option<String>,
        #[serde(default)]
        origin: Option<String>,
    }
    let Ok(marks) = serde_json::from_str::<Marks>(metadata) else { return (vec![], None) };
    let fields = marks.sealed.iter().flat_map(|fields| fields.split(',')).map(str::to_owned).collect();
    (fields, marks.origin)
}

impl Closed {
    fn open(self, keys: &Keys) -> Opened {
        let place = Place {
            workspace: self.logged.workspace_id,
            aggregate_type: &self.logged.aggregate_type,
            aggregate_id: &self.logged.aggregate_id,
            sequence: self.logged.sequence,
            field: "",
        };
        let origin = self.origin.map(|text| {
            let place = Place { field: ORIGIN, ..place };
            read_origin(&in_place(keys, place, &text).unwrap_or_else(|| ERASED.to_owned()))
        });
        let payload = self
            .payload
            .map(|(mut payload, fields)| open_fields(keys, place, &mut payload, &fields).map(|()| payload));
        let (payload, broken) = match payload {
            Some(Ok(payload)) => (Some(payload), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let (ip, user_agent) = origin.map_or((None, None), |origin| (origin.ip, origin.user_agent));
        Opened { payload, broken, ip, user_agent, logged: self.logged }.upcast()
    }
}

/// Opens every text in these fields; says which is not what was sealed for its place.
fn open_fields(keys: &Keys, place: Place<'_>, payload: &mut Value, fields: &[String]) -> Result<(), String> {
    for field in fields {
        let Some(value) = payload.get_mut(field) else { continue };
        open_value(keys, place, field, value)?;
    }
    Ok(())
}

/// Opens every text in the value of a field; says which is not what was sealed for its place.
pub(super) fn open_value(
    keys: &Keys,
    place: Place<'_>,
    field: &str,
    value: &mut Value,
) -> Result<(), String> {
    let mut strange = None;
    texts(value, &mut field.to_owned(), &mut |path, text| match in_place(
        keys,
        Place { field: path, ..place },
        text,
    ) {
        Some(opened) => *text = opened,
        None => strange = Some(format!("{path} is not what was sealed for this place")),
    });
    strange.map_or(Ok(()), Err)
}

/// The fields an event's metadata say are sealed.
fn sealed_fields(metadata: &Value) -> Vec<String> {
    let fields = metadata.get("sealed").and_then(Value::as_str);
    fields.into_iter().flat_map(|fields| fields.split(',')).map(str::to_owned).collect()
}

/// The text sealed for exactly this place; `[erased]` if its key was destroyed.
fn in_place(keys: &Keys, place: Place<'_>, text: &str) -> Option<String> {
    let parts = sealed::parts(text)?;
    match keys.get(&parts.key_id)? {
        Found::Key(key) => sealed::open(key, place, parts),
        Found::Destroyed => Some(ERASED.to_owned()),
        Found::Unusable => None,
    }
}

/// The text sealed for some event of this stream.
fn open_anywhere(keys: &Keys, stream: Stream<'_>, text: &str) -> Option<String> {
    let parts = sealed::parts(text)?;
    let place = Place {
        workspace: stream.workspace,
        aggregate_type: stream.aggregate_type,
        aggregate_id: stream.aggregate_id,
        sequence: parts.sequence,
        field: parts.field,
    };
    in_place(keys, place, text)
}
