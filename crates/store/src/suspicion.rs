//! When to doubt pooled connections. After a restart of the server all of them are dead at once:
//! without doubt each would fail one more request, long after the server is back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;

/// When a connection last failed.
pub(crate) struct Suspicion {
    since: Instant,
    /// Milliseconds after `since`; zero for never.
    raised: AtomicU64,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self { since: Instant::now(), raised: AtomicU64::new(0) }
    }
}

impl Suspicion {
    /// Classifies the error; when it is the connection's, those idle now are tested before use.
    pub(crate) fn raise(&self, error: impl Into<Error>) -> Error {
        let error = error.into();
        if matches!(error, Error::Unavailable(_)) {
            self.raised.store(self.now().max(1), Ordering::Relaxed);
        }
        error
    }

    /// Whether a connection that has been idle for so long was idle when the last one failed.
    pub(crate) fn covers(&self, idle_for: Duration) -> bool {
        let raised = self.raised.load(Ordering::Relaxed);
        let idle_for = u64::try_from(idle_for.as_millis()).unwrap_or(u64::MAX);
        raised != 0 && idle_for >= self.now().saturating_sub(raised)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_that_were_idle_at_the_failure_are_doubted() {
        let suspicion = Suspicion::default();
        assert!(!suspicion.covers(Duration::from_secs(60)));
        assert!(matches!(suspicion.raise(sqlx::Error::RowNotFound), Error::Internal(_)));
        assert!(!suspicion.covers(Duration::from_secs(60)));
        assert!(matches!(suspicion.raise(Error::Busy), Error::Busy));
        assert!(!suspicion.covers(Duration::from_secs(60)));
        assert!(matches!(suspicion.raise(sqlx::Error::PoolClosed), Error::Unavailable(_)));
        assert!(suspicion.covers(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!suspicion.covers(Duration::from_millis(1)));
    }
}
