//! The server side of HTTP/2, with h2 itself, for the gateway and for the services.
//!
//! hyper's server is built on h2 as well, but does not offer what a server on the open internet needs:
//! - It derives the number of small DATA frames that may wait unread from the size of the window, and
//!   ends the whole connection when there are more. [`Builder::data_frame_budget`] sets it.
//! - It asks an answer's body for nothing while the client takes nothing, so that a deadline inside the
//!   body never passes. Here [`Bounds`] ends the stream from outside.
//! - It resets a stream whose answer is complete before the request's body was read. Several clients
//!   lose the answer then. Here the rest of the body is read and discarded, within bounds.

mod intake;
mod room;
mod sending;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use h2::Reason;
use h2::server::{Builder, Connection, SendResponse};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use self::intake::take_in;
use self::room::Room;
use self::sending::Sending;
use crate::Gathered;
use crate::holdings::Account;
use crate::silence::silence;

/// Silence after which the client is pinged.
const SILENCE: Duration = Duration::from_secs(30);
/// Time for the answer to a ping.
const PONG_PATIENCE: Duration = Duration::from_secs(10);
/// Time for which the socket may accept nothing. Ends the connection, because ending streams does
/// not free h2's buffers.
pub const BLOCKED: Duration = Duration::from_secs(30);
/// Bytes that wait for the socket, for each stream. More would be memory that a client holds by
/// reading nothing.
const SEND_BUFFER: usize = 64 * 1024;
/// What small DATA frames that wait unread may cost: each of less than 256 bytes costs the difference.
/// A connection reads [`crate::gathered`]'s quantum at a time, at most 1,638 frames of one byte, and
/// every stream takes its frames before the next one. This is ten times what that costs.
const DATA_FRAME_BUDGET: usize = 4 * 1024 * 1024;
/// Streams that a client reset before they were looked at, and streams that were reset here and whose
/// frames may still come. Above the first number h2 ends the connection, and above the second it counts
/// a frame as an error. Its own defaults are 20 and 50, which a page that cancels what it asked for
/// reaches.
const ENDED_STREAMS: usize = 1024;
/// Refused or failed streams over a connection's lifetime; above that h2 ends it. h2 counts each
/// stream above the advertised number, and its default of 1,024 is a few seconds of a
/// client that ignores it.
const MOST_ERRORS: usize = 100_000;

/// Deadline of a response, and the account that its unread bytes count for. An extension of the
/// response.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The time at which the answer ends, complete or not.
    pub ends_at: Option<Instant>,
    /// The caller that the bytes count for.
    pub account: Account,
    /// Bytes that are kept elsewhere while the answer waits.
    pub behind: usize,
}

/// The settings of a server.
#[derive(Clone, Copy, Debug)]
pub struct Http2 {
    /// Calls at once on a connection; further ones wait at the client.
    pub max_streams: Option<u32>,
    /// Bytes of a request's head.
    pub max_head: u32,
    /// Bytes that a client may send of one request before they are read.
    pub stream_window: u32,
    /// Bytes that it may send of all its requests before they are read.
    pub connection_window: u32,
}

impl Http2 {
    /// Serves one connection. At `closing` it asks the client to send no further calls, and ends with
    /// the last one. A client need not comply.
    pub async fn serve<IO, S, F, B>(
        &self,
        stream: Gathered<IO>,
        mut service: S,
        closing: impl Future<Output = ()>,
    ) -> Result<(), h2::Error>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: FnMut(Request<Body>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
    {
        let (state, room) = (stream.state(), Room::default());
        let mut closing = pin!(closing.fuse());
        let mut connection: Connection<_, Bytes> = tokio::select! {
            connection = self.builder().handshake(stream) => connection?,
            () = &mut closing => return Ok(()),
        };
        let was_heard = || state.was_heard();
        let silence = silence(connection.ping_pong(), SILENCE, PONG_PATIENCE, was_heard);
        let mut silence = pin!(silence);
        poll_fn(|cx| {
            if silence.as_mut().poll(cx).is_ready() {
                tracing::debug!("a client says nothing any more");
                return Poll::Ready(Ok(()));
            }
            if closing.as_mut().poll(cx).is_ready() {
                connection.graceful_shutdown();
            }
            loop {
                match connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, mut respond)))) => {
                        // Do no work for a stream that the client reset at once.
                        let mut unwatched = Context::from_waker(Waker::noop());
                        if respond.poll_reset(&mut unwatched).is_ready() {
                            continue;
                        }
                        let (request, intake) = take_in(request);
                        // Boxed here, because a call is large and would be copied twice more.
                        let call = Box::pin(service(request));
                        let exchange = Exchange { call, respond, intake, room: room.clone() };
                        // When the connection ends, h2 resets every stream.
                        tokio::spawn(exchange.run());
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {
                        if !state.is_full() {
                            room.clear();
                        }
                        return Poll::Pending;
                    }
                }
            }
        })
        .await
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_header_list_size(self.max_head)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(DATA_FRAME_BUDGET)
            .max_concurrent_reset_streams(ENDED_STREAMS)
            .max_local_error_reset_streams(Some(MOST_ERRORS))
            .max_pending_accept_reset_streams(ENDED_STREAMS);
        if let Some(streams) = self.max_streams {
            builder.max_concurrent_streams(streams);
        }
        builder
    }
}

/// One request and its answer.
struct Exchange<F> {
    call: Pin<Box<F>>,
    respond: SendResponse<Bytes>,
    intake: Option<intake::Intake>,
    room: Room,
}

impl<F, B> Exchange<F>
where
    F: Future<Output = Response<B>>,
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    async fn run(self) {
        let Self { mut call, mut respond, mut intake, room } = self;
        let answered = poll_fn(|cx| {
            intake::poll(&mut intake, cx);
            match call.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                // The client does not wait any more, or the connection has ended.
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            }
        });
        let Some(response) = answered.await else { return };
        // Free what the call held, also while its answer waits to be read.
        drop(call);
        if let Some(given_up) = intake.as_mut().filter(|intake| intake.is_given_up()) {
            given_up.discard().await;
        }
        match Sending::start(response, &mut respond, room) {
            Ok(None) => {}
            Ok(Some(mut sending)) => {
                let sent = poll_fn(|cx| {
                    intake::poll(&mut intake, cx);
                    sending.poll(cx)
                });
                if let Err(error) = sent.await {
                    return tracing::debug!(%error, "an answer was not sent to its end");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an answer cannot be sent");
                return respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
        if let Some(intake) = &mut intake {
            intake.discard().await;
        }
    }
}
