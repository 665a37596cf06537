//! Receives request bodies. Takes data from h2 as soon as it arrives, because frames that wait in
//! h2 count against the whole connection, however small they are. The client may send more once the
//! service has read the data.

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
pub(super) struct RequestBody {
    stream: RecvStream,
    shared: Arc<Mutex<Shared>>,
    /// Bytes received after the service stopped reading.
    discarded: usize,
    /// Whether `content-length` is set, and small enough to discard the body.
    ends_soon: bool,
}

struct Shared {
    /// The next bytes to be read.
    next: Bytes,
    /// The bytes after them, in one buffer: many small frames must not cost more than their bytes.
    later: BytesMut,
    /// How the body ended, with its trailers.
    end: Option<Result<Option<HeaderMap>, h2::Error>>,
    /// None after the service stopped reading.
    reader: Option<Waker>,
    flow: FlowControl,
}

/// The body as the service reads it.
struct Reading(Arc<Mutex<Shared>>);

/// Returns the request with a readable body, and the intake that must be polled until the body
/// ends.
pub(super) fn receive(request: Request<RecvStream>) -> (Request<Body>, Option<RequestBody>) {
    let (head, mut stream) = request.into_parts();
    let len = head.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok());
    let ends_soon =
        len.and_then(|len| len.parse().ok()).is_some_and(|len: usize| len <= DISCARDED_BYTES);
    if stream.is_end_stream() {
        return (Request::from_parts(head, Body::default()), None);
    }
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
    let body = Body::new(Reading(shared.clone()));
    let intake = RequestBody { stream, shared, discarded: 0, ends_soon };
    (Request::from_parts(head, body), Some(intake))
}

/// Receives what has arrived, and is polled again when there is more.
pub(super) fn poll(intake: &mut Option<RequestBody>, cx: &mut Context<'_>) {
    if let Some(taking) = intake
        && taking.poll(cx).is_ready()
    {
        *intake = None;
    }
}

impl RequestBody {
    /// Ready when the body has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.discarded <= DISCARDED_BYTES {
            let end = match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.discarded += lock(&self.shared).take(data);
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

    /// Returns whether to discard the rest before responding: the service stopped reading and
    /// `content-length` is small. curl 7.88 may stop sending once it has the response. gRPC clients
    /// send no length, and may wait for the response before they end the stream.
    pub(super) fn is_given_up(&self) -> bool {
        self.ends_soon && lock(&self.shared).reader.is_none()
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.end.is_none() {
            // Otherwise a waiting reader would wait forever and keep the connection's memory.
            shared.end(Err(Reason::CANCEL.into()));
        }
    }
}

impl Shared {
    /// Keeps the data for the reader. Returns the number of bytes discarded because there is none.
    fn take(&mut self, data: Bytes) -> usize {
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
        // Fails only for more than was received.
        let _ = self.flow.release_capacity(len);
    }
}

impl http_body::Body for Reading {
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

impl Drop for Reading {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.reader = None;
        let unread = shared.next.len() + shared.later.len();
        (shared.next, shared.later) = (Bytes::new(), BytesMut::new());
        shared.release(unread);
    }
}
