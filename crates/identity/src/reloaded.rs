//! Values read from files and refreshed, so that changing the files needs no restart.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use clinic_clock::Clock;

use crate::KeyError;

/// Maximum age of a value, in microseconds.
const MAX_AGE: i64 = 30_000_000;
/// Minimum time between reads because of an unknown key id, in microseconds. Anyone can send any
/// number of unknown key ids.
const MIN_AGE: i64 = 1_000_000;

/// Function that reads the value from a directory. It also gets the previous value.
type Read<T> = fn(&Path, Option<&T>) -> Result<T, KeyError>;

/// A value from the keys directory.
///
/// The thread that finds the value too old reads it synchronously. Reading a handful of files of a
/// few hundred bytes, every 30 s, takes less time than handing the work to another thread.
pub(crate) struct Reloaded<T> {
    value: RwLock<Arc<T>>,
    read_at: AtomicI64,
    directory: PathBuf,
    read: Read<T>,
    clock: Clock,
}

impl<T: PartialEq> Reloaded<T> {
    pub(crate) fn open(directory: PathBuf, read: Read<T>, clock: Clock) -> Result<Self, KeyError> {
        let value = RwLock::new(Arc::new(read(&directory, None)?));
        let read_at = AtomicI64::new(clock.micros());
        Ok(Self { value, read_at, directory, read, clock })
    }

    /// Returns the value, at most 30 s old.
    pub(crate) fn get(&self) -> Arc<T> {
        self.not_older_than(MAX_AGE)
    }

    /// Returns the value, at most 1 s old. For callers that miss a key in it.
    pub(crate) fn reload(&self) -> Arc<T> {
        self.not_older_than(MIN_AGE)
    }

    fn not_older_than(&self, age: i64) -> Arc<T> {
        let now = self.clock.micros();
        let before = self.read_at.load(Ordering::Acquire);
        let swap =
            || self.read_at.compare_exchange(before, now, Ordering::AcqRel, Ordering::Relaxed);
        // Only one of several callers reads; the others use the current value.
        let is_reader = now.saturating_sub(before) >= age && swap().is_ok();
        let current = Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner));
        if !is_reader {
            return current;
        }
        match (self.read)(&self.directory, Some(&current)) {
            // Keep the `Arc` while nothing has changed: caches of verified tokens compare it.
            Ok(value) if value == *current => current,
            Ok(value) => {
                let value = Arc::new(value);
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&value);
                value
            }
            // Keep the old value: a directory that is being restored must not stop a service.
            Err(error) => {
                tracing::warn!(%error, "cannot reload the keys; the old ones stay valid");
                current
            }
        }
    }
}
