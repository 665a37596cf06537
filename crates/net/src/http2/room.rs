//! Limits the bytes that the answers of one connection hand to h2 before they are written to the
//! socket. h2 keeps its bytes even if the answer ends, so the rest waits in the answers, where it
//! counts for a caller and ends with the call's time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that are handed over, up to one part more.
const MOST: usize = 64 * 1024;

/// The room of a connection. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Inner>);

#[derive(Default)]
struct Inner {
    given: AtomicUsize,
    /// The answers that wait.
    waiting: Mutex<Vec<Waker>>,
}

impl Room {
    /// Ready when there is room.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let has_room = || self.0.given.load(Ordering::Relaxed) < MOST;
        if has_room() {
            return Poll::Ready(());
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been written meanwhile.
        if has_room() {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Notes that h2 was given so many bytes.
    pub(super) fn give(&self, bytes: usize) {
        self.0.given.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that h2 has written what it had.
    pub(super) fn clear(&self) {
        if self.0.given.load(Ordering::Relaxed) == 0 {
            return;
        }
        let waiting = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.given.store(0, Ordering::Relaxed);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
