//! Commands drawn at random on where events are delivered.

use std::collections::BTreeSet;

use chrono::Duration;
use tenure_aggregates::webhook_endpoint::{Disabling, WebhookEndpointCommand as HC};
use tenure_aggregates::{UserId, WebhookEndpointId, WorkspaceId};

use super::super::history::History;

const PATTERNS: [&str; 4] = ["*", "membership.*", "invitation.sent", "workspace.*"];

impl History {
    pub fn something_with_webhook_endpoint(&mut self, workspace: WorkspaceId, user: &UserId) {
        let now = self.now;
        let here: Vec<WebhookEndpointId> =
            self.webhook_endpoints.keys().filter(|key| key.0 == workspace).map(|key| key.1).collect();
        let (url, number) = (format!("https://hooks.example.com/{}", self.below(9)), self.below(1000));
        let events: Vec<String> =
            PATTERNS.into_iter().filter(|_| self.below(2) == 0).map(str::to_owned).collect();
        let description = number.is_multiple_of(2).then(|| format!("Hook {number}"));
        let Some(id) = self.pick(&here).filter(|_| self.below(3) > 0) else {
            let (endpoint_id, enabled) = (WebhookEndpointId(self.uuid()), self.below(4) > 0);
            let created_by = (self.below(3) > 0).then(|| user.clone());
            let create = HC::Create { endpoint_id, url, events, description, enabled, created_by, now };
            return self.webhook_endpoint(workspace, endpoint_id, create);
        };
        let command = match self.below(14) {
            0..=1 => HC::Change { url: Some(url), events: None, description: None, enabled: None },
            2..=3 => {
                HC::Change { url: None, events: Some(events), description: Some(description), enabled: None }
            }
            4 => HC::Change { url: None, events: None, description: None, enabled: Some(false) },
            5 => HC::Change { url: None, events: None, description: None, enabled: Some(true) },
            6 => HC::GiveUp { because: [Disabling::Gone, Disabling::Failing][number % 2] },
            7..=8 => HC::RotateSecret { overlap: Duration::minutes(1), now },
            9..=10 => HC::Test { delivery_id: self.uuid() },
            11..=12 => {
                let (redelivery_id, delivery_id) = (self.uuid(), (number % 3 == 0).then(|| self.uuid()));
                HC::Redeliver { redelivery_id, from_seq: 1, to_seq: 2, delivery_id, head: 3 }
            }
            _ => HC::Delete,
        };
        self.webhook_endpoint(workspace, id, command);
    }
}

// Else what is held against them would be empty.
#[test]
fn everything_happens_to_webhook_endpoints_in_random_histories() {
    let histories = (11..=14).map(|seed| History::of(seed, 600));
    let types: BTreeSet<String> =
        histories.flat_map(|history| history.events).map(|event| event.event_type).collect();
    for event in [
        "Created",
        "Changed",
        "SecretRotated",
        "Enabled",
        "Disabled",
        "Tested",
        "RedeliveryRequested",
        "Deleted",
    ] {
        assert!(types.contains(&format!("WebhookEndpoint{event}")), "no {event} in {types:?}");
    }
}
