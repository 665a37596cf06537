//! What statements have shown of a database lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, is_read_only};

/// See the module. Times are milliseconds after `since`; zero is never.
pub(crate) struct Signs {
    since: Instant,
    /// When a connection last failed.
    doubted: AtomicU64,
    /// When the database last said that it only reads.
    read_only: AtomicU64,
    /// When a write was last committed.
    written: AtomicU64,
    /// When the database last took no write.
    refused: AtomicU64,
}

impl Default for Signs {
    fn default() -> Self {
        let [doubted, read_only, written, refused] = [const { AtomicU64::new(0) }; 4];
        Self { since: Instant::now(), doubted, read_only, written, refused }
    }
}

impl Signs {
    /// Classifies an error of the driver, and remembers what it says of the database.
    pub(crate) fn raise(&self, error: sqlx::Error) -> Error {
        if is_read_only(&error) {
            self.read_only.store(self.now(), Ordering::Relaxed);
        }
        self.doubt(error.into())
    }

    /// Makes connections that are idle now be tested before use, if that is an error of a connection:
    /// after a restart of the server all of them are dead at once, and each would fail one more
    /// request, long after the server is back.
    pub(crate) fn doubt(&self, error: Error) -> Error {
        if matches!(error, Error::Unavailable(_)) {
            self.doubted.store(self.now(), Ordering::Relaxed);
        }
        error
    }

    /// Whether a connection that has been idle for so long was idle when the last one failed.
    pub(crate) fn doubts(&self, idle_for: Duration) -> bool {
        let doubted = self.doubted.load(Ordering::Relaxed);
        doubted != 0 && millis(idle_for) >= self.now().saturating_sub(doubted)
    }

    /// Whether a connection of that age is older than the last word that the database only reads. It
    /// may lead to a standby, where another one leads to the new primary.
    pub(crate) fn is_stale(&self, age: Duration) -> bool {
        let read_only = self.read_only.load(Ordering::Relaxed);
        read_only != 0 && millis(age) >= self.now().saturating_sub(read_only)
    }

    /// Notes the outcome of a write.
    pub(crate) fn note_write(&self, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => self.written.store(self.now(), Ordering::Relaxed),
            Err(Error::Unavailable(_)) => self.refused.store(self.now(), Ordering::Relaxed),
            // The database works: it has refused one write.
            Err(_) => {}
        }
    }

    /// Whether a write was committed within that time, and none failed since.
    pub(crate) fn takes_writes(&self, within: Duration) -> bool {
        let [written, refused] =
            [&self.written, &self.refused].map(|time| time.load(Ordering::Relaxed));
        written > refused && self.now().saturating_sub(written) < millis(within)
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
    fn only_connections_that_were_idle_at_the_failure_are_doubted() {
        let signs = Signs::default();
        assert!(!signs.doubts(LONG));
        assert!(matches!(signs.raise(sqlx::Error::RowNotFound), Error::Internal(_)));
        assert!(!signs.doubts(LONG));
        assert!(matches!(signs.doubt(Error::Busy), Error::Busy));
        assert!(!signs.doubts(LONG));
        assert!(matches!(signs.raise(sqlx::Error::PoolClosed), Error::Unavailable(_)));
        assert!(signs.doubts(LONG));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!signs.doubts(Duration::from_millis(1)));
    }

    #[test]
    fn a_database_takes_writes_while_none_failed_since_the_last_one() {
        let signs = Signs::default();
        assert!(!signs.takes_writes(LONG), "nothing is known");
        signs.note_write(Ok(()));
        assert!(signs.takes_writes(LONG));
        signs.note_write(Err(&Error::Conflict));
        assert!(signs.takes_writes(LONG), "one write was refused, not all");
        std::thread::sleep(Duration::from_millis(5));
        assert!(!signs.takes_writes(Duration::from_millis(1)), "that was long ago");
        signs.note_write(Err(&signs.raise(sqlx::Error::PoolClosed)));
        assert!(!signs.takes_writes(LONG));
        std::thread::sleep(Duration::from_millis(5));
        signs.note_write(Ok(()));
        assert!(signs.takes_writes(LONG));
    }
}
