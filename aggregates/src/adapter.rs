//! Makes a pure `decide`/`evolve` state a cqrs-es [`Aggregate`](cqrs_es::Aggregate).

use crate::event::EventName;

/// What the store needs to know of an aggregate beyond cqrs-es.
pub trait Stream: cqrs_es::Aggregate<Services = (), Event: EventName> + Clone {
    /// Whether the stream's id is a value shared by all tenants (a claimed slug) and not owned by one workspace.
    const SHARED: bool = false;
}

/// `aggregate!(State, Event, Command, Refusal)`: cqrs-es lets the state decide, and folds with `evolve`.
macro_rules! aggregate {
    ($state:ident, $event:ty, $command:ty, $refusal:ty $(, $shared:literal)?) => {
        impl cqrs_es::Aggregate for $state {
            const TYPE: &'static str = stringify!($state);
            type Command = $command;
            type Event = $event;
            type Error = $refusal;
            type Services = ();

            async fn handle(
                &mut self,
                command: $command,
                (): &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), $refusal> {
                for event in self.decide(command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: $event) {
                *self = std::mem::take(self).evolve(event);
            }
        }

        impl crate::adapter::Stream for $state {
            $(const SHARED: bool = $shared;)?
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                crate::event::EventName::name(self).to_owned()
            }

            fn event_version(&self) -> String {
                crate::upcast::current(crate::event::EventName::name(self)).to_string()
            }
        }

        impl crate::event::EventName for $event {
            const NAMES: &'static [&'static str] = <$event as strum::VariantNames>::VARIANTS;

            fn name(&self) -> &'static str {
                self.into()
            }
        }
    };
}
pub(crate) use aggregate;
