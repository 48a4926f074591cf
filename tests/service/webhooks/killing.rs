//! A receiver that is killed at random: nothing is lost, and what comes twice is known by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::receiver::{Receiver, Reply, says};
use super::{Endpoint, at_home};
use crate::support::Acme;

const EVENTS: usize = 60;

#[tokio::test]
async fn a_receiver_killed_at_random_misses_nothing() {
    let patient = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.webhook_schedule = vec![Duration::from_millis(20); 10_000];
    };
    let (acme, mut receiver) = (Acme::found_with(patient).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["invitation.sent"]).await;
    let chance = Mutex::new(SmallRng::seed_from_u64(38));
    receiver.answers(move |_| match chance.lock().unwrap().random_range(0..100) {
        0..8 => Reply::Dies,
        8..16 => Reply::DiesAfter,
        16..24 => says(500),
        _ => says(204),
    });
    for n in 0..EVENTS {
        acme.pending(&format!("guest{n}@example.com")).await;
    }
    let mut deaths = 0;
    loop {
        let died = tokio::select! {
            () = receiver.died() => true,
            () = endpoint.ends(EVENTS) => false,
        };
        if !died {
            break;
        }
        deaths += 1;
        receiver = receiver.killed().await.restarts();
    }
    assert!(deaths > 0);
    let deliveries = endpoint.deliveries().await;
    assert!(deliveries.iter().all(|delivery| delivery["status"] == "delivered"));
    let sent: BTreeSet<String> =
        deliveries.iter().map(|delivery| delivery["event_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((sent.len(), &receiver.ids()), (EVENTS, &sent), "nothing lost, nothing made up");
    let mut bodies = BTreeMap::new();
    for heard in receiver.heard() {
        let id = heard.id().to_owned();
        assert_eq!(bodies.entry(id).or_insert_with(|| heard.body.clone()), &heard.body, "the same again");
    }
    acme.stop().await;
}
