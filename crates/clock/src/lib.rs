//! Time, and the ids that are made of it. Everything that needs them gets a [`Clock`], so that a test
//! can move the time instead of waiting for it.

mod skew;

pub use skew::Skew;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// In a second.
const MICROS: i64 = 1_000_000;

/// The system's time, plus an offset that only tests set.
#[derive(Clone, Debug)]
pub struct Clock {
    offset_micros: Option<Arc<AtomicI64>>,
    /// Counts the ids within a millisecond.
    ids: Arc<Mutex<ContextV7>>,
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self { offset_micros: None, ids: ids() }
    }

    /// The system's time, movable by [`Clock::advance`] for this clock and all its clones.
    pub fn movable() -> Self {
        Self { offset_micros: Some(Arc::default()), ids: ids() }
    }

    /// Moves a movable clock; the system's clock stays as it is.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(offset) = &self.offset_micros {
            offset.fetch_add(by.num_microseconds().unwrap_or_default(), Ordering::SeqCst);
        }
    }

    /// Now, in whole microseconds: what PostgreSQL keeps, so that a value read back is equal.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros()).unwrap_or_default()
    }

    /// Seconds since 1970, as JWTs count them.
    pub fn unix(&self) -> i64 {
        self.micros().div_euclid(MICROS)
    }

    /// Microseconds since 1970. Without a calendar, which takes longer than reading the time.
    #[expect(clippy::disallowed_methods, reason = "the one place where the system's time is read")]
    pub fn micros(&self) -> i64 {
        let offset = self.offset_micros.as_ref().map_or(0, |o| o.load(Ordering::SeqCst));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(offset)
    }

    /// A new UUIDv7 (RFC 9562): ids of one clock and its clones sort in the order in which they
    /// were made, also within a millisecond.
    pub fn new_id(&self) -> Uuid {
        let micros = u64::try_from(self.micros()).unwrap_or_default();
        let now = Duration::from_micros(micros);
        Uuid::new_v7(Timestamp::from_unix(&*self.ids, now.as_secs(), now.subsec_nanos()))
    }
}

fn ids() -> Arc<Mutex<ContextV7>> {
    Arc::new(Mutex::new(ContextV7::new()))
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
