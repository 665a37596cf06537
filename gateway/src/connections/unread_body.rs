//! Discards the unread rest of an HTTP/1.1 request body, which precedes the next request.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clinic_net::discard::{DISCARDED_BYTES, discard};
use http::{Request, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tonic::body::Body;

/// Handle on the unread rest of a body.
pub(super) struct UnreadBody {
    /// Closed without a value after a read error.
    rest: oneshot::Receiver<Rest>,
    /// Whether the client waits for `100 Continue`.
    expected: bool,
}

/// The rest of a body that nobody reads any more.
enum Rest {
    /// There is none: the body was read to its end.
    Read,
    Unread(Incoming),
}

/// A request body; None after its end or a read error.
struct Tracked(Option<(Incoming, oneshot::Sender<Rest>)>);

/// Returns the request, and a handle on the unread rest of its body.
pub(super) fn track(request: Request<Incoming>) -> (Request<Body>, Option<UnreadBody>) {
    if request.body().is_end_stream() {
        return (request.map(Body::new), None);
    }
    let expected = request.headers().contains_key(header::EXPECT);
    let (sender, rest) = oneshot::channel();
    let request = request.map(|body| Body::new(Tracked(Some((body, sender)))));
    (request, Some(UnreadBody { rest, expected }))
}

impl UnreadBody {
    /// Discards the rest of the body. Returns whether the connection can be reused.
    pub(super) async fn read(mut self) -> bool {
        match self.rest.try_recv() {
            Ok(Rest::Read) => true,
            Ok(Rest::Unread(body)) => {
                let most = u64::try_from(DISCARDED_BYTES).unwrap_or(u64::MAX);
                !self.expected && body.size_hint().lower() <= most && discard(body).await
            }
            // Still being read, or failed.
            Err(_) => false,
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some((body, rest)) = self.0.take() {
            // Fails if the response was complete before.
            let _ = rest.send(Rest::Unread(body));
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
        let Some((body, _)) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let has_ended = match &frame {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) => {
                self.0 = None;
                false
            }
            Poll::Pending => false,
        };
        if has_ended && let Some((_, rest)) = self.0.take() {
            let _ = rest.send(Rest::Read);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}
