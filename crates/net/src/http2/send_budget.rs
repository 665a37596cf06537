//! Limits the bytes that the responses of one connection pass to h2 before they are written to the
//! socket. h2 keeps its bytes even if the response ends. So the rest waits in the responses, where
//! it counts for the caller and is dropped at the deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::lock;

/// Maximum bytes that wait in h2, plus at most one part.
const MOST: usize = 64 * 1024;

/// The room in h2 for one connection. Clones share it.
#[derive(Clone, Default)]
pub(super) struct SendBudget(Arc<Inner>);

#[derive(Default)]
struct Inner {
    given: AtomicUsize,
    /// The responses that wait for room.
    waiting: Mutex<Vec<Waker>>,
}

impl SendBudget {
    /// Ready when there is room.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let has_room = || self.0.given.load(Ordering::Relaxed) < MOST;
        if has_room() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.0.waiting);
        // The bytes may have been written in the meantime.
        if has_room() {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Notes that this many bytes were passed to h2.
    pub(super) fn give(&self, bytes: usize) {
        self.0.given.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that h2 has written all its bytes.
    pub(super) fn clear(&self) {
        if self.0.given.load(Ordering::Relaxed) == 0 {
            return;
        }
        let waiting = {
            let mut waiting = lock(&self.0.waiting);
            self.0.given.store(0, Ordering::Relaxed);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
