//! Checks the gRPC frames of request bodies, without decoding the messages.
//!
//! A frame is a flag byte, four bytes of length, and the message (the gRPC protocol over HTTP/2).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use crate::Error;
use crate::memory_quota::{Account, Reservation};

/// Rules for the body of a call.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Maximum bytes of a message.
    pub limit: u32,
    /// Whether the body must be exactly one message.
    pub one: bool,
    /// Whether messages may be compressed.
    pub compressed: bool,
}

impl Expected {
    /// Returns the rules for a request with these headers.
    pub fn new(headers: &HeaderMap, limit: u32, one: bool) -> Self {
        let encoding = headers.get("grpc-encoding");
        let compressed = encoding.is_some_and(|encoding| encoding.as_bytes() != b"identity");
        Self { limit, one, compressed }
    }
}

/// Why a request body was rejected.
#[derive(Clone, Default)]
pub struct Fault(Arc<AtomicU8>);

impl Fault {
    const TOO_LARGE: u8 = 1;
    const MALFORMED: u8 = 2;
    const NOT_ONE: u8 = 3;
    const HOLDS_TOO_MUCH: u8 = 4;

    /// Returns the error for the client, if the client caused the failure.
    pub fn error(&self, limit: u32) -> Option<Error> {
        match self.0.load(Ordering::Relaxed) {
            Self::TOO_LARGE => Some(Error::message_too_large(limit)),
            Self::MALFORMED => Some(Error::malformed_call()),
            Self::NOT_ONE => Some(Error::not_one_message()),
            Self::HOLDS_TOO_MUCH => Some(Error::holds_too_much()),
            _ => None,
        }
    }

    /// Records the fault, and returns the error that ends the body.
    fn note(&self, fault: u8) -> Status {
        self.0.store(fault, Ordering::Relaxed);
        Status::cancelled("the request body was rejected")
    }
}

/// Wraps a request body and checks its frames. With an account, incomplete messages count for the
/// caller.
pub fn limited(body: Body, expected: Expected, account: Option<Account>) -> (Body, Fault) {
    let fault = Fault::default();
    let (meter, fault_of_body) = (Meter::new(expected), fault.clone());
    let held = account.map(|account| account.nothing());
    let body = Checked { body, meter, fault: fault_of_body, held };
    (Body::new(body), fault)
}

struct Checked {
    body: Body,
    meter: Meter,
    fault: Fault,
    /// Bytes of an incomplete message, which count for the caller.
    held: Option<Reservation>,
}

impl Checked {
    /// Counts `more` bytes. Returns whether the caller may hold them.
    fn may_hold(&mut self, more: usize) -> bool {
        let Some(held) = &mut self.held else { return true };
        if self.meter.is_inside() {
            return held.grow(more).is_ok();
        }
        held.clear();
        true
    }
}

/// Has no size hint: for base64 bodies, tonic-web (0.14) reports the size before decoding, which
/// would become a wrong content-length.
impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let fault = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None if self.meter.is_inside() => Fault::MALFORMED,
            None if !self.meter.is_complete() => Fault::NOT_ONE,
            None => return Poll::Ready(None),
            Some(Err(_)) => Fault::MALFORMED,
            Some(Ok(frame)) => {
                let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
                match self.meter.admits(data) {
                    Err(fault) => fault,
                    Ok(()) if self.may_hold(data.len()) => return Poll::Ready(Some(Ok(frame))),
                    Ok(()) => Fault::HOLDS_TOO_MUCH,
                }
            }
        };
        Poll::Ready(Some(Err(self.fault.note(fault))))
    }

    fn is_end_stream(&self) -> bool {
        // A truncated body must be polled once more, so that it can report the error.
        self.body.is_end_stream() && !self.meter.is_inside() && self.meter.is_complete()
    }
}

