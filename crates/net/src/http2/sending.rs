//! Sends a response body at the pace of the client's window.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

use super::Bounds;
use super::send_budget::SendBudget;
use crate::memory_quota::Reservation;

/// Headers that HTTP/2 forbids (RFC 9113, 8.2.2).
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

pub(super) struct Sending<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// Bytes of the body that wait for room.
    waiting: Bytes,
    /// Whether these are the last bytes of the body.
    is_last: bool,
    /// Whether it ends in trailers, as in native gRPC. Then they can also report an early end.
    has_trailers: bool,
    bounds: Option<Bounds>,
    room: SendBudget,
    /// Bytes that count while the client reads nothing.
    held: Option<Reservation>,
    /// Runs while the client reads nothing. Most responses never need it.
    clock: Option<Pin<Box<Sleep>>>,
}

impl<B: http_body::Body<Data = Bytes, Error = Status> + Unpin> Sending<B> {
    /// Sends the head. Returns None if there is no body.
    pub(super) fn start(
        response: Response<B>,
        respond: &mut SendResponse<Bytes>,
        room: SendBudget,
    ) -> Result<Option<Self>, h2::Error> {
        let (mut head, body) = response.into_parts();
        for name in &OF_THE_CONNECTION {
            head.headers.remove(name);
        }
        let is_empty = body.is_end_stream();
        if !is_empty && let Some(len) = body.size_hint().exact() {
            head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(len));
        }
        let has_trailers = is_native_grpc(&head.headers);
        let bounds = head.extensions.remove();
        let stream = respond.send_response(Response::from_parts(head, ()), is_empty)?;
        Ok((!is_empty).then(|| Self {
            body,
            stream,
            waiting: Bytes::new(),
            is_last: false,
            has_trailers,
            bounds,
            room,
            held: None,
            clock: None,
        }))
    }

    /// Ready when the whole response was passed to h2, or the stream was reset.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        match self.poll_sent(cx) {
            // Check for a reset only here, because each check takes the connection's lock.
            Poll::Pending => self.stream.poll_reset(cx).map_ok(drop),
            sent => sent,
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if !self.waiting.is_empty() {
                match self.poll_room(cx) {
                    Poll::Ready(room) => {
                        self.held = None;
                        let part = self.waiting.split_to(room?.min(self.waiting.len()));
                        let is_last = self.is_last && self.waiting.is_empty();
                        self.room.give(part.len());
                        self.stream.send_data(part, is_last)?;
                        if is_last {
                            return Poll::Ready(Ok(()));
                        }
                        continue;
                    }
                    Poll::Pending => return self.poll_blocked(cx),
                }
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a response body failed");
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => {
                    self.is_last = self.body.is_end_stream();
                    if data.is_empty() && self.is_last {
                        return Poll::Ready(self.stream.send_data(data, true));
                    }
                    self.stream.reserve_capacity(data.len());
                    self.waiting = data;
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Poll::Ready(self.stream.send_trailers(trailers));
                    }
                }
            }
        }
    }

    /// Returns how many bytes the client accepts, once it accepts any.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    // The stream was closed: sending returns the reason.
                    None => return Poll::Ready(Ok(self.waiting.len())),
                },
                room => return self.room.poll(cx).map(|()| Ok(room)),
            }
        }
    }

    /// Counts the waiting bytes while the client reads nothing. Ends the response, whose head was
    /// sent, if the caller holds too much or the deadline has passed.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(Bounds { ends_at, account, behind }) = self.bounds else { return Poll::Pending };
        if self.held.is_none() {
            match account.hold(self.waiting.len().saturating_add(behind)) {
                Ok(held) => self.held = Some(held),
                // An error status would mean that the write was not done.
                Err(_) if account.is_write => return Poll::Ready(self.end_early(None)),
                Err(error) => {
                    let mut trailers = HeaderMap::new();
                    let written = Status::from(error).add_header(&mut trailers);
                    return Poll::Ready(self.end_early(written.ok().map(|()| trailers)));
                }
            }
        }
        let Some(at) = ends_at else { return Poll::Pending };
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep_until(at)));
        ready!(clock.as_mut().poll(cx));
        self.waiting = Bytes::new();
        let trailers = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_trailers().ok(),
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
        };
        Poll::Ready(self.end_early(trailers))
    }

    /// Ends the response with trailers. They need no room, so a client that reads again receives
    /// the reason. Without trailers, or if the status is part of the body, resets the stream.
    fn end_early(&mut self, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
        match trailers {
            Some(trailers) if self.has_trailers => self.stream.send_trailers(trailers),
            Some(_) | None => {
                self.stream.send_reset(Reason::CANCEL);
                Ok(())
            }
        }
    }
}

/// Returns whether the status is in the HTTP/2 trailers. In gRPC-Web it is in the body.
fn is_native_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let form = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    form.is_some_and(|form| !form.starts_with(b"-web"))
}
