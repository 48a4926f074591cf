//! The peer's aggregates, as cqrs-es shows them: as much of a rule as keeps a command from happening twice.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// The command does not fit the state.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(super) struct Refused;

/// Everything that happens, each kind in streams of its own aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Event {
    WorkspaceCreated { name: String, owner: String },
    InvitationSent { workspace: String, email: String, role: String },
    InvitationAccepted { user: String },
    MembershipStarted { workspace: String, user: String, role: String },
    MembershipRoleChanged { role: String },
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::WorkspaceCreated { .. } => "WorkspaceCreated",
            Self::InvitationSent { .. } => "InvitationSent",
            Self::InvitationAccepted { .. } => "InvitationAccepted",
            Self::MembershipStarted { .. } => "MembershipStarted",
            Self::MembershipRoleChanged { .. } => "MembershipRoleChanged",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Workspace {
    exists: bool,
}

impl Workspace {
    /// Whether that may happen now.
    fn allows(&self, event: &Event) -> bool {
        matches!(event, Event::WorkspaceCreated { .. }) && !self.exists
    }

    fn fold(&mut self, _: &Event) {
        self.exists = true;
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Invitation {
    sent: bool,
    accepted: bool,
}

impl Invitation {
    fn allows(&self, event: &Event) -> bool {
        match event {
            Event::InvitationSent { .. } => !self.sent,
            Event::InvitationAccepted { .. } => self.sent && !self.accepted,
            _ => false,
        }
    }

    fn fold(&mut self, event: &Event) {
        self.sent = true;
        self.accepted |= matches!(event, Event::InvitationAccepted { .. });
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Membership {
    role: Option<String>,
}

impl Membership {
    fn allows(&self, event: &Event) -> bool {
        match event {
            Event::MembershipStarted { .. } => self.role.is_none(),
            Event::MembershipRoleChanged { role } => self.role.as_ref().is_some_and(|was| was != role),
            _ => false,
        }
    }

    fn fold(&mut self, event: &Event) {
        if let Event::MembershipStarted { role, .. } | Event::MembershipRoleChanged { role } = event {
            self.role = Some(role.clone());
        }
    }
}

/// A command is the event that is wanted.
macro_rules! aggregate {
    ($state:ident) => {
        impl Aggregate for $state {
            const TYPE: &'static str = stringify!($state);
            type Command = Event;
            type Event = Event;
            type Error = Refused;
            type Services = ();

            async fn handle(
                &mut self,
                wanted: Event,
                (): &(),
                sink: &EventSink<Self>,
            ) -> Result<(), Refused> {
                if !self.allows(&wanted) {
                    return Err(Refused);
                }
                sink.write(wanted, self).await;
                Ok(())
            }

            fn apply(&mut self, event: Event) {
                self.fold(&event);
            }
        }
    };
}

aggregate!(Workspace);
aggregate!(Invitation);
aggregate!(Membership);
