//! What is read from files and read again in time, so that a change of the files needs no restart.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use clinic_clock::Clock;

use crate::KeyError;

/// How old a value may be, in microseconds.
const MAX_AGE: i64 = 30_000_000;
/// How often somebody who misses something may have the files read again, in microseconds: a
/// stranger can invent as many unknown key ids as he likes.
const MIN_AGE: i64 = 1_000_000;

/// Reads the value, with what was read before.
type Read<T> = dyn Fn(Option<&T>) -> Result<T, KeyError> + Send + Sync;

/// A value from the keys directory.
///
/// Reading is synchronous, on whatever thread finds the value too old: a handful of files of some
/// hundred bytes, once in 30 s, takes less time than handing it to another thread would.
pub(crate) struct Fresh<T> {
    value: RwLock<Arc<T>>,
    read_at: AtomicI64,
    read: Box<Read<T>>,
    clock: Clock,
}

impl<T: PartialEq> Fresh<T> {
    pub(crate) fn open(
        clock: Clock,
        read: impl Fn(Option<&T>) -> Result<T, KeyError> + Send + Sync + 'static,
    ) -> Result<Self, KeyError> {
        let value = RwLock::new(Arc::new(read(None)?));
        let read_at = AtomicI64::new(clock.micros());
        Ok(Self { value, read_at, read: Box::new(read), clock })
    }

    /// The value, at most 30 s old.
    pub(crate) fn get(&self) -> Arc<T> {
        self.read_if_older_than(MAX_AGE);
        self.current()
    }

    /// The value for somebody who missed something in it: read again, unless that was just done.
    pub(crate) fn again(&self) -> Arc<T> {
        self.read_if_older_than(MIN_AGE);
        self.current()
    }

    fn current(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_if_older_than(&self, age: i64) {
        let now = self.clock.micros();
        let before = self.read_at.load(Ordering::Acquire);
        // Only one of many callers reads; the others go on with what there is.
        let mine = now.saturating_sub(before) >= age
            && self
                .read_at
                .compare_exchange(before, now, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        let current = self.current();
        match (self.read)(Some(&current)) {
            // The same `Arc` as long as nothing changed: what was verified by it stays so.
            Ok(value) if value == *current => {}
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
            }
            // What was good stays good: a directory that is being restored must not stop a service.
            Err(error) => tracing::warn!(%error, "the keys could not be read again"),
        }
    }
}
