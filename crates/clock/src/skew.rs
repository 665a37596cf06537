//! Detects differences between the clocks of machines.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::Clock;

/// Largest normal difference, in seconds: tokens count whole seconds.
const NORMAL: i64 = 2;
/// Minimum time between two reports, in microseconds.
const QUIET: u64 = 60_000_000;

/// Rate limiter for reports that another machine's clock differs.
#[derive(Debug)]
pub struct Skew {
    clock: Clock,
    reported_at: AtomicI64,
}

impl Skew {
    /// Creates a limiter that has reported nothing yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, reported_at: AtomicI64::new(i64::MIN) }
    }

    /// Returns whether to report a difference of this many seconds: only if it is more than normal,
    /// and at most once a minute, because every call can show the same difference.
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
