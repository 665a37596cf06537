//! Response bodies that end at the call's deadline, also those of streams that have begun.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clinic_net::Error;
use clinic_net::http2::Bounds;
use clinic_net::memory_quota::Account;
use clinic_net::upstream::STREAM_WINDOW;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// Wraps a response to end with DEADLINE_EXCEEDED if it is not complete by the deadline. Its unread
/// bytes count for the account.
pub(crate) fn bounded(
    response: Response<Body>,
    deadline: Option<Instant>,
    account: Account,
) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    let mut response = response.map(|body| {
        Body::new(Bounded { body: Some(body), deadline, clock: None, has_begun: false })
    });
    // Ends the response even if the client reads nothing, and so the body is not polled. While the
    // response waits, the service sends what its window allows.
    let behind = usize::try_from(STREAM_WINDOW).unwrap_or(usize::MAX);
    response.extensions_mut().insert(Bounds { ends_at: deadline, account, behind });
    response
}

struct Bounded {
    /// None after the end. Dropping the body cancels the service's work.
    body: Option<Body>,
    deadline: Option<Instant>,
    /// Created when the service has no data ready; most responses never need it.
    clock: Option<Pin<Box<Sleep>>>,
    has_begun: bool,
}

impl Bounded {
    fn end(&mut self) -> Polled {
        self.body = None;
        let mut trailers = HeaderMap::new();
        let written = Status::from(Error::deadline_exceeded()).add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if this.has_begun && this.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return this.end();
        }
        let polled = Pin::new(body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.has_begun = true;
                if frame.is_trailers() {
                    // The deadline must not add a second end.
                    this.body = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => {
                let Some(deadline) = this.deadline else { return Poll::Pending };
                let clock = this.clock.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                match clock.as_mut().poll(cx) {
                    Poll::Ready(()) => this.end(),
                    Poll::Pending => Poll::Pending,
                }
            }
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // The length is unknown: the body may end early.
        SizeHint::default()
    }
}
