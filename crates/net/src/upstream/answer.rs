//! The response of a replica.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::failure::Failed;
use super::incoming::Incoming;

/// Bytes of a response that are buffered. A call can be retried until a byte was passed on.
const MOST_HELD: usize = 64 * 1024;

/// A response body that is passed on to the caller.
struct Answer {
    /// Frames that have arrived.
    held: VecDeque<Frame<Bytes>>,
    incoming: Incoming,
}

/// Returns a response that is passed on as it arrives.
pub(super) fn as_it_arrives(answer: Response<Incoming>) -> Response<Body> {
    answer.map(|incoming| Body::new(Answer { held: VecDeque::new(), incoming }))
}

/// Returns a response once it is complete or large. Fails if the connection breaks before that.
pub(super) async fn complete(answer: Response<Incoming>) -> Result<Response<Body>, Failed> {
    let (head, mut incoming) = answer.into_parts();
    let (mut held, mut bytes) = (VecDeque::new(), 0);
    while bytes < MOST_HELD && !incoming.is_end_stream() {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await;
        let Some(frame) = frame.transpose()? else { break };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        held.push_back(frame);
    }
    Ok(Response::from_parts(head, Body::new(Answer { held, incoming })))
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let failed = |error| Status::from_error(Box::new(error));
        Poll::Ready(frame.map(|frame| frame.map_err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.incoming.is_end_stream()
    }
}
