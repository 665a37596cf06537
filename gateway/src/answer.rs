//! Bodies of calls on their way out. They end when the call's time is over, since a stream has begun
//! with its head and has no more time for that; and they count as long as nobody reads them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clinic_chassis::Error;
use clinic_chassis::holdings::{Account, Held};
use clinic_chassis::http2::EndsAt;
use clinic_chassis::upstream::STREAM_WINDOW;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// Bytes of a part of an answer from which on the service has more of it.
const FULL: usize = 16 * 1024;
/// Bytes that it may have sent.
const BEHIND: usize = STREAM_WINDOW as usize;

/// The answer, which ends with DEADLINE_EXCEEDED when it is not complete by then, and with
/// RESOURCE_EXHAUSTED when its caller holds too much.
pub(crate) fn bounded(
    answer: Response<Body>,
    deadline: Option<Instant>,
    account: Account,
) -> Response<Body> {
    if answer.body().is_end_stream() {
        return answer;
    }
    let mut answer = answer.map(|body| {
        let (body, clock, behind) = (Some(body), None, None);
        Body::new(Bounded { body, deadline, clock, has_begun: false, account, behind })
    });
    if let Some(deadline) = deadline {
        // Also when nobody asks for more of it.
        answer.extensions_mut().insert(EndsAt(deadline));
    }
    answer
}

struct Bounded {
    /// None at its end: dropping it ends the work of the service.
    body: Option<Body>,
    deadline: Option<Instant>,
    /// Runs while the service has nothing more: most answers are there at once.
    clock: Option<Pin<Box<Sleep>>>,
    has_begun: bool,
    account: Account,
    /// What the service may have sent of it already.
    behind: Option<Held>,
}

impl Bounded {
    /// Counts a large part until it has gone.
    fn count(&mut self, data: Bytes) -> Result<Bytes, Error> {
        if data.len() >= FULL && self.behind.is_none() {
            self.behind = Some(self.account.hold(BEHIND)?);
        }
        self.account.keep(data)
    }

    fn end(&mut self, error: Error) -> Polled {
        self.body = None;
        let mut trailers = HeaderMap::new();
        let written = Status::from(error).add_header(&mut trailers);
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
            return this.end(Error::deadline_exceeded());
        }
        let polled = Pin::new(body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    this.has_begun = true;
                    match this.count(data) {
                        Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(error) => this.end(error),
                    }
                }
                Err(trailers) => {
                    // Whatever the clock says from now on, there is one end.
                    this.body = None;
                    Poll::Ready(Some(Ok(trailers)))
                }
            },
            Poll::Pending => {
                let Some(deadline) = this.deadline else { return Poll::Pending };
                let clock = this.clock.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                match clock.as_mut().poll(cx) {
                    Poll::Ready(()) => this.end(Error::deadline_exceeded()),
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
        // Never the length of the whole: it may end earlier.
        SizeHint::default()
    }
}
