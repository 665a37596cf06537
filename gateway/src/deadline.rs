//! Bodies on their way out, which end when the call's time is over: a stream has begun with its
//! head, and has no more time for that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use clinic_chassis::Error;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// The body of an answer, which ends with DEADLINE_EXCEEDED when it is not complete by then.
pub(crate) fn until(deadline: Instant, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Until { answer: Answer::Begun(body), deadline, messages: 0 })
}

struct Until {
    answer: Answer,
    deadline: Instant,
    messages: u32,
}

enum Answer {
    /// Most answers are one message and its trailers, which are there at once: no clock is set.
    Begun(Body),
    Timed {
        body: Arc<Timed>,
        _clock: AbortOnDropHandle<()>,
    },
    Ended,
}

/// A body that ends by the clock, also when the client reads nothing and nobody asks for more.
struct Timed(Mutex<Reading>);

struct Reading {
    /// None when the time was over: dropping it ends the work upstream.
    body: Option<Body>,
    reader: Option<Waker>,
}

impl Timed {
    fn start(deadline: Instant, body: Body, reader: Waker) -> Answer {
        let reading = Reading { body: Some(body), reader: Some(reader) };
        let body = Arc::new(Self(Mutex::new(reading)));
        let timed = body.clone();
        let clock = tokio::spawn(async move {
            sleep_until(deadline).await;
            timed.end();
        });
        Answer::Timed { body, _clock: AbortOnDropHandle::new(clock) }
    }

    fn end(&self) {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (body, reader) = (reading.body.take(), reading.reader.take());
        drop(reading);
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// None when the time was over.
    fn poll(&self, cx: &mut Context<'_>) -> Option<Polled> {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(reading.body.as_mut()?).poll_frame(cx);
        if polled.is_pending() {
            reading.reader = Some(cx.waker().clone());
        }
        Some(polled)
    }
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let polled = match &mut this.answer {
            Answer::Begun(body) => {
                let polled = Pin::new(body).poll_frame(cx);
                this.messages += u32::from(is(&polled, Frame::is_data));
                if (polled.is_pending() || this.messages > 1)
                    && let Answer::Begun(body) = std::mem::replace(&mut this.answer, Answer::Ended)
                {
                    this.answer = Timed::start(this.deadline, body, cx.waker().clone());
                }
                Some(polled)
            }
            Answer::Timed { body, .. } => body.poll(cx),
            Answer::Ended => return Poll::Ready(None),
        };
        if polled.as_ref().is_some_and(|polled| is(polled, Frame::is_trailers)) {
            // Whatever the clock says from now on, there is one end.
            this.answer = Answer::Ended;
        }
        polled.unwrap_or_else(|| {
            this.answer = Answer::Ended;
            let mut trailers = HeaderMap::new();
            let status = Status::from(Error::deadline_exceeded());
            Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Begun(body) => body.is_end_stream(),
            // Asking for more tells.
            Answer::Timed { .. } => false,
            Answer::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Never the length of the whole: it may end earlier.
        SizeHint::default()
    }
}

fn is(polled: &Polled, kind: impl FnOnce(&Frame<Bytes>) -> bool) -> bool {
    matches!(polled, Poll::Ready(Some(Ok(frame))) if kind(frame))
}
