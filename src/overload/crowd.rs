//! How many requests are in the house, and who is not let in any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Bound, Drain, Lane, Pressure};

/// Counts requests from their headers to the beginning of their answer. Cheap to clone.
///
/// A lane may have as many inside as there are places left: one that floods gets half, two get a third each. Those who
/// were not let in lately get no more than half together, whatever they call themselves.
#[derive(Debug, Clone)]
pub struct Crowd(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    capacity: usize,
    total: usize,
    strangers: usize,
    lanes: HashMap<u64, usize>,
    drain: Drain,
    pressed: bool,
    pressure: Pressure,
}

/// One that was let in, until it is dropped.
#[derive(Debug)]
pub struct Entered {
    crowd: Crowd,
    lane: Lane,
}

impl Crowd {
    /// `pressure` is told when it gets crowded.
    pub fn new(capacity: usize, pressure: Pressure) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            capacity,
            total: 0,
            strangers: 0,
            lanes: HashMap::new(),
            drain: Drain::new(Instant::now()),
            pressed: false,
            pressure,
        })))
    }

    /// Lets one in, or says which bound it met.
    pub fn enter(&self, lane: Lane) -> Result<Entered, Bound> {
        self.lock().admit(lane)?;
        Ok(Entered { crowd: self.clone(), lane })
    }

    /// How many are inside.
    pub fn len(&self) -> usize {
        self.lock().total
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In how many seconds whoever is inside now will have left, as things go.
    pub fn seconds_to_drain(&self) -> u64 {
        let inside = self.lock();
        inside.drain.seconds(inside.total, Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing panics between two counts that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn admit(&mut self, lane: Lane) -> Result<(), Bound> {
        let free = self.capacity - self.total;
        if free == 0 {
            return Err(Bound::Requests);
        }
        if !lane.known && self.strangers >= self.capacity.div_ceil(2) {
            return Err(Bound::RequestsOfStrangers);
        }
        let inside = self.lanes.entry(lane.key).or_default();
        // Whoever has nobody inside finds a place as long as there is one.
        if *inside >= free {
            return Err(Bound::RequestsShare);
        }
        *inside += 1;
        self.total += 1;
        self.strangers += usize::from(!lane.known);
        self.press();
        Ok(())
    }

    /// A few that flood do not come so far, and must not slow the others down.
    fn press(&mut self) {
        let pressed = self.total * 8 >= self.capacity * 7;
        if std::mem::replace(&mut self.pressed, pressed) != pressed {
            self.pressure.set(pressed);
        }
    }

    fn leave(&mut self, lane: Lane) {
        self.total -= 1;
        self.strangers -= usize::from(!lane.known);
        if let Some(inside) = self.lanes.get_mut(&lane.key) {
            *inside -= 1;
            if *inside == 0 {
                self.lanes.remove(&lane.key);
            }
        }
        self.press();
        self.drain.went(1, Instant::now());
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.crowd.lock().leave(self.lane);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lanes;
    use super::*;

    fn known(lanes: &Lanes, subject: &str) -> Lane {
        let credential: &[&[u8]] = &[b"key"];
        lanes.learn(lanes.of(Some(subject), credential));
        lanes.of(Some(subject), credential)
    }

    #[test]
    fn who_floods_is_turned_away_while_others_get_in() {
        let (crowd, lanes) = (Crowd::new(100, Pressure::default()), Lanes::default());
        let noisy = known(&lanes, "noisy");
        let mut inside: Vec<_> = (0..200).map_while(|_| crowd.enter(noisy).ok()).collect();
        assert_eq!(inside.len(), 50);
        assert_eq!(crowd.enter(noisy).unwrap_err(), Bound::RequestsShare);
        for n in 0..50 {
            inside.push(crowd.enter(known(&lanes, &format!("quiet-{n}"))).unwrap());
        }
        assert_eq!(crowd.enter(known(&lanes, "late")).unwrap_err(), Bound::Requests);
        drop(inside.pop());
        assert!(crowd.enter(known(&lanes, "late")).is_ok());
        drop(inside);
        assert!(crowd.is_empty() && crowd.0.lock().unwrap().lanes.is_empty(), "nothing stays behind");
        assert!(crowd.enter(noisy).is_ok());
    }

    #[test]
    fn strangers_get_half_whatever_they_call_themselves() {
        let (crowd, lanes) = (Crowd::new(100, Pressure::default()), Lanes::default());
        let stranger = |n: u32| lanes.of(Some("a"), &[&n.to_be_bytes()]);
        let inside: Vec<_> = (0..200).map_while(|n| crowd.enter(stranger(n)).ok()).collect();
        assert_eq!(inside.len(), 50);
        assert_eq!(crowd.enter(stranger(999)).unwrap_err(), Bound::RequestsOfStrangers);
        let others: Vec<_> = (0..40).map(|n| crowd.enter(known(&lanes, &n.to_string())).unwrap()).collect();
        assert_eq!(crowd.len(), 90);
        drop((inside, others));
        assert!(crowd.is_empty());
    }

    #[test]
    fn many_who_come_together_are_pressure_and_a_few_who_flood_are_not() {
        let (pressure, lanes) = (Pressure::default(), Lanes::default());
        let crowd = Crowd::new(96, pressure.clone());
        let places: Vec<_> = (0..96).map(|n| known(&lanes, &n.to_string())).collect();
        let flood = |lane: Lane| (0..200).map_while(|_| crowd.enter(lane).ok()).collect::<Vec<_>>();
        let floods = [flood(places[0]), flood(places[1])];
        assert_eq!((floods[0].len(), floods[1].len(), pressure.is_high()), (48, 24, false));
        drop(floods);
        let mut inside: Vec<_> = places[..83].iter().map(|lane| crowd.enter(*lane).unwrap()).collect();
        assert!(!pressure.is_high());
        inside.push(crowd.enter(places[83]).unwrap());
        assert!(pressure.is_high());
        inside.pop();
        assert!(!pressure.is_high());
    }

    #[test]
    fn at_random_the_bounds_hold() {
        let mut random = fastrand::Rng::with_seed(7);
        let (crowd, lanes) = (Crowd::new(64, Pressure::default()), Lanes::default());
        let places: Vec<_> = (0..20).map(|n| known(&lanes, &n.to_string())).collect();
        let mut inside = Vec::new();
        for _ in 0..20_000 {
            if random.bool() || inside.is_empty() {
                let lane = places[random.usize(0..20).min(random.usize(0..20))];
                let mine = inside.iter().filter(|entered: &&Entered| entered.lane == lane).count();
                match crowd.enter(lane) {
                    Ok(entered) => inside.push(entered),
                    Err(Bound::Requests) => assert_eq!(inside.len(), 64),
                    Err(Bound::RequestsShare) => assert!(mine >= 64 - inside.len()),
                    Err(other) => panic!("{other:?}"),
                }
            } else {
                inside.swap_remove(random.usize(0..inside.len()));
            }
            assert_eq!(crowd.len(), inside.len());
            assert!(crowd.len() <= 64);
        }
    }
}
