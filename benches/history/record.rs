//! A command's events as rows of the log: numbered, sealed and told of as the product does it.

use std::collections::HashMap;

use chrono::{DurationRound, TimeDelta};
use cqrs_es::DomainEvent;
use serde::Serialize;
use tenure::data_keys::{DataKey, Owner, Place, Vault, origin, seal};
use tenure::store::Origin;
use tenure::store::origin::{Actor, OPERATOR, Sealed};
use tenure_aggregates::event::EventName;
use tenure_aggregates::personal;
use tenure_aggregates::values::Email;
use tenure_aggregates::{InvitationId, Time, UserId, WorkspaceId};
use uuid::Uuid;

use super::copy::Sender;

/// How long ago the first event was recorded.
const SPAN: TimeDelta = TimeDelta::days(200);
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Where the log ends.
pub(super) struct End {
    pub position: i64,
    pub recorded_at: Time,
}

/// Writes the log down.
pub(super) struct Recorder<'a> {
    vault: &'a Vault,
    rows: Sender,
    began: Time,
    /// Between two events.
    step_ns: i64,
    end: End,
    heads: HashMap<Uuid, Head>,
    request: u64,
}

#[derive(Default, Clone, Copy)]
struct Head {
    seq: i64,
    seats: i32,
}

/// Somebody who acts, and what their requests' origins are sealed with.
#[derive(Clone)]
pub(super) struct Person {
    pub id: UserId,
    pub number: u64,
    pub key: DataKey,
}

/// One command: all its events bear one instant and one origin.
pub(super) struct Command<'r, 'a> {
    recorder: &'r mut Recorder<'a>,
    name: &'static str,
    origin: Origin,
    origin_key: DataKey,
    pub now: Time,
}

/// The stream an event belongs to, and its place there.
pub(super) struct At<'a> {
    pub workspace: WorkspaceId,
    pub id: &'a str,
    pub sequence: i64,
    /// What its personal data is sealed with.
    pub key: &'a DataKey,
}

impl<'a> Recorder<'a> {
    /// For about so many events, the last of them recorded just now.
    pub fn new(vault: &'a Vault, rows: Sender, events: u64) -> Self {
        let now = tenure::clock::now();
        let began = (now - SPAN).duration_trunc(TimeDelta::seconds(1)).expect("a time");
        // A little slack: the number is not exact.
        let step_ns = SPAN.num_nanoseconds().expect("a number") / (events + events / 8 + 1).cast_signed();
        let end = End { position: 0, recorded_at: began };
        Self { vault, rows, began, step_ns, end, heads: HashMap::new(), request: 0 }
    }

    pub fn position(&self) -> i64 {
        self.end.position
    }

    /// The key of a workspace, or of an invitation, stored from now on.
    pub fn new_key(&mut self, owner: Owner, email: Option<&Email>) -> DataKey {
        let new = self.vault.new_key(owner, email.map(|email| self.vault.address_hash(email)));
        let rows = &mut self.rows.data_keys;
        rows.row(7);
        rows.uuid(new.key.id);
        rows.uuid(owner.workspace().0);
        match owner {
            Owner::Workspace(_) => rows.null(),
            Owner::Invitation(_, InvitationId(id)) => rows.uuid(id),
        }
        match &new.address_hash {
            Some(hash) => rows.bytes(hash),
            None => rows.null(),
        }
        rows.bytes(&new.wrapped.wrapped);
        rows.bytes(&new.wrapped.wrapped_by);
        rows.time(self.end.recorded_at);
        new.key
    }

    /// A command of somebody's.
    pub fn by(&mut self, person: &Person, name: &'static str) -> Command<'_, 'a> {
        let origin = Origin {
            actor: Some(Actor::User(person.id.clone())),
            via: Some(OPERATOR.to_owned()),
            ip: Some(format!("203.0.{}.{}", person.number % 64, person.number % 251)),
            user_agent: Some(USER_AGENT.to_owned()),
            ..Origin::default()
        };
        self.command(name, origin, person.key.clone())
    }

    /// A command of the service itself; the key is that of the workspace it acts in.
    pub fn by_service(&mut self, key: DataKey, name: &'static str) -> Command<'_, 'a> {
        let ip = Some("198.51.100.7".to_owned());
        self.command(name, Origin { actor: Some(Actor::Service), ip, ..Origin::default() }, key)
    }

    fn command(&mut self, name: &'static str, origin: Origin, origin_key: DataKey) -> Command<'_, 'a> {
        let micros = (self.end.position * self.step_ns) / 1_000;
        let now = self.began + TimeDelta::microseconds(micros);
        self.end.recorded_at = now;
        self.request += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.request.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        let millis = u64::try_from(now.timestamp_millis()).expect("after 1970");
        let request = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let origin = Origin { request_id: Some(request.to_string()), ..origin };
        Command { recorder: self, name, origin, origin_key, now }
    }

    /// All is told.
    pub fn close(mut self) -> End {
        for (workspace, head) in std::mem::take(&mut self.heads) {
            let rows = &mut self.rows.workspace_heads;
            rows.row(4);
            rows.uuid(workspace);
            rows.big(head.seq);
            rows.int(head.seats);
            rows.int(0);
        }
        let Sender { events, data_keys, workspace_heads } = self.rows;
        for rows in [events, data_keys, workspace_heads] {
            rows.end();
        }
        self.end
    }
}

impl Command<'_, '_> {
    /// The hash that stands for a slug.
    pub fn slug_hash(&self, slug: &tenure_aggregates::values::Slug) -> String {
        self.recorder.vault.slug_hash(slug)
    }

    pub fn seats(&mut self, workspace: WorkspaceId, more: i32) {
        self.recorder.heads.entry(workspace.0).or_default().seats += more;
    }

    pub fn event<E>(&mut self, aggregate_type: &'static str, at: &At<'_>, event: &E)
    where
        E: EventName + DomainEvent + Serialize,
    {
        let place = Place {
            workspace: at.workspace.0,
            aggregate_type,
            aggregate_id: at.id,
            sequence: at.sequence,
            field: "",
        };
        let (payload, fields) = sealed(event, place, at.key);
        let (ip, agent) = (self.origin.ip.as_deref(), self.origin.user_agent.as_deref());
        let sealed = Sealed { fields, origin: origin(&self.origin_key, place, ip, agent) };
        let metadata = self.origin.metadata(at.workspace, self.name, &sealed).expect("JSON");
        let head = self.recorder.heads.entry(at.workspace.0).or_default();
        head.seq += 1;
        self.recorder.end.position += 1;
        let rows = &mut self.recorder.rows.events;
        rows.row(11);
        rows.big(self.recorder.end.position);
        rows.uuid(at.workspace.0);
        rows.big(head.seq);
        rows.text(aggregate_type);
        rows.text(at.id);
        rows.big(at.sequence);
        rows.text(event.name());
        rows.text(&event.event_version());
        rows.text(&payload);
        rows.text(&metadata);
        rows.time(self.now);
    }
}

/// The event as it is stored, and which of its fields are sealed.
fn sealed<E: EventName + Serialize>(event: &E, place: Place<'_>, key: &DataKey) -> (String, Option<String>) {
    let Some(personal) = personal::of(event.name()) else {
        return (serde_json::to_string(event).expect("JSON"), None);
    };
    let mut payload = serde_json::to_value(event).expect("JSON");
    let fields = seal(key, place, &mut payload, personal.fields);
    (payload.to_string(), (!fields.is_empty()).then(|| fields.join(",")))
}
