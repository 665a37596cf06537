//! A connection to one replica over HTTP/2: made when it is first needed, and again when it broke.
//!
//! It is h2's client, on which hyper's is built. Hyper's (1.12) takes a request's body only after the
//! head was written, and no other request before that: two writes and two more wakeups for every
//! call, where calls that come together can share one write.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use super::kept::Kept;
use super::target::Target;
use super::{STREAM_WINDOW, answer};
use crate::silence::silence;

/// How long a connection may take until calls can be sent over it.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Flow-control window of the connection; large enough for thousands of unread responses.
const CONNECTION_WINDOW: u32 = 8192 * STREAM_WINDOW;
/// Larger than the head of any answer of the suite.
const MAX_HEAD: u32 = 64 * 1024;
/// Calls at once until the replica has said how many it takes.
const FIRST_CALLS: usize = 100;
/// Silence after which a replica that owes answers is pinged.
const SILENCE: Duration = Duration::from_secs(10);
/// Time for the answer to a ping.
const PONG_PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) struct Connection(Mutex<Option<Opening>>);

/// A connection that is being made, or was.
type Opening = Shared<BoxFuture<'static, Result<Arc<Open>, Failed>>>;

/// A connection that was made. It may have ended since.
pub(super) struct Open {
    calls: SendRequest<Bytes>,
    heard: Weak<Heard>,
    driver: AbortHandle,
}

/// What is sent of a request.
pub(super) enum Sent {
    Whole(Bytes),
    Parts(Body),
}

/// Whether the replica has sent anything since the last check, for each of those that ask. Held by
/// the connection, and by every call until it ends.
#[derive(Default)]
struct Heard(AtomicU8);

impl Heard {
    /// For the connection's own ping.
    const SINCE_PING: u8 = 1;
    /// For the check of the replica.
    const SINCE_CHECK: u8 = 2;

    fn note(&self) {
        self.0.store(Self::SINCE_PING | Self::SINCE_CHECK, Ordering::Relaxed);
    }

    fn since(&self, which: u8) -> bool {
        self.0.fetch_and(!which, Ordering::Relaxed) & which != 0
    }

    fn lately(&self) -> bool {
        self.since(Self::SINCE_CHECK)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failed {
    pub(super) cause: Arc<str>,
    pub(super) how: How,
}

/// How a call failed, which decides whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// There is no connection: the replica's machine answers, but the replica cannot be used.
    Refused,
    /// There is no connection, and the replica's machine does not answer.
    NoAnswer,
    /// The replica refused the call before it looked at it (RFC 9113, 8.7).
    NotTaken,
    /// The connection broke: the call may have been carried out.
    Lost,
    /// The replica gave the call up: it may have been carried out.
    Reset,
    /// The caller's request broke off.
    Aborted,
}

impl Connection {
    /// Makes one attempt. If the call is repeatable, the answer is held until it is complete, so that a
    /// connection that breaks meanwhile fails the attempt.
    pub(super) async fn send(
        &self,
        target: &Arc<Target>,
        kept: &mut Kept,
        is_repeatable: bool,
    ) -> Result<Response<Body>, Failed> {
        let open = self.open(target).await?;
        let (head, body) = kept.attempt(target);
        let answer = open.send(head, body).await?;
        match is_repeatable {
            true => answer::complete(answer).await,
            false => Ok(answer::as_it_arrives(answer)),
        }
    }

    /// Returns the connection, or opens a new one if it is broken. Waiting callers share one
    /// attempt, which goes on when one of them leaves.
    pub(super) async fn open(&self, target: &Arc<Target>) -> Result<Arc<Open>, Failed> {
        let opening = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match known.as_ref().map(|opening| (opening, opening.peek())) {
                Some((opening, None)) => opening.clone(),
                Some((_, Some(Ok(open)))) if open.holds() => return Ok(open.clone()),
                Some((_, Some(_))) | None => known.insert(opening(target.clone())).clone(),
            }
        };
        opening.await
    }

    /// Whether something was received since this was asked last.
    pub(super) fn was_heard(&self) -> bool {
        self.opened().and_then(|open| open.heard.upgrade()).is_some_and(|heard| heard.lately())
    }

    /// Closes the connection. Its calls fail.
    pub(super) fn hang_up(&self) {
        if let Some(open) = self.opened() {
            open.driver.abort();
        }
    }

    fn opened(&self) -> Option<Arc<Open>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref()?.peek()?.clone().ok()
    }
}

impl Open {
    async fn send(&self, head: Request<()>, body: Sent) -> Result<Response<Incoming>, Failed> {
        // Without one the connection has ended, and says why as soon as something is sent.
        let heard = self.heard.upgrade().unwrap_or_default();
        let empty = matches!(&body, Sent::Whole(bytes) if bytes.is_empty());
        // What fails here was never sent.
        let sent = self.calls.clone().send_request(head, empty);
        let (answer, mut stream) = sent.map_err(|error| Failed::new(How::NotTaken, &error))?;
        let passing = match body {
            Sent::Whole(bytes) if bytes.is_empty() => None,
            // Most requests are one message that is here already, and need no task. It goes along
            // with the head, before which h2 grants no room.
            Sent::Whole(bytes) => {
                if let Err(error) = stream.send_data(bytes, true) {
                    // The answer says why.
                    tracing::debug!(%error, "a request was not sent");
                }
                None
            }
            Sent::Parts(body) => pass_on(body, stream),
        };
        let answer = answer.await?;
        heard.note();
        Ok(answer.map(|body| Incoming { body, heard, _passing: passing }))
    }

