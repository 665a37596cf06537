//! The response of a replica.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::failure::Failed;

/// Bytes of a response that are buffered. A call can be retried until a byte was passed on.
const MOST_HELD: usize = 64 * 1024;

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
}

/// A response body that is passed on to the caller. Dropping it ends the call.
pub(super) struct ResponseBody {
    /// Frames that have arrived.
    held: VecDeque<Frame<Bytes>>,
    body: RecvStream,
    heard: Arc<Heard>,
    /// The task that sends the rest of the request.
    _passing: Option<AbortOnDropHandle<()>>,
}

impl ResponseBody {
    /// Returns a body that is passed on as it arrives.
    pub(super) fn new(
        body: RecvStream,
        heard: Arc<Heard>,
        passing: Option<AbortOnDropHandle<()>>,
    ) -> Self {
        heard.note();
        Self { held: VecDeque::new(), body, heard, _passing: passing }
    }

    /// Waits until the response is complete or large. Fails if the connection breaks before that.
    pub(super) async fn buffer(&mut self) -> Result<(), Failed> {
        let mut bytes = 0;
        while bytes < MOST_HELD && !self.body.is_end_stream() {
            let frame = poll_fn(|cx| self.poll_arriving(cx)).await;
            let Some(frame) = frame.transpose()? else { break };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            self.held.push_back(frame);
        }
        Ok(())
    }

    fn poll_arriving(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let frame = match ready!(self.body.poll_data(cx)) {
            // The window is released when a part is handed over: the replica sends no more to a
            // caller that does not read.
            Some(Ok(data)) => {
                self.body.flow_control().release_capacity(data.len()).map(|()| Frame::data(data))
            }
            Some(Err(error)) => Err(error),
            None => match ready!(self.body.poll_trailers(cx)) {
                Ok(Some(trailers)) => Ok(Frame::trailers(trailers)),
                Ok(None) => return Poll::Ready(None),
                Err(error) => Err(error),
            },
        };
        self.heard.note();
        Poll::Ready(Some(frame))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.poll_arriving(cx).map_err(|error| Status::from_error(Box::new(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }
}
