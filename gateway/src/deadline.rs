//! Bodies on their way out, which end when the call's time is over: a stream has begun with its
//! head, and has no more time for that.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clinic_chassis::Error;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

/// The body of an answer, which ends with DEADLINE_EXCEEDED when it is not complete by then.
pub(crate) fn until(deadline: Instant, body: Body) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    Body::new(Until { body: Some(body), deadline, alarm: None })
}

struct Until {
    /// None once it has ended: dropping it ends the work upstream.
    body: Option<Body>,
    deadline: Instant,
    /// Set when there is something to wait for, which an answer of one message rarely has.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let deadline = this.deadline;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.body = None;
        let mut trailers = HeaderMap::new();
        let status = Status::from(Error::deadline_exceeded());
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // Never the length of the whole: it may end earlier.
        SizeHint::default()
    }
}
