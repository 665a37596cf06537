//! Tracks activity on a connection, to close it when it is idle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;

/// Activity of a connection. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<Counts>);

struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Parts of responses that were handed over for sending.
    parts: AtomicU64,
    /// Responses with a part that was handed over and not sent, because the client does not read.
    unread: AtomicU64,
    /// When the last request ended, or else the connection began, in milliseconds since [`START`].
    quiet_since: AtomicU64,
}

/// Origin of the times in [`Counts`].
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Default for Counts {
    fn default() -> Self {
        let zero = AtomicU64::default;
        let quiet_since = AtomicU64::new(now());
        Self { begun: zero(), ended: zero(), parts: zero(), unread: zero(), quiet_since }
    }
}

fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Counts {
    /// Returns `begun`, `ended`, `parts` and `unread`.
    fn now(&self) -> [u64; 4] {
        [&self.begun, &self.ended, &self.parts, &self.unread].map(|n| n.load(Ordering::Relaxed))
    }
}

fn none_runs([begun, ended, _, unread]: [u64; 4]) -> bool {
    begun == ended.saturating_add(unread)
}

impl Activity {
    /// Notes the start of a request.
    pub(crate) fn begin(&self) -> Running {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Running(self.0.clone())
    }

    /// Returns when the last request ended, in milliseconds since [`START`]. None while a request
    /// runs or a response is unread.
    pub(crate) fn quiet_since(&self) -> Option<u64> {
        let [begun, ended, ..] = self.0.now();
        (begun == ended).then(|| self.0.quiet_since.load(Ordering::Relaxed))
    }

    /// Waits until there is no activity for `first` at the start, or for `idle` later. A response
    /// that the client does not read is no activity; waiting for a service is.
    pub(crate) async fn ceased(&self, first: Duration, idle: Duration) {
        let mut patience = first;
        loop {
            let before = self.0.now();
            sleep(patience).await;
            if none_runs(before) && before == self.0.now() {
                return;
            }
            patience = idle;
        }
    }
}

/// A request that has not ended.
pub(crate) struct Running(Arc<Counts>);

impl Running {
    /// Wraps the response's body. The request ends when the body is dropped.
    pub(crate) fn until_sent(self, body: Body) -> Sending {
        Sending { body, running: self, unread: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.quiet_since.store(now(), Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A response body that counts as activity; see [`Running::until_sent`].
pub(crate) struct Sending {
    body: Body,
    running: Running,
    /// Whether a part was handed over and the next one has not been polled for.
    unread: bool,
}

impl Sending {
    fn note(&mut self, handed_over: bool) {
        let counts = &self.running.0;
        if handed_over {
            counts.parts.fetch_add(1, Ordering::Relaxed);
        }
        match (self.unread, handed_over) {
            (false, true) => counts.unread.fetch_add(1, Ordering::Relaxed),
            (true, false) => counts.unread.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
        self.unread = handed_over;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.note(false);
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let handed_over = matches!(&frame, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        self.note(handed_over);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_connection_without_a_request_ceases_soon() {
        Activity::default().ceased(SHORT, LONG).await;
    }

    #[tokio::test]
    async fn a_connection_with_a_running_request_does_not_cease() {
        let activity = Activity::default();
        let running = activity.begin();
        let ceased = tokio::time::timeout(50 * SHORT, activity.ceased(SHORT, SHORT));
        assert!(ceased.await.is_err());
        drop(running);
        activity.ceased(SHORT, SHORT).await;
    }

    #[tokio::test]
    async fn waiting_for_the_service_is_activity_and_an_unread_response_is_not() {
        let activity = Activity::default();
        let parts = stream::once(ready(Ok(Frame::data(Bytes::from_static(b"part")))));
        let parts = StreamBody::new(parts.chain(stream::pending::<Result<_, Status>>()));
        let mut sending = activity.begin().until_sent(Body::new(parts));
        assert!(sending.frame().await.is_some());
        activity.ceased(SHORT, SHORT).await;
        assert!(sending.frame().now_or_never().is_none());
        let ceased = tokio::time::timeout(50 * SHORT, activity.ceased(SHORT, SHORT));
        assert!(ceased.await.is_err());
        drop(sending);
        activity.ceased(SHORT, SHORT).await;
    }
}
