//! A connection to one replica over HTTP/2: made when it is first needed, and again when it broke.
//!
//! It is h2's client, on which hyper's is built. Hyper's (1.12) takes a request's body only after the
//! head was written, and no other request before that: two writes and two more wakeups for every
//! call, where calls that come together can share one write.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, Version};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;

use super::STREAM_WINDOW;
use super::replica::Target;
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
type Opening = Shared<BoxFuture<'static, Result<Open, Failed>>>;

#[derive(Clone)]
struct Open {
    calls: SendRequest<Bytes>,
    heard: Weak<AtomicBool>,
}

/// Whether the replica has sent anything since the last check. Held by the connection, and by every
/// call until it ends.
type Heard = Arc<AtomicBool>;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) cause: Arc<str>,
    /// Whether the replica cannot be reached, or went away: a stream that was reset says nothing
    /// about the replica.
    pub(super) lost: bool,
}

impl Connection {
    pub(super) async fn send(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let Open { mut calls, heard } = self.open(target).await?;
        // Without one the connection has ended, and says why as soon as something is sent.
        let heard = heard.upgrade().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let mut head = Request::from_parts(parts, ());
        *head.uri_mut() = target.uri(head.uri());
        *head.version_mut() = Version::HTTP_2;
        let empty = body.is_end_stream();
        let (answer, stream) = calls.send_request(head, empty)?;
        // Most requests are one message that is here already, and need no task.
        let passing = if empty { None } else { pass_on(body, stream) };
        let answer = answer.await?;
        heard.store(true, Ordering::Relaxed);
        Ok(answer.map(|body| Body::new(Answer { body, heard, _passing: passing })))
    }

    /// Returns the connection, or opens a new one if it is broken. Waiting callers share one
    /// attempt, which goes on when one of them leaves.
    async fn open(&self, target: &Arc<Target>) -> Result<Open, Failed> {
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
}

impl Open {
    /// Whether it takes calls: not after an error, and not after a GOAWAY.
    fn holds(&self) -> bool {
        let state = self.calls.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(state, Poll::Ready(Err(_)))
    }
}

fn opening(target: Arc<Target>) -> Opening {
    let opened = AbortOnDropHandle::new(tokio::spawn(async move {
        match timeout(CONNECT_TIMEOUT, open(&target)).await {
            Ok(Ok(open)) => Ok(open),
            Ok(Err(error)) => Err(Failed::unreachable(format!("{error:#}"))),
            Err(_) => Err(Failed::unreachable("it takes too long to connect".to_owned())),
        }
    }));
    let opened = opened
        .map(|opened| opened.unwrap_or_else(|error| Err(Failed::unreachable(error.to_string()))));
    opened.boxed().shared()
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
    let heard = Heard::default();
    let open = Open { calls, heard: Arc::downgrade(&heard) };
    // No pings without calls: some servers take them for an attack.
    let is_well = move || heard.swap(false, Ordering::Relaxed) || Arc::strong_count(&heard) == 1;
    let silence = silence(connection.ping_pong(), SILENCE, PONG_PATIENCE, is_well);
    tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            ended = connection => ended,
            () = silence => return tracing::debug!("a replica says nothing any more"),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a replica ended");
        }
    });
    Ok(open)
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
struct Answer {
    body: RecvStream,
    heard: Heard,
    _passing: Option<AbortOnDropHandle<()>>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
        this.heard.store(true, Ordering::Relaxed);
        Poll::Ready(Some(frame.map_err(|error| Status::from_error(Box::new(error)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Failed {
    pub(super) fn unreachable(cause: String) -> Self {
        Self { cause: cause.into(), lost: true }
    }
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        // A replica that sends a reset or a GOAWAY is up.
        let lost = error.is_io();
        Self { cause: error.to_string().into(), lost }
    }
}
