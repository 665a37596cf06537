//! The body of a response as it arrives from a replica.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;
use tokio_util::task::AbortOnDropHandle;

/// Whether the replica has sent anything since the last check, for each kind of check. Held by the
/// connection, and by every call until it ends.
#[derive(Default)]
pub(super) struct Heard(AtomicU8);

impl Heard {
    /// For the connection's own ping.
    pub(super) const SINCE_PING: u8 = 1;
    /// For the check of the replica.
    pub(super) const SINCE_CHECK: u8 = 2;

    pub(super) fn note(&self) {
        self.0.store(Self::SINCE_PING | Self::SINCE_CHECK, Ordering::Relaxed);
    }

    pub(super) fn since(&self, which: u8) -> bool {
        self.0.fetch_and(!which, Ordering::Relaxed) & which != 0
    }

    pub(super) fn lately(&self) -> bool {
        self.since(Self::SINCE_CHECK)
    }
}

/// The body of a response. Dropping it ends the call.
pub(super) struct Incoming {
    pub(super) body: RecvStream,
    pub(super) heard: Arc<Heard>,
    /// The task that sends the rest of the request.
    pub(super) _passing: Option<AbortOnDropHandle<()>>,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        let frame = match ready!(this.body.poll_data(cx)) {
            Some(Ok(data)) => {
                // The window is released when a part is handed over: the replica sends no more to a
                // caller that does not read.
                this.body.flow_control().release_capacity(data.len()).map(|()| Frame::data(data))
            }
            Some(Err(error)) => Err(error),
            None => match ready!(this.body.poll_trailers(cx)) {
                Ok(Some(trailers)) => Ok(Frame::trailers(trailers)),
                Ok(None) => return Poll::Ready(None),
                Err(error) => Err(error),
            },
        };
        this.heard.note();
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
