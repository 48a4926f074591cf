//! Tests of [`super`], on a clock that moves when told to.

use governor::clock::FakeRelativeClock;

use super::super::key::tests::{credential, network};
use super::*;

fn limits(setting: &str, capacity: usize) -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (RateLimits::with(&Quotas::parse(setting).unwrap().unwrap(), capacity, &clock), clock)
}

fn key(secret: &str, address: &str) -> Key {
    Key { credential: Some(credential(secret)), address: Some(network(address)), failures_only: false }
}

fn from(address: &str) -> Key {
    Key { credential: None, address: Some(network(address)), failures_only: false }
}

#[test]
fn a_minutes_worth_may_come_at_once_and_then_one_at_a_time() {
    let (limits, clock) = limits("token=60/300", 100);
    let key = key("a", "192.0.2.1");
    for remaining in (0..60).rev() {
        let standing = limits.count(Class::Token, &key).unwrap().unwrap();
        assert_eq!(standing, Standing { quota: 60, remaining, reset: u64::from(60 - remaining) });
    }
    let refused = Exceeded { limit: Limit::Credential, quota: 60, wait: 1 };
    assert_eq!(limits.count(Class::Token, &key), Err(refused));
    clock.advance(Duration::from_millis(999));
    assert_eq!(limits.count(Class::Token, &key), Err(refused), "a whole second, rounded up");
    clock.advance(Duration::from_millis(1));
    assert_eq!(limits.count(Class::Token, &key).unwrap().unwrap().remaining, 0);
    assert_eq!(limits.count(Class::Token, &key), Err(refused), "what was refused pushed nothing back");
    clock.advance(Duration::from_mins(1));
    assert_eq!(limits.count(Class::Token, &key).unwrap().unwrap().remaining, 59);
}

#[test]
fn whoever_waits_as_long_as_told_gets_through() {
    for per_minute in [1, 2, 7, 59, 61, 1_000] {
        let (limits, clock) = limits(&format!("code=1000/{per_minute}"), 100);
        let key = from("192.0.2.1");
        for _ in 0..per_minute {
            limits.count(Class::Code, &key).unwrap();
        }
        let refused = limits.count(Class::Code, &key).unwrap_err();
        assert_eq!((refused.limit, refused.quota), (Limit::Address, per_minute));
        clock.advance(Duration::from_secs(refused.wait));
        limits.count(Class::Code, &key).unwrap();
    }
}

#[test]
fn the_tighter_limit_is_told_and_the_reached_one_named() {
    let (limits, _clock) = limits("token=3/4", 100);
    let told = |secret: &str| limits.count(Class::Token, &key(secret, "192.0.2.1"));
    assert_eq!(told("a").unwrap().unwrap().quota, 3);
    assert_eq!(told("a").unwrap().unwrap().quota, 3);
    let standing = told("b").unwrap().unwrap();
    assert_eq!((standing.quota, standing.remaining), (4, 1));
    told("b").unwrap();
    assert_eq!(told("c").unwrap_err().limit, Limit::Address, "a new credential does not help");
    let elsewhere = key("a", "192.0.2.2");
    assert_eq!(limits.count(Class::Token, &elsewhere).unwrap().unwrap().remaining, 0);
    assert_eq!(limits.count(Class::Token, &elsewhere).unwrap_err().limit, Limit::Credential);
}

#[test]
fn what_is_refused_by_address_is_not_counted_for_the_credential() {
    let (limits, _clock) = limits("token=2/1", 100);
    limits.count(Class::Token, &from("192.0.2.1")).unwrap();
    for _ in 0..5 {
        limits.count(Class::Token, &key("a", "192.0.2.1")).unwrap_err();
    }
    assert_eq!(limits.count(Class::Token, &key("a", "192.0.2.2")).unwrap().unwrap().remaining, 0);
    let credential_only = Key { credential: Some(credential("a")), ..Key::default() };
    assert_eq!(limits.count(Class::Token, &credential_only).unwrap().unwrap().remaining, 0);
}

#[test]
fn classes_and_neighbours_do_not_disturb_each_other() {
    let (limits, _clock) = limits("token=1/1, code=1/1, invitation=1/1, session=1/1", 100);
    for class in [Class::Token, Class::Code, Class::Invitation, Class::Session] {
        for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"] {
            limits.count(class, &from(address)).unwrap();
        }
        limits.count(class, &from("2001:db8::ffff")).unwrap_err();
    }
    assert_eq!(limits.count(Class::Token, &Key::default()), Ok(None), "nobody is counted");
}

#[test]
fn above_the_capacity_newcomers_share_one_bucket_and_those_known_keep_theirs() {
    let (limits, clock) = limits("token=5/2", 10);
    for n in 0..10 {
        limits.count(Class::Token, &from(&format!("192.0.2.{n}"))).unwrap();
    }
    limits.count(Class::Token, &from("198.51.100.1")).unwrap();
    limits.count(Class::Token, &from("198.51.100.2")).unwrap();
    limits.count(Class::Token, &from("198.51.100.3")).unwrap_err();
    let addresses = &limits.classes[Class::Token as usize].address.limiter;
    assert_eq!(addresses.len(), 10);
    limits.count(Class::Token, &from("192.0.2.7")).unwrap();
    limits.count(Class::Token, &from("192.0.2.7")).unwrap_err();

    limits.forget();
    assert_eq!(addresses.len(), 10, "nothing is forgotten that still counts");
    clock.advance(Duration::from_secs(61));
    limits.forget();
    assert_eq!(addresses.len(), 1, "one address has sent two, and its bucket was full again only just now");
    limits.count(Class::Token, &from("198.51.100.3")).unwrap();
    assert_eq!(addresses.len(), 2, "there is room again");
}

#[test]
fn what_is_given_back_was_not_counted() {
    let (limits, _) = limits("token=2/100", 100);
    let key = key("secret", "192.0.2.1");
    for _ in 0..10 {
        assert_eq!(limits.count(Class::Token, &key).unwrap().unwrap().remaining, 1);
        limits.give_back(Class::Token, &key);
    }
    limits.count(Class::Token, &key).unwrap();
    limits.count(Class::Token, &key).unwrap();
    assert!(limits.count(Class::Token, &key).is_err());
    // More than was taken is not given.
    for _ in 0..10 {
        limits.give_back(Class::Token, &key);
    }
    assert_eq!(limits.count(Class::Token, &key).unwrap().unwrap().remaining, 1);
}
