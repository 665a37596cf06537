//! Discards the unread rest of an HTTP/1.1 request body, which precedes the next request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use clinic_net::discard::{DISCARDED_BYTES, discard};
use http::{Request, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::body::Body;

/// State of a request body.
#[derive(Default)]
enum State {
    /// Being read, possibly after the response.
    #[default]
    Reading,
    /// Read to its end.
    Done,
    /// Dropped before its end.
    Unread(Incoming),
    /// Failed with a read error.
    Failed,
}

/// Handle on the unread rest of a body.
pub(super) struct UnreadBody {
    state: Arc<Mutex<State>>,
    /// Whether the client waits for `100 Continue`.
    expected: bool,
}

struct Tracked {
    body: Option<Incoming>,
    state: Arc<Mutex<State>>,
}

/// Returns the request, and a handle on the unread rest of its body.
pub(super) fn track(request: Request<Incoming>) -> (Request<Body>, Option<UnreadBody>) {
    if request.body().is_end_stream() {
        return (request.map(Body::new), None);
    }
    let expected = request.headers().contains_key(header::EXPECT);
    let state = Arc::<Mutex<State>>::default();
    let leftover = UnreadBody { state: state.clone(), expected };
    (request.map(|body| Body::new(Tracked { body: Some(body), state })), Some(leftover))
}

impl UnreadBody {
    /// Discards the rest of the body. Returns whether the connection can be reused.
    pub(super) async fn read(self) -> bool {
        let state = std::mem::take(&mut *lock(&self.state));
        match state {
            State::Done => true,
            State::Reading | State::Failed => false,
            State::Unread(body) => {
                let most = u64::try_from(DISCARDED_BYTES).unwrap_or(u64::MAX);
                !self.expected && body.size_hint().lower() <= most && discard(body).await
            }
        }
    }
}

impl Tracked {
    fn note(&mut self, state: State) {
        self.body = None;
        *lock(&self.state) = state;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *lock(&self.state) = State::Unread(body);
        }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(_))) if body.is_end_stream() => self.note(State::Done),
            Poll::Ready(None) => self.note(State::Done),
            Poll::Ready(Some(Err(_))) => self.note(State::Failed),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
