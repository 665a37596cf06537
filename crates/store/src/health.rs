//! The health of a database, derived from the outcomes of recent statements.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, is_full, is_read_only};

/// Minimum time between two events that make all older connections stale.
const STALE_INTERVAL: Duration = Duration::from_secs(1);

/// Times of the last events, in milliseconds after `since`; 0 means never.
pub(crate) struct Health {
    since: Instant,
    /// A connection failed.
    failure: AtomicU64,
    /// The database reported that it is read-only.
    read_only: AtomicU64,
    /// A write other than a heartbeat was committed.
    write: AtomicU64,
    heartbeat: AtomicU64,
    /// A write failed because the database was unavailable.
    refusal: AtomicU64,
    /// A write failed because there was no space.
    full: AtomicU64,
}

/// Whether a database accepts writes, judging by recent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteState {
    Accepted,
    Refused,
    Unknown,
}

impl Default for Health {
    fn default() -> Self {
        let [failure, read_only, write, heartbeat, refusal, full] =
            [const { AtomicU64::new(0) }; 6];
        Self { since: Instant::now(), failure, read_only, write, heartbeat, refusal, full }
    }
}

impl Health {
    /// Classifies an error of the driver and records what it shows about the database.
    pub(crate) fn classify(&self, error: sqlx::Error) -> Error {
        let now = self.now();
        // Not for every error: if the only server is a standby, each failed write would make reads
        // open new connections.
        let last = self.read_only.load(Ordering::Relaxed);
        let may_be_stale = last == 0 || now.saturating_sub(last) > millis(STALE_INTERVAL);
        if may_be_stale && is_read_only(&error) {
            self.read_only.store(now, Ordering::Relaxed);
        }
        if is_full(&error) {
            self.full.store(now, Ordering::Relaxed);
        }
        self.note_failure(error.into())
    }

    /// Records an [`Error::Unavailable`], and returns the error. Connections that are idle now are
    /// then tested before use: after a server restart all of them are dead, and each would fail one
    /// more request long after the server is back.
    pub(crate) fn note_failure(&self, error: Error) -> Error {
        if matches!(error, Error::Unavailable(_)) {
            self.failure.store(self.now(), Ordering::Relaxed);
        }
        error
    }

    /// Whether a connection that has been idle this long was already idle at the last failure.
    pub(crate) fn must_test(&self, idle_for: Duration) -> bool {
        let failure = self.failure.load(Ordering::Relaxed);
        failure != 0 && millis(idle_for) >= self.now().saturating_sub(failure)
    }

    /// Whether a connection of this age is older than the last report of a read-only database. It
    /// may lead to a standby, while a new connection leads to the new primary.
    pub(crate) fn is_stale(&self, age: Duration) -> bool {
        let read_only = self.read_only.load(Ordering::Relaxed);
        read_only != 0 && millis(age) >= self.now().saturating_sub(read_only)
    }

    /// Records the outcome of a write.
    pub(crate) fn note_write(&self, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => self.write.store(self.now(), Ordering::Relaxed),
            Err(Error::Unavailable(_)) => self.refusal.store(self.now(), Ordering::Relaxed),
            // The database works and refused only this write.
            Err(_) => {}
        }
    }

    /// Records that a heartbeat was committed.
    pub(crate) fn note_heartbeat(&self) {
        self.heartbeat.store(self.now(), Ordering::Relaxed);
    }

    /// Returns `Accepted` if a write was committed within this time and none has failed since.
    /// After a write failed for lack of space, a heartbeat proves nothing: it may fit where larger
    /// writes do not.
    pub(crate) fn write_state(&self, within: Duration) -> WriteState {
        let [write, heartbeat, refusal, full] =
            [&self.write, &self.heartbeat, &self.refusal, &self.full]
                .map(|time| time.load(Ordering::Relaxed));
        let is_recent = |time: u64| time != 0 && self.now().saturating_sub(time) < millis(within);
        match () {
            () if write > refusal && is_recent(write) => WriteState::Accepted,
            () if full > write && is_recent(full) => WriteState::Refused,
            () if heartbeat > refusal && is_recent(heartbeat) => WriteState::Accepted,
            () => WriteState::Unknown,
        }
    }

    /// Whether a write was committed within this time, or the process is younger.
    pub(crate) fn has_written_within(&self, within: Duration) -> bool {
        self.now().saturating_sub(self.write.load(Ordering::Relaxed)) < millis(within)
    }

    fn now(&self) -> u64 {
        millis(self.since.elapsed()).max(1)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn only_connections_idle_at_the_last_failure_must_be_tested() {
        let health = Health::default();
        assert!(!health.must_test(LONG));
        assert!(matches!(health.classify(sqlx::Error::RowNotFound), Error::Internal(_)));
        assert!(!health.must_test(LONG));
        assert!(matches!(health.note_failure(Error::Busy), Error::Busy));
        assert!(!health.must_test(LONG));
        assert!(matches!(health.classify(sqlx::Error::PoolClosed), Error::Unavailable(_)));
        assert!(health.must_test(LONG));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!health.must_test(Duration::from_millis(1)));
    }

    #[test]
    fn a_database_accepts_writes_until_one_fails() {
        let health = Health::default();
        assert_eq!(health.write_state(LONG), WriteState::Unknown);
        health.note_write(Ok(()));
        assert_eq!(health.write_state(LONG), WriteState::Accepted);
        health.note_write(Err(&Error::Conflict));
        assert_eq!(health.write_state(LONG), WriteState::Accepted, "only one write was refused");
        pause();
        assert_eq!(health.write_state(Duration::from_millis(1)), WriteState::Unknown);
        health.note_write(Err(&health.classify(sqlx::Error::PoolClosed)));
        assert_eq!(health.write_state(LONG), WriteState::Unknown);
        pause();
        health.note_heartbeat();
        assert_eq!(health.write_state(LONG), WriteState::Accepted);
    }

    #[test]
    fn a_heartbeat_does_not_prove_that_a_full_disk_has_space() {
        let health = Health::default();
        health.note_write(Ok(()));
        pause();
        health.full.store(health.now(), Ordering::Relaxed);
        health.note_write(Err(&health.classify(sqlx::Error::PoolClosed)));
        pause();
        health.note_heartbeat();
        assert_eq!(health.write_state(LONG), WriteState::Refused);
        pause();
        assert_eq!(health.write_state(Duration::from_millis(1)), WriteState::Unknown);
        health.note_write(Ok(()));
        assert_eq!(health.write_state(LONG), WriteState::Accepted);
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
