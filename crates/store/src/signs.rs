//! What statements have shown of a database lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, is_full, is_read_only};

/// How often all connections may become stale.
const STALE_EVERY: Duration = Duration::from_secs(1);

/// See the module. Times are milliseconds after `since`; zero is never.
pub(crate) struct Signs {
    since: Instant,
    /// When a connection last failed.
    doubted: AtomicU64,
    /// When the database last said that it only reads.
    read_only: AtomicU64,
    /// When a write was last committed.
    written: AtomicU64,
    /// When the small write of a check was last committed.
    beaten: AtomicU64,
    /// When the database last took no write.
    refused: AtomicU64,
    /// When it last had no space for one.
    full: AtomicU64,
}

/// Whether a database takes writes, by those of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Taken,
    Refused,
    Unknown,
}

impl Default for Signs {
    fn default() -> Self {
        let [doubted, read_only, written, beaten, refused, full] = [const { AtomicU64::new(0) }; 6];
        Self { since: Instant::now(), doubted, read_only, written, beaten, refused, full }
    }
}

impl Signs {
    /// Classifies an error of the driver, and remembers what it says of the database.
    pub(crate) fn raise(&self, error: sqlx::Error) -> Error {
        let now = self.now();
        // Not each time: while the only server is a standby, reads must not pay for every write.
        let last = self.read_only.load(Ordering::Relaxed);
        let may_be_stale = last == 0 || now.saturating_sub(last) > millis(STALE_EVERY);
        if may_be_stale && is_read_only(&error) {
            self.read_only.store(now, Ordering::Relaxed);
        }
        if is_full(&error) {
            self.full.store(now, Ordering::Relaxed);
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

    /// Notes that the small write of a check was committed.
    pub(crate) fn note_beat(&self) {
        self.beaten.store(self.now(), Ordering::Relaxed);
    }

    /// Whether a write was committed within that time, and none failed since. After one for which there
    /// was no space a small one proves nothing: it may fit where larger ones do not.
    pub(crate) fn writes(&self, within: Duration) -> Writes {
        let [written, beaten, refused, full] =
            [&self.written, &self.beaten, &self.refused, &self.full]
                .map(|time| time.load(Ordering::Relaxed));
        let is_lately = |time: u64| time != 0 && self.now().saturating_sub(time) < millis(within);
        match () {
            () if written > refused && is_lately(written) => Writes::Taken,
            () if full > written && is_lately(full) => Writes::Refused,
            () if beaten > refused && is_lately(beaten) => Writes::Taken,
            () => Writes::Unknown,
        }
    }

    /// Whether something was written within that time, or the process is younger.
    pub(crate) fn has_written(&self, within: Duration) -> bool {
        self.now().saturating_sub(self.written.load(Ordering::Relaxed)) < millis(within)
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
        assert_eq!(signs.writes(LONG), Writes::Unknown);
        signs.note_write(Ok(()));
        assert_eq!(signs.writes(LONG), Writes::Taken);
        signs.note_write(Err(&Error::Conflict));
        assert_eq!(signs.writes(LONG), Writes::Taken, "one write was refused, not all");
        pause();
        assert_eq!(signs.writes(Duration::from_millis(1)), Writes::Unknown, "long ago");
        signs.note_write(Err(&signs.raise(sqlx::Error::PoolClosed)));
        assert_eq!(signs.writes(LONG), Writes::Unknown);
        pause();
        signs.note_beat();
        assert_eq!(signs.writes(LONG), Writes::Taken);
    }

    #[test]
    fn after_a_write_without_space_a_small_one_proves_nothing() {
        let signs = Signs::default();
        signs.note_write(Ok(()));
        pause();
        signs.full.store(signs.now(), Ordering::Relaxed);
        signs.note_write(Err(&signs.raise(sqlx::Error::PoolClosed)));
        pause();
        signs.note_beat();
        assert_eq!(signs.writes(LONG), Writes::Refused);
        pause();
        assert_eq!(
            signs.writes(Duration::from_millis(1)),
            Writes::Unknown,
            "it may be asked again"
        );
        signs.note_write(Ok(()));
        assert_eq!(signs.writes(LONG), Writes::Taken);
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
