//! An HTTP/2 connection to one replica, opened on first use and reopened when it breaks.
//!
//! Uses h2's client directly. hyper's client (1.12), which is built on it, takes a request's body
//! only after the head was written, and no other request before that. This costs every call two
//! writes and two more wakeups. With h2, concurrent calls can share one write.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use h2::client::{Builder, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, Response};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use super::STREAM_WINDOW;
use super::failure::{Failed, FailureKind};
use super::replayable::{ReplayableRequest, Sent};
use super::response_body::{Heard, ResponseBody};
use super::target::Target;
use crate::keepalive::silence;
use crate::lock;

/// Timeout for opening a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Flow-control window of the connection; large enough for thousands of unread responses.
const CONNECTION_WINDOW: u32 = 8192 * STREAM_WINDOW;
/// Maximum bytes of a response's head, larger than any of the suite's.
const MAX_HEAD: u32 = 64 * 1024;
/// Maximum concurrent calls until the replica has sent its limit.
const FIRST_CALLS: usize = 100;
/// Silence after which a replica with running calls is pinged.
const SILENCE: Duration = Duration::from_secs(10);
/// Time for the answer to a ping.
const PONG_PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) struct Connection(Mutex<Option<Opening>>);

/// A connection that is being opened, or the result.
type Opening = Shared<BoxFuture<'static, Result<Arc<Open>, Failed>>>;

/// An opened connection. It may have ended since.
pub(super) struct Open {
    calls: SendRequest<Bytes>,
    heard: Weak<Heard>,
    driver: AbortHandle,
}

impl Connection {
    /// Makes one attempt. Buffers the response to a repeatable call until it is complete or large,
    /// so that the attempt fails if the connection breaks meanwhile.
    pub(super) async fn send(
        &self,
        target: &Arc<Target>,
        kept: &mut ReplayableRequest,
        is_repeatable: bool,
    ) -> Result<Response<Body>, Failed> {
        let open = self.open(target).await?;
        let (head, body) = kept.attempt(target);
        let (head, mut response) = open.send(head, body).await?.into_parts();
        if is_repeatable {
            response.buffer().await?;
        }
        Ok(Response::from_parts(head, Body::new(response)))
    }

    /// Returns the connection, or opens a new one if it is broken. Waiting callers share one
    /// attempt, which continues when one of them leaves.
    pub(super) async fn open(&self, target: &Arc<Target>) -> Result<Arc<Open>, Failed> {
        let opening = {
            let mut known = lock(&self.0);
            match known.as_ref().map(|opening| (opening, opening.peek())) {
                Some((opening, None)) => opening.clone(),
                Some((_, Some(Ok(open)))) if open.holds() => return Ok(open.clone()),
                Some((_, Some(_))) | None => known.insert(opening(target.clone())).clone(),
            }
        };
        opening.await
    }

    /// Returns whether anything was received since the last call.
    pub(super) fn was_heard(&self) -> bool {
        let heard = self.opened().and_then(|open| open.heard.upgrade());
        heard.is_some_and(|heard| heard.since(Heard::SINCE_CHECK))
    }

    /// Closes the connection. Its calls fail.
    pub(super) fn close(&self) {
        if let Some(open) = self.opened() {
            open.driver.abort();
        }
    }

    fn opened(&self) -> Option<Arc<Open>> {
        lock(&self.0).as_ref()?.peek()?.clone().ok()
    }
}

impl Open {
    async fn send(&self, head: Request<()>, body: Sent) -> Result<Response<ResponseBody>, Failed> {
        // Without `heard` the connection has ended, and sending returns the reason.
        let heard = self.heard.upgrade().unwrap_or_default();
        let empty = matches!(&body, Sent::Whole(bytes) if bytes.is_empty());
        // What fails here was never sent.
        let sent = self.calls.clone().send_request(head, empty);
        let (response, mut stream) =
            sent.map_err(|error| Failed::new(FailureKind::NotTaken, &error))?;
        let passing = match body {
            Sent::Whole(bytes) if bytes.is_empty() => None,
            // Most requests are one message that has already arrived, and need no task. Do not wait
            // for the window: h2 grants none before it sends the head.
            Sent::Whole(bytes) => {
                if let Err(error) = stream.send_data(bytes, true) {
                    // The response returns the reason.
                    tracing::debug!(%error, "a request was not sent");
                }
                None
            }
            Sent::Parts(body) => pass_on(body, stream),
        };
        Ok(response.await?.map(|body| ResponseBody::new(body, heard, passing)))
    }

    /// Returns whether it accepts calls: false after an error or a GOAWAY.
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
            Err(_) => Err(Failed::new(FailureKind::NoAnswer, &"connecting takes too long")),
        }
    }));
    let failed = |error| Err(Failed::new(FailureKind::Refused, &error));
    opened.map(move |opened| opened.unwrap_or_else(failed)).boxed().shared()
}

/// Classifies an error by whether the replica's machine responds.
fn how(error: &anyhow::Error) -> FailureKind {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut) => {
            FailureKind::NoAnswer
        }
        Some(_) | None => FailureKind::Refused,
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
        // A fixed window: an adaptive one would be the same for one response and for all of them.
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .handshake(stream)
        .await?;
    let heard = Arc::<Heard>::default();
    let lately = Arc::downgrade(&heard);
    // No pings without calls: some servers treat them as an attack.
    let is_well = move || heard.since(Heard::SINCE_PING) || Arc::strong_count(&heard) == 1;
    let silence = silence(connection.ping_pong(), SILENCE, PONG_PATIENCE, is_well);
    let driver = tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            ended = connection => ended,
            () = silence => return tracing::debug!("a replica stopped responding to pings"),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a replica ended");
        }
    });
    Ok(Open { calls, heard: lately, driver: driver.abort_handle() })
}

/// Sends the part of a body that has arrived. A task sends the rest, until the call ends.
fn pass_on(body: Body, stream: SendStream<Bytes>) -> Option<AbortOnDropHandle<()>> {
    let mut passing = Box::pin(async move {
        if let Err(error) = pass_all(body, stream).await {
            tracing::debug!(%error, "a request was not sent completely");
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
            // The replica reset the stream: it needs no more of the body.
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
                // Send the first part at once: h2 grants no window before it sends the head. Later
                // parts wait until there is any window: h2 buffers the rest.
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

/// Waits until the window allows sending.
async fn room(stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            // The stream was closed: sending returns the reason.
            None => break,
        };
    }
    Ok(())
}
