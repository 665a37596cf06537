//! A request that can be sent again when an attempt fails.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Request, Version};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::failure::{Failed, FailureKind};
use super::target::Target;
use crate::lock;

/// Maximum bytes of a body kept for another attempt. A request with a larger body is sent once.
pub(super) const MOST_KEPT: usize = 64 * 1024;

/// See the module.
pub(super) struct ReplayableRequest {
    head: Parts,
    body: Content,
    /// Whether an attempt was made.
    is_sent: bool,
}

/// The body of a request that is sent.
pub(super) enum Sent {
    Whole(Bytes),
    Parts(Body),
}

enum Content {
    /// The whole body. None once it was sent, if it is too large to keep.
    Whole(Option<Bytes>),
    /// A body that is still arriving.
    Parts(Arc<Mutex<Reader>>),
}

/// Reads a body once, for all attempts.
struct Reader {
    body: Body,
    /// The last bytes that were read, which are kept. In one buffer, because many small parts must
    /// not cost more than their bytes.
    kept: BytesMut,
    /// How many bytes were read.
    read: usize,
    /// Whether all bytes are kept for another attempt.
    is_kept: bool,
    /// The body's trailers, once it has ended.
    end: Option<Option<HeaderMap>>,
}

impl ReplayableRequest {
    /// Reads the part of the body that has arrived. Fails if reading the body fails.
    pub(super) fn new(request: Request<Body>) -> Result<Self, Failed> {
        let (head, body) = request.into_parts();
        let end = body.is_end_stream().then_some(None);
        let (kept, read) = (BytesMut::new(), 0);
        let mut reader = Reader { body, kept, read, is_kept: true, end };
        let mut now = Context::from_waker(Waker::noop());
        let mut poll = |reader: &mut Reader| match reader.poll_body(&mut now) {
            Poll::Ready(part) => part.map_err(|error| Failed::new(FailureKind::Aborted, &error)),
            Poll::Pending => Ok(None),
        };
        // Most requests are one message that has already arrived.
        let first = poll(&mut reader)?.unwrap_or_default();
        let second = poll(&mut reader)?;
        let body = match (second, &reader.end) {
            (None, Some(None)) => Content::Whole(Some(first)),
            (second, _) => {
                reader.kept.extend_from_slice(&first);
                reader.kept.extend_from_slice(&second.unwrap_or_default());
                reader.is_kept = reader.read <= MOST_KEPT;
                Content::Parts(Arc::new(Mutex::new(reader)))
            }
        };
        Ok(Self { head, body, is_sent: false })
    }

    /// Returns the head and body for an attempt.
    pub(super) fn attempt(&mut self, target: &Target) -> (Request<()>, Sent) {
        self.is_sent = true;
        let mut head = Request::new(());
        *head.method_mut() = self.head.method.clone();
        *head.uri_mut() = target.uri(&self.head.uri);
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.head.headers.clone();
        let body = match &mut self.body {
            Content::Whole(Some(bytes)) if bytes.len() <= MOST_KEPT => Sent::Whole(bytes.clone()),
            Content::Whole(bytes) => Sent::Whole(bytes.take().unwrap_or_default()),
            Content::Parts(reader) => {
                let attempt = Attempt { reader: reader.clone(), sent: 0, has_ended: false };
                Sent::Parts(Body::new(attempt))
            }
        };
        (head, body)
    }

    /// Returns whether another attempt can send the same request.
    pub(super) fn is_kept(&self) -> bool {
        let is_kept = match &self.body {
            Content::Whole(bytes) => bytes.is_some(),
            Content::Parts(reader) => lock(reader).is_kept,
        };
        is_kept || !self.is_sent
    }

    /// Stops keeping the body, because no further attempt follows.
    pub(super) fn discard_copy(self) {
        if let Content::Parts(reader) = self.body {
            lock(&reader).is_kept = false;
        }
    }
}

impl Reader {
    /// Reads the next part. Returns None at the end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        if self.end.is_some() {
            return Poll::Ready(Ok(None));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()?;
        match frame.map(Frame::into_data) {
            Some(Ok(part)) => {
                self.read += part.len();
                self.end = self.body.is_end_stream().then_some(None);
                return Poll::Ready(Ok(Some(part)));
            }
            Some(Err(frame)) => self.end = Some(frame.into_trailers().ok()),
            None => self.end = Some(None),
        }
        Poll::Ready(Ok(None))
    }

    /// Returns the bytes after the first `sent`.
    fn poll_after(
        &mut self,
        sent: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        let left = self.read - sent;
        if left > self.kept.len() {
            // Another attempt sent these bytes, and they were not kept.
            return Poll::Ready(Err(Status::cancelled("the request is no longer kept")));
        }
        if left > 0 {
            let rest = self.kept.split_off(self.kept.len() - left).freeze();
            match self.is_kept {
                true => self.kept.extend_from_slice(&rest),
                false => self.kept.clear(),
            }
            return Poll::Ready(Ok(Some(rest)));
        }
        let part = ready!(self.poll_body(cx));
        self.is_kept &= part.is_ok() && self.read <= MOST_KEPT;
        match &part {
            Ok(Some(part)) if self.is_kept => self.kept.extend_from_slice(part),
            Ok(_) | Err(_) if self.is_kept => {}
            Ok(_) | Err(_) => self.kept = BytesMut::new(),
        }
        Poll::Ready(part)
    }
}

/// The body of one attempt.
struct Attempt {
    reader: Arc<Mutex<Reader>>,
    /// Number of bytes sent.
    sent: usize,
    has_ended: bool,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let mut reader = lock(&this.reader);
        let part = ready!(reader.poll_after(this.sent, cx));
        this.sent += part.as_ref().map_or(0, |part| part.as_ref().map_or(0, Bytes::len));
        this.has_ended = !matches!(part, Ok(Some(_)));
        Poll::Ready(match part {
            Ok(Some(part)) => Some(Ok(Frame::data(part))),
            Ok(None) => reader.end.clone().flatten().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let reader = lock(&self.reader);
        self.has_ended || (matches!(reader.end, Some(None)) && self.sent == reader.read)
    }
}
