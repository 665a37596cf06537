//! Receives request bodies. h2 limits the number of small DATA frames that wait in a connection, so
//! frames are taken out as soon as they arrive. Flow-control capacity is released only when the
//! service reads the data, so a slow service still slows its client down.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::{FlowControl, Reason, RecvStream};
use http::{HeaderMap, Request, header};
use http_body::Frame;
use http_body_util::Full;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use crate::discard::{DISCARD_TIME, DISCARDED_BYTES};
use crate::lock;

/// Receives the body of a request.
pub(super) struct BodyReceiver {
    stream: RecvStream,
    shared: Arc<Mutex<Shared>>,
    /// Bytes received after the service stopped reading.
    discarded: usize,
    /// Whether `content-length` is set and small enough to discard the body.
    has_small_length: bool,
}

struct Shared {
    /// The next bytes to be read.
    next: Bytes,
    /// The bytes after them, in one buffer: a list of small frames would use much more memory.
    later: BytesMut,
    /// How the body ended, with its trailers.
    end: Option<Result<Option<HeaderMap>, h2::Error>>,
    /// Wakes the reader; does nothing while it does not wait. None after the service stopped reading.
    reader: Option<Waker>,
    flow: FlowControl,
}

/// The body as the service reads it.
struct BodyReader(Arc<Mutex<Shared>>);

/// Returns the request with a readable body, and the receiver that must be polled until the body
/// ends. There is no receiver if the whole body has arrived.
pub(super) fn receive(request: Request<RecvStream>) -> (Request<Body>, Option<BodyReceiver>) {
    let (head, mut stream) = request.into_parts();
    let len = head.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok());
    let has_small_length =
        len.and_then(|len| len.parse().ok()).is_some_and(|len: usize| len <= DISCARDED_BYTES);
    if stream.is_end_stream() {
        return (Request::from_parts(head, Body::default()), None);
    }
    // `poll` registers a waker, and h2 returns an error again, so nothing is lost here.
    let first = stream.poll_data(&mut Context::from_waker(Waker::noop()));
    let mut next = Bytes::new();
    if let Poll::Ready(Some(Ok(data))) = first {
        if stream.is_end_stream() {
            // Most requests are one message that arrives together with the head.
            let _ = stream.flow_control().release_capacity(data.len());
            return (Request::from_parts(head, Body::new(Full::new(data))), None);
        }
        next = data;
    }
    let shared = Arc::new(Mutex::new(Shared {
        next,
        later: BytesMut::new(),
        end: None,
        reader: Some(Waker::noop().clone()),
        flow: stream.flow_control().clone(),
    }));
    let body = Body::new(BodyReader(shared.clone()));
    let receiver = BodyReceiver { stream, shared, discarded: 0, has_small_length };
    (Request::from_parts(head, body), Some(receiver))
}

/// Receives the data that has arrived, and registers `cx` for more. Removes the receiver when the body
/// has ended.
pub(super) fn poll(receiver: &mut Option<BodyReceiver>, cx: &mut Context<'_>) {
    if let Some(pending) = receiver
        && pending.poll(cx).is_ready()
    {
        *receiver = None;
    }
}

impl BodyReceiver {
    /// Receives the data that has arrived. Ready when the body has ended. After more than
    /// `DISCARDED_BYTES` of discarded data, stays pending and registers no waker: the client waits
    /// for flow control until this is dropped, which resets the stream.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.discarded <= DISCARDED_BYTES {
            let end = match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.discarded += lock(&self.shared).receive(data);
                    continue;
                }
                Some(Err(error)) => Err(error),
                None => ready!(self.stream.poll_trailers(cx)),
            };
            lock(&self.shared).end(end);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Returns whether to discard the rest before responding. True if the service stopped reading and
    /// `content-length` is small: curl 7.88 may stop sending when a response arrives early. False
    /// without `content-length`: a gRPC client may wait for the response before it ends the stream.
    pub(super) fn should_discard_before_responding(&self) -> bool {
        self.has_small_length && lock(&self.shared).reader.is_none()
    }

    /// Discards the rest, so that the client can finish sending and read the response. A body that
    /// is too long or too slow is reset when this is dropped.
    pub(super) async fn discard(&mut self) {
        let rest = std::future::poll_fn(|cx| match self.poll(cx) {
            Poll::Pending if self.discarded > DISCARDED_BYTES => Poll::Ready(()),
            polled => polled,
        });
        let _ = timeout(DISCARD_TIME, rest).await;
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.end.is_none() {
            // Otherwise a waiting reader would wait forever and keep the connection's memory.
            shared.end(Err(Reason::CANCEL.into()));
        }
    }
}

impl Shared {
    /// Keeps the data for the reader, or discards it if the service has stopped reading. Returns the
    /// number of discarded bytes.
    fn receive(&mut self, data: Bytes) -> usize {
        if self.reader.is_none() {
            self.release(data.len());
            return data.len();
        }
        match self.next.is_empty() {
            true => self.next = data,
            false => self.later.extend_from_slice(&data),
        }
        self.wake();
        0
    }

    fn end(&mut self, end: Result<Option<HeaderMap>, h2::Error>) {
        self.end = Some(end);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = &mut self.reader {
            std::mem::replace(reader, Waker::noop().clone()).wake();
        }
    }

    fn release(&mut self, len: usize) {
        // Fails only if `len` is more than was received.
        let _ = self.flow.release_capacity(len);
    }
}

impl http_body::Body for BodyReader {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut shared = lock(&self.0);
        if !shared.next.is_empty() {
            let later = shared.later.split().freeze();
            let data = std::mem::replace(&mut shared.next, later);
            shared.release(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(end) = &mut shared.end else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        // Trailers and errors are returned once; after that, the body is at its end.
        Poll::Ready(match std::mem::replace(end, Ok(None)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(Status::from_error(Box::new(error)))),
        })
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.0);
        shared.next.is_empty() && matches!(shared.end, Some(Ok(None)))
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.reader = None;
        let unread = shared.next.len() + shared.later.len();
        (shared.next, shared.later) = (Bytes::new(), BytesMut::new());
        shared.release(unread);
    }
}
