//! The current time and time-ordered ids, both from a [`Clock`] that tests can move.

mod skew;

pub use skew::Skew;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// A clock with the system's time, plus an offset that only tests set.
#[derive(Clone, Debug)]
pub struct Clock {
    offset_micros: Option<Arc<AtomicI64>>,
    /// Orders the ids within a millisecond.
    ids: Arc<Mutex<ContextV7>>,
}

impl Clock {
    /// Creates a clock with the system's time.
    pub fn system() -> Self {
        Self { offset_micros: None, ids: Arc::new(Mutex::new(ContextV7::new())) }
    }

    /// Creates a clock that [`Clock::advance`] moves, together with all its clones.
    pub fn movable() -> Self {
        Self { offset_micros: Some(Arc::default()), ..Self::system() }
    }

    /// Moves a movable clock. Does nothing to a system clock.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(offset) = &self.offset_micros {
            offset.fetch_add(by.num_microseconds().unwrap_or_default(), Ordering::SeqCst);
        }
    }

    /// Returns the time in whole microseconds, as PostgreSQL stores it: a value read back is equal.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros()).unwrap_or_default()
    }

    /// Returns seconds since 1970, the unit of JWTs.
    pub fn unix(&self) -> i64 {
        self.micros().div_euclid(1_000_000)
    }

    /// Returns microseconds since 1970. Cheaper than [`Clock::now`], which converts to a date.
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system's time")]
    pub fn micros(&self) -> i64 {
        let offset = self.offset_micros.as_ref().map_or(0, |o| o.load(Ordering::SeqCst));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(offset)
    }

    /// Returns a new UUIDv7 (RFC 9562). Ids of one clock and its clones sort in order of creation,
    /// even within a millisecond.
    pub fn new_id(&self) -> Uuid {
        let micros = u64::try_from(self.micros()).unwrap_or_default();
        let now = Duration::from_micros(micros);
        Uuid::new_v7(Timestamp::from_unix(&*self.ids, now.as_secs(), now.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_in_which_they_were_made() {
        let clock = Clock::system();
        let ids: Vec<Uuid> = (0..10_000).map(|_| clock.new_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn a_clone_moves_with_its_clock() {
        let clock = Clock::movable();
        let clone = clock.clone();
        let before = clone.now();
        clock.advance(TimeDelta::hours(1));
        assert!(clone.now() - before >= TimeDelta::hours(1));
    }
}
