//! The rules, one test per sentence: given what happened, when a command comes, then these events or a refusal.
//!
//! Numbers in comments: `S4.33` is a line of what the sources ask for, `attack 19` what happened to others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod api_key;
mod arbitrary;
mod authority;
mod catalogue;
mod claim;
mod events;
mod grants;
mod invitation;
mod membership;
mod permission;
mod rights;
mod role;
mod session;
mod user;
mod values;
mod webhook_endpoint;
mod workspace;
mod workspace_roles;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use chrono::TimeDelta;
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use tenure_aggregates::catalogue::Entry;
use tenure_aggregates::values::Email;
use tenure_aggregates::{
    ApiKeyId, Catalogue, InvitationId, PermissionName, Refused, Rights, Role, RoleName, SessionId, Time,
    UserId, WebhookEndpointId, WorkspaceId,
};
use uuid::Uuid;

// ---- given, when, then

/// An aggregate, after what happened.
pub(crate) struct Given<A: Aggregate> {
    state: A,
    history: Vec<A::Event>,
}

/// What a command came to.
pub(crate) struct Outcome<A: Aggregate> {
    state: A,
    result: Result<Vec<A::Event>, A::Error>,
}

pub(crate) fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let history = Vec::from_iter(history);
    Given { state: fold(&history), history }
}

/// The state that a history amounts to.
pub(crate) fn fold<A: Aggregate>(history: &[A::Event]) -> A {
    let mut state = A::default();
    for event in history {
        state.apply(event.clone());
    }
    state
}

impl<A> Given<A>
where
    A: Aggregate<Services = (), Error: PartialEq + Refused> + Clone + PartialEq + Debug,
{
    /// Lets cqrs-es handle the command, and holds that the state it leaves is the fold of the history.
    pub(crate) fn when(mut self, command: A::Command) -> Outcome<A> {
        let before = self.state.clone();
        let sink = EventSink::default();
        let handled = ready(self.state.handle(command, &(), &sink));
        let events = ready(sink.collect());
        let result = match handled {
            Ok(()) => {
                self.history.extend(events.clone());
                assert_eq!(self.state, fold(&self.history), "the state is the fold of its events");
                Ok(events)
            }
            Err(refusal) => {
                assert_eq!(events, [], "a refusal leaves no event");
                assert_eq!(self.state, before, "a refusal changes nothing");
                Err(refusal)
            }
        };
        Outcome { state: self.state, result }
    }
}

impl<A> Outcome<A>
where
    A: Aggregate<Error: PartialEq + Refused>,
{
    /// Exactly these events happened; what they left is handed on.
    #[track_caller]
    pub(crate) fn then(self, events: impl IntoIterator<Item = A::Event>) -> A {
        assert_eq!(self.result, Ok(Vec::from_iter(events)));
        self.state
    }

    /// It was so already: no event, and no refusal either.
    #[track_caller]
    pub(crate) fn then_nothing(self) -> A {
        self.then([])
    }

    #[track_caller]
    pub(crate) fn then_refused(self, refusal: A::Error) -> A {
        assert_eq!(self.result, Err(refusal));
        self.state
    }

    /// In a word, for tables: the code of a refusal, `so already`, or the events' names.
    pub(crate) fn word(&self) -> String {
        match &self.result {
            Err(refusal) => refusal.code().to_owned(),
            Ok(events) if events.is_empty() => "so already".to_owned(),
            Ok(events) => events.iter().map(cqrs_es::DomainEvent::event_type).collect::<Vec<_>>().join(" + "),
        }
    }
}

/// Pure aggregates never wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a pure aggregate waits for nothing"),
    }
}

/// Compares a table in a test with what happened, line by line, whatever the blanks between the columns.
#[track_caller]
pub(crate) fn assert_table(expected: &str, lines: impl IntoIterator<Item = Vec<String>>) {
    let words = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ");
    let expected: Vec<String> = expected.trim().lines().map(words).collect();
    let actual: Vec<String> = lines.into_iter().map(|cells| cells.join(" | ")).collect();
    assert_eq!(expected.join("\n"), actual.join("\n"), "\nwhat happened:\n{}\n", actual.join("\n"));
}

// ---- words of the domain

/// A Friday, at twelve: now.
pub(crate) fn noon() -> Time {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub(crate) fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

pub(crate) fn days(n: i64) -> TimeDelta {
    TimeDelta::days(n)
}

/// The least there is of time.
pub(crate) fn an_instant() -> TimeDelta {
    TimeDelta::nanoseconds(1)
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(crate) fn workspace_id(n: u128) -> WorkspaceId {
    WorkspaceId(Uuid::from_u128(n))
}

pub(crate) fn invitation_id(n: u128) -> InvitationId {
    InvitationId(Uuid::from_u128(n))
}

pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

pub(crate) fn api_key_id(n: u128) -> ApiKeyId {
    ApiKeyId(Uuid::from_u128(n))
}

pub(crate) fn endpoint_id(n: u128) -> WebhookEndpointId {
    WebhookEndpointId(Uuid::from_u128(n))
}

pub(crate) fn permission(name: &str) -> PermissionName {
    PermissionName::parse(name).unwrap()
}

pub(crate) fn permissions<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<PermissionName> {
    names.into_iter().map(permission).collect()
}

pub(crate) fn rights<'a>(names: impl IntoIterator<Item = &'a str>) -> Rights {
    Rights::of_names(&permissions(names))
}

pub(crate) fn role_name(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

/// A role of a workspace's own.
pub(crate) fn custom(name: &str) -> Role {
    Role::Custom(role_name(name))
}

/// A catalogue with these permissions of products, each with the roles it is granted to.
pub(crate) fn registered<const N: usize>(permissions: [(&str, &[Role]); N]) -> Catalogue {
    Catalogue::from_entries(permissions.map(|(name, roles)| {
        (permission(name), Entry { description: None, granted_to: roles.iter().cloned().collect() })
    }))
}
