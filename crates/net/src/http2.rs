//! HTTP/2 server of the gateway and the services, built directly on h2.
//!
//! hyper's server is also built on h2, but does not offer what a server on the open internet needs:
//! - It derives the number of small DATA frames that may wait unread from the size of the window,
//!   and ends the whole connection when there are more. [`Builder::data_frame_budget`] sets it.
//! - It does not poll a response body while the client reads nothing, so a deadline inside the body
//!   does not fire. Here [`Bounds`] ends the stream from outside.
//! - It resets a stream whose response is complete before the request's body was read. Several
//!   clients then lose the response. Here the rest of the body is discarded, within bounds.

mod request_body;
mod send_budget;
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

use self::request_body::{BodyReceiver, receive};
use self::send_budget::SendBudget;
use self::sending::Sending;
use crate::BatchedStream;
use crate::keepalive::silence;
use crate::memory_quota::Account;

/// Silence after which the client is pinged.
const SILENCE: Duration = Duration::from_secs(30);
/// Time for the answer to a ping.
const PONG_PATIENCE: Duration = Duration::from_secs(10);
/// Time for which the socket may accept nothing. Then the connection ends, because ending only its
/// streams would not free h2's buffers.
pub const BLOCKED: Duration = Duration::from_secs(30);
/// Bytes per stream that wait for the socket. A client that reads nothing holds this much memory.
const SEND_BUFFER: usize = 64 * 1024;
/// Budget for small DATA frames that wait unread. A frame of less than 256 bytes costs the
/// difference. A connection reads one quantum of [`crate::batched`] at a time, at most 1,638 frames
/// of one byte, and streams consume them before the next. The budget is ten times that cost.
const DATA_FRAME_BUDGET: usize = 4 * 1024 * 1024;
/// Limit of streams that the client reset before the server accepted them, and of streams that the
/// server reset and whose frames may still arrive. Above the first limit h2 ends the connection,
/// and above the second it counts a frame as an error. A web page that cancels its requests reaches
/// h2's defaults of 20 and 50.
const ENDED_STREAMS: usize = 1024;
/// Limit of refused or failed streams over a connection's lifetime; above it h2 ends the
/// connection. h2 counts each stream above the advertised number. A client that ignores that number
/// reaches h2's default of 1,024 within a few seconds.
const MOST_ERRORS: usize = 100_000;

/// Deadline of a response, and the account that its unread bytes count for. Stored as an extension
/// of the response.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The time at which the response ends, complete or not.
    pub ends_at: Option<Instant>,
    /// The account that the bytes count for.
    pub account: Account,
    /// Bytes that are kept elsewhere while the response waits.
    pub behind: usize,
}

/// The settings of a server.
#[derive(Clone, Copy, Debug)]
pub struct Http2 {
    /// Maximum concurrent calls on a connection; further ones wait at the client.
    pub max_streams: Option<u32>,
    /// Maximum bytes of a request's head.
    pub max_head: u32,
    /// Bytes that a client may send of one request before they are read.
    pub stream_window: u32,
    /// Bytes that a client may send of all its requests before they are read.
    pub connection_window: u32,
}

impl Http2 {
    /// Serves one connection. At `closing` it sends a GOAWAY, and returns after the last call. A
    /// client may ignore the GOAWAY and send more calls.
    pub async fn serve<IO, S, F, B>(
        &self,
        stream: BatchedStream<IO>,
        mut service: S,
        closing: impl Future<Output = ()>,
    ) -> Result<(), h2::Error>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: FnMut(Request<Body>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
    {
        let (state, room) = (stream.state(), SendBudget::default());
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
                tracing::debug!("a client stopped responding to pings");
                return Poll::Ready(Ok(()));
            }
            if closing.as_mut().poll(cx).is_ready() {
                connection.graceful_shutdown();
            }
            loop {
                match connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, mut respond)))) => {
                        // Do no work for a stream that the client has already reset.
                        let mut unwatched = Context::from_waker(Waker::noop());
                        if respond.poll_reset(&mut unwatched).is_ready() {
                            continue;
                        }
                        let (request, receiver) = receive(request);
                        // Boxed here, because a call is large and would be copied twice more.
                        let call = Box::pin(service(request));
                        // When the connection ends, h2 resets every stream.
                        tokio::spawn(exchange(call, respond, receiver, room.clone()));
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

/// Runs a call and sends its response.
async fn exchange<B>(
    mut call: Pin<Box<impl Future<Output = Response<B>>>>,
    mut respond: SendResponse<Bytes>,
    mut receiver: Option<BodyReceiver>,
    room: SendBudget,
) where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    let answered = poll_fn(|cx| {
        request_body::poll(&mut receiver, cx);
        match call.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // The client has reset the stream, or the connection has ended.
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    });
    let Some(response) = answered.await else { return };
    // Free what the call holds while its response waits to be read.
    drop(call);
    if let Some(rest) = receiver.as_mut().filter(|it| it.should_discard_before_responding()) {
        rest.discard().await;
    }
    match Sending::start(response, &mut respond, room) {
        Ok(None) => {}
        Ok(Some(mut sending)) => {
            let sent = poll_fn(|cx| {
                request_body::poll(&mut receiver, cx);
                sending.poll(cx)
            });
            if let Err(error) = sent.await {
                return tracing::debug!(%error, "a response was not sent completely");
            }
        }
        Err(error) => {
            tracing::debug!(%error, "a response cannot be sent");
            return respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    if let Some(receiver) = &mut receiver {
        receiver.discard().await;
    }
}