/// Tracks the frames in a stream of chunks, which need not end at frame boundaries.
struct Meter {
    expected: Expected,
    /// Whether a message has begun.
    any: bool,
    /// Bytes of the current message that are still to come.
    message: u32,
    header: [u8; 5],
    header_len: usize,
}

impl Meter {
    fn new(expected: Expected) -> Self {
        Self { expected, any: false, message: 0, header: [0; 5], header_len: 0 }
    }

    /// Returns whether a message has begun and is not complete.
    fn is_inside(&self) -> bool {
        self.message > 0 || self.header_len > 0
    }

    /// Returns whether there are as many messages as required.
    fn is_complete(&self) -> bool {
        self.any || !self.expected.one
    }

    /// Checks the messages that begin in this chunk.
    fn admits(&mut self, mut chunk: &[u8]) -> Result<(), u8> {
        while !chunk.is_empty() {
            if self.message > 0 {
                let here = chunk.len().min(usize::try_from(self.message).unwrap_or(usize::MAX));
                chunk = chunk.get(here..).unwrap_or_default();
                self.message -= u32::try_from(here).unwrap_or(self.message);
                continue;
            }
            if let (Some(slot), Some((first, rest))) =
                (self.header.get_mut(self.header_len), chunk.split_first())
            {
                *slot = *first;
                chunk = rest;
                self.header_len += 1;
            }
            if self.header_len == self.header.len() {
                self.header_len = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Begins the message whose header is complete, and checks it.
    fn begin(&mut self) -> Result<(), u8> {
        let [flag, a, b, c, d] = self.header;
        self.message = u32::from_be_bytes([a, b, c, d]);
        let is_second = std::mem::replace(&mut self.any, true);
        match flag {
            0 => {}
            1 if self.expected.compressed => {}
            _ => return Err(Fault::MALFORMED),
        }
        if self.message > self.expected.limit {
            return Err(Fault::TOO_LARGE);
        }
        if is_second && self.expected.one { Err(Fault::NOT_ONE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Expected = Expected { limit: 10, one: false, compressed: false };
    const ONE: Expected = Expected { one: true, ..ANY };

    fn frame(flag: u8, len: u32) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend(len.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, usize::try_from(len).unwrap()));
        bytes
    }

    /// Returns the result of the checks, which must be the same for all chunk sizes.
    fn found(expected: Expected, stream: &[u8]) -> Result<(), u8> {
        let by = |size| {
            let mut meter = Meter::new(expected);
            stream.chunks(size).try_for_each(|chunk| meter.admits(chunk))
        };
        let all: Vec<_> = (1..=stream.len()).map(by).collect();
        assert!(all.iter().all(|found| *found == all[0]), "{all:?}");
        all[0]
    }

    #[test]
    fn messages_up_to_the_limit_pass() {
        let stream = [frame(0, 10), frame(0, 0), frame(0, 3), frame(0, 10)].concat();
        assert_eq!(found(ANY, &stream), Ok(()));
    }

    #[test]
    fn a_larger_message_is_seen_at_its_header() {
        let stream = [frame(0, 10), frame(0, 11)[..5].to_vec()].concat();
        assert_eq!(found(ANY, &stream), Err(Fault::TOO_LARGE));
    }

    #[test]
    fn a_second_message_is_seen_where_one_is_expected() {
        assert_eq!(found(ONE, &frame(0, 10)), Ok(()));
        assert_eq!(found(ONE, &[frame(0, 0), frame(0, 1)].concat()), Err(Fault::NOT_ONE));
    }

    #[test]
    fn only_a_call_with_an_encoding_has_compressed_messages() {
        assert_eq!(found(ANY, &frame(1, 3)), Err(Fault::MALFORMED));
        assert_eq!(found(Expected { compressed: true, ..ANY }, &frame(1, 3)), Ok(()));
        for flag in [2, 0x80, 0xff] {
            let compressed = Expected { compressed: true, ..ANY };
            assert_eq!(found(compressed, &frame(flag, 3)), Err(Fault::MALFORMED));
        }
    }
}
