//! Clocks of different machines, which are never quite the same.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::Clock;

/// Differences up to this are normal, in seconds: tokens count whole seconds.
const NORMAL: i64 = 2;
/// How long a difference that was reported is not reported again, in microseconds.
const QUIET: u64 = 60_000_000;

/// Decides when to report that another machine's clock differs from this one.
#[derive(Debug)]
pub struct Skew {
    clock: Clock,
    reported_at: AtomicI64,
}

impl Skew {
    /// Nothing has been reported yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, reported_at: AtomicI64::new(i64::MIN) }
    }

    /// Returns whether to report that a clock differs by so many seconds: when it is more than is
    /// normal, and at most once a minute, because every call can show the same difference.
    pub fn is_due(&self, seconds: i64) -> bool {
        if seconds <= NORMAL {
            return false;
        }
        let (now, before) = (self.clock.micros(), self.reported_at.load(Ordering::Relaxed));
        let swap =
            || self.reported_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
        now.abs_diff(before) >= QUIET && swap().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_difference_is_reported_once_a_minute() {
        let clock = Clock::movable();
        let skew = Skew::new(clock.clone());
        assert!(!skew.is_due(-90) && !skew.is_due(0) && !skew.is_due(2));
        assert!(skew.is_due(3));
        assert!(!skew.is_due(3) && !skew.is_due(300));
        clock.advance(TimeDelta::seconds(61));
        assert!(skew.is_due(8) && !skew.is_due(8));
    }
}
