//! Whether anything goes on on a connection, so that one that only takes a place can be closed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;

/// The requests of a connection.
#[derive(Default)]
pub(crate) struct Activity(watch::Sender<Requests>);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Requests {
    begun: u64,
    ended: u64,
}

impl Requests {
    fn none_runs(&self) -> bool {
        self.begun == self.ended
    }
}

impl Activity {
    /// A request has come.
    pub(crate) fn begin(&self) -> Running {
        self.0.send_modify(|requests| requests.begun += 1);
        Running(self.0.clone())
    }

    /// Waits until nothing was asked for so long: `first` for the first request, `idle` later.
    pub(crate) async fn ceased(&self, first: Duration, idle: Duration) {
        let mut patience = first;
        loop {
            let before = *self.0.borrow();
            sleep(patience).await;
            if before.none_runs() && before == *self.0.borrow() {
                return;
            }
            patience = idle;
        }
    }

    /// Waits until no request runs.
    pub(crate) async fn idle(&self) {
        // It fails when no sender is left, and this is one.
        let _ = self.0.subscribe().wait_for(Requests::none_runs).await;
    }
}

/// A request that has not ended.
pub(crate) struct Running(watch::Sender<Requests>);

impl Running {
    /// The answer's body; the request ends with it.
    pub(crate) fn until_sent(self, body: Body) -> Sending {
        Sending { body, _running: self }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|requests| requests.ended += 1);
    }
}

/// See [`Running::until_sent`].
pub(crate) struct Sending {
    body: Body,
    _running: Running,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn without_a_request_it_is_soon_over() {
        Activity::default().ceased(SHORT, LONG).await;
    }

    #[tokio::test]
    async fn it_goes_on_while_a_request_runs() {
        let activity = Activity::default();
        let running = activity.begin();
        let ceased = tokio::time::timeout(50 * SHORT, activity.ceased(SHORT, SHORT));
        assert!(ceased.await.is_err());
        drop(running);
        activity.idle().await;
        activity.ceased(SHORT, SHORT).await;
    }
}
