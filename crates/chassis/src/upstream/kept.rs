//! A request that can be sent again when an attempt fails.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Version};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::connection::{Failed, How, Sent};
use super::target::Target;

/// Bytes of a body that are kept for another attempt. A request with a larger body is sent once.
pub(super) const MOST_KEPT: usize = 64 * 1024;

/// See the module.
pub(super) struct Kept {
    head: Parts,
    body: Content,
    /// Whether an attempt was made.
    is_sent: bool,
}

enum Content {
    /// The whole body; none when it was sent and is too large to be kept.
    Whole(Option<Bytes>),
    /// A body of which parts are still to come.
    Parts(Arc<Mutex<Reader>>),
}

/// Reads a body once, for all attempts.
struct Reader {
    body: Body,
    /// The parts that were read.
    read: Vec<Bytes>,
    bytes: usize,
    /// Whether `read` has every part. If not, the parts that one attempt has sent are gone.
    is_kept: bool,
    /// The body's trailers, once it has ended.
    end: Option<Option<HeaderMap>>,
}

impl Kept {
    /// Reads the body as far as it is here. Fails if the body does.
    pub(super) fn new(request: Request<Body>) -> Result<Self, Failed> {
        let (head, body) = request.into_parts();
        let end = body.is_end_stream().then_some(None);
        let mut reader = Reader { body, read: Vec::new(), bytes: 0, is_kept: true, end };
        // Most requests are one message that is here already.
        while reader.end.is_none() && reader.read.len() < 2 {
            match reader.poll_body(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(Some(part))) => reader.read.push(part),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(error)) => return Err(Failed::new(How::Reset, &error)),
                Poll::Pending => break,
            }
        }
        reader.is_kept = reader.bytes <= MOST_KEPT;
        let body = match (&reader.end, reader.read.len()) {
            (Some(None), 0 | 1) => Content::Whole(Some(reader.read.pop().unwrap_or_default())),
            _ => Content::Parts(Arc::new(Mutex::new(reader))),
        };
        Ok(Self { head, body, is_sent: false })
    }

    /// Returns what an attempt sends.
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
                let attempt = Attempt { reader: reader.clone(), next: 0, has_ended: false };
                Sent::Parts(Body::new(attempt))
            }
        };
        (head, body)
    }

    /// Whether another attempt can send the same.
    pub(super) fn is_kept(&self) -> bool {
        let is_kept = match &self.body {
            Content::Whole(bytes) => bytes.is_some(),
            Content::Parts(reader) => lock(reader).is_kept,
        };
        is_kept || !self.is_sent
    }
}

impl Reader {
    /// Reads the next part; none if that is the end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        let part = match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
            Some(frame) => match frame.into_data() {
                Ok(part) => Some(part),
                Err(frame) => {
                    self.end = Some(frame.into_trailers().ok());
                    None
                }
            },
            None => {
                self.end = Some(None);
                None
            }
        };
        self.bytes += part.as_ref().map_or(0, Bytes::len);
        if part.is_some() && self.body.is_end_stream() {
            self.end = Some(None);
        }
        Poll::Ready(Ok(part))
    }

    /// Returns the part with that number, for an attempt that has had those before it.
    fn poll_part(
        &mut self,
        number: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        match self.read.get_mut(number) {
            Some(part) if self.is_kept => return Poll::Ready(Ok(Some(part.clone()))),
            Some(part) => return Poll::Ready(Ok(Some(std::mem::take(part)))),
            None if self.end.is_some() => return Poll::Ready(Ok(None)),
            None => {}
        }
        let part = ready!(self.poll_body(cx));
        self.is_kept &= part.is_ok() && self.bytes <= MOST_KEPT;
        match &part {
            Ok(Some(part)) if self.is_kept => self.read.push(part.clone()),
            Ok(_) | Err(_) => {}
        }
        if !self.is_kept {
            self.read.clear();
        }
        Poll::Ready(part)
    }
}

/// The body of one attempt.
struct Attempt {
    reader: Arc<Mutex<Reader>>,
    /// The number of the part that is next.
    next: usize,
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
        let part = ready!(reader.poll_part(this.next, cx));
        this.next += 1;
        this.has_ended = !matches!(part, Ok(Some(_)));
        Poll::Ready(match part {
            Ok(Some(part)) => Some(Ok(Frame::data(part))),
            Ok(None) => reader.end.clone().flatten().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let reader = lock(&self.reader);
        self.has_ended || (matches!(reader.end, Some(None)) && self.next >= reader.read.len())
    }
}

/// Nothing panics while it holds the lock, so it is never poisoned.
fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}