    /// Whether it takes calls: not after an error, and not after a GOAWAY.
    fn holds(&self) -> bool {
        let state = self.calls.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(state, Poll::Ready(Err(_)))
    }
}

fn opening(target: Arc<Target>) -> Opening {
    let opened = AbortOnDropHandle::new(tokio::spawn(async move {
        match timeout(CONNECT_TIMEOUT, open(&target)).await {
            Ok(Ok(open)) => Ok(Arc::new(open)),
            Ok(Err(error)) => Err(Failed::new(how(&error), &format!("{error:#}"))),
            Err(_) => Err(Failed::new(How::NoAnswer, &"it takes too long to connect")),
        }
    }));
    let failed = |error| Err(Failed::new(How::Refused, &error));
    opened.map(move |opened| opened.unwrap_or_else(failed)).boxed().shared()
}

/// Whether the replica's machine answers.
fn how(error: &anyhow::Error) -> How {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut) => {
            How::NoAnswer
        }
        Some(_) | None => How::Refused,
    }
}

async fn open(target: &Target) -> anyhow::Result<Open> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    match &target.tls {
        Some((tls, name)) => speak(tls.connect(name.clone(), stream).await?).await,
        None => speak(stream).await,
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> anyhow::Result<Open> {
    let (calls, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(FIRST_CALLS)
        // Not one that adapts, which would be the same for one answer and for all of them.
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .handshake(stream)
        .await?;
    let heard = Arc::<Heard>::default();
    let lately = Arc::downgrade(&heard);
    // No pings without calls: some servers take them for an attack.
    let is_well = move || heard.since(Heard::SINCE_PING) || Arc::strong_count(&heard) == 1;
    let silence = silence(connection.ping_pong(), SILENCE, PONG_PATIENCE, is_well);
    let driver = tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            ended = connection => ended,
            () = silence => return tracing::debug!("a replica says nothing any more"),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a replica ended");
        }
    });
    Ok(Open { calls, heard: lately, driver: driver.abort_handle() })
}

/// Passes a body on as far as it is here; a task does what is left, until the call ends.
fn pass_on(body: Body, stream: SendStream<Bytes>) -> Option<AbortOnDropHandle<()>> {
    let mut passing = Box::pin(async move {
        if let Err(error) = pass_all(body, stream).await {
            tracing::debug!(%error, "a request was not passed on to its end");
        }
    });
    match passing.as_mut().now_or_never() {
        Some(()) => None,
        None => Some(AbortOnDropHandle::new(tokio::spawn(passing))),
    }
}

async fn pass_all(mut body: Body, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut first = true;
    loop {
        let next = std::future::poll_fn(|cx| match stream.poll_reset(cx) {
            // The replica needs no more of it.
            Poll::Ready(reason) => Poll::Ready(reason.map(|_| None)),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(|frame| Ok(Some(frame))),
        });
        let frame = match next.await? {
            None => return Ok(()),
            Some(None) => return stream.send_data(Bytes::new(), true),
            Some(Some(Ok(frame))) => frame,
            Some(Some(Err(_))) => {
                stream.send_reset(Reason::CANCEL);
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(data) => {
                // The first part goes along with the head, before which h2 grants no room. For
                // another one some room is enough: h2 keeps what is left.
                if !first && !data.is_empty() {
                    room(&mut stream).await?;
                }
                first = false;
                let last = body.is_end_stream();
                stream.send_data(data, last)?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
}

/// Waits until something may be sent.
async fn room(stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            // The stream was closed: sending says why.
            None => break,
        };
    }
    Ok(())
}

/// The body of an answer. Dropping it ends the call.
pub(super) struct Incoming {
    body: RecvStream,
    heard: Arc<Heard>,
    _passing: Option<AbortOnDropHandle<()>>,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        let frame = match ready!(this.body.poll_data(cx)) {
            Some(Ok(data)) => {
                // The window is released when a part is handed over: a caller that does not read
                // asks for no more parts.
                this.body.flow_control().release_capacity(data.len()).map(|()| Frame::data(data))
            }
            Some(Err(error)) => Err(error),
            None => match ready!(this.body.poll_trailers(cx)) {
                Ok(Some(trailers)) => Ok(Frame::trailers(trailers)),
                Ok(None) => return Poll::Ready(None),
                Err(error) => Err(error),
            },
        };
        this.heard.note();
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Failed {
    pub(super) fn new(how: How, cause: &dyn Display) -> Self {
        Self { cause: cause.to_string().into(), how }
    }
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        // h2 reports a GOAWAY only to the calls that it excludes, and to those after it.
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let how = match error.is_remote() {
            true if refused || error.is_go_away() => How::NotTaken,
            true => How::Reset,
            false if error.is_io() => How::Lost,
            false => How::Aborted,
        };
        Self::new(how, &error)
    }
}
