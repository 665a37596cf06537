//! Bodies on their way in: gRPC frames are measured, not read.
//!
//! A frame is a flag byte, four bytes of length, and the message (the gRPC protocol over HTTP/2).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use clinic_chassis::Error;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// What turned out to be wrong with a body while it was passed on.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<AtomicU8>);

impl Fault {
    const TOO_LARGE: u8 = 1;
    const MALFORMED: u8 = 2;

    /// What the client is to be told, if it is the client's fault that the call failed.
    pub(crate) fn error(&self, limit: u32) -> Option<Error> {
        match self.0.load(Ordering::Relaxed) {
            Self::TOO_LARGE => Some(Error::message_too_large(limit)),
            Self::MALFORMED => Some(Error::malformed_call()),
            _ => None,
        }
    }

    /// Notes it, and what ends the body.
    fn note(&self, fault: u8) -> Status {
        self.0.store(fault, Ordering::Relaxed);
        Status::cancelled("the body of the request cannot be passed on")
    }
}

/// The body of a request, which fails at the first message above `limit` bytes, and when it cannot
/// be read or ends in the middle of a message.
pub(crate) fn limited(body: Body, limit: u32) -> (Body, Fault) {
    let fault = Fault::default();
    let limited = Limited { body, meter: Meter::new(limit), fault: fault.clone() };
    (Body::new(limited), fault)
}

struct Limited {
    body: Body,
    meter: Meter,
    fault: Fault,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let fault = match frame {
            Some(Ok(frame)) if frame.data_ref().is_none_or(|data| self.meter.admits(data)) => {
                return Poll::Ready(Some(Ok(frame)));
            }
            None if !self.meter.is_inside() => return Poll::Ready(None),
            Some(Ok(_)) => Fault::TOO_LARGE,
            Some(Err(_)) | None => Fault::MALFORMED,
        };
        Poll::Ready(Some(Err(self.fault.note(fault))))
    }

    fn is_end_stream(&self) -> bool {
        // What ends in the middle of a message is to be asked for more, so that it can say so.
        self.body.is_end_stream() && !self.meter.is_inside()
    }

    fn size_hint(&self) -> SizeHint {
        // Not the inner one: tonic-web (0.14) says the size of the text before it is decoded from
        // base64, which would become a wrong content-length.
        SizeHint::default()
    }
}

/// Follows the frames in a stream of chunks that are cut anywhere.
struct Meter {
    limit: u32,
    /// Bytes of the current message that are still to come.
    message: u32,
    header: [u8; 5],
    header_len: usize,
}

impl Meter {
    fn new(limit: u32) -> Self {
        Self { limit, message: 0, header: [0; 5], header_len: 0 }
    }

    /// Whether a message has begun that is not complete.
    fn is_inside(&self) -> bool {
        self.message > 0 || self.header_len > 0
    }

    /// Whether no message that begins in or before this chunk is too large.
    fn admits(&mut self, mut chunk: &[u8]) -> bool {
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
                let [_, a, b, c, d] = self.header;
                self.message = u32::from_be_bytes([a, b, c, d]);
                self.header_len = 0;
                if self.message > self.limit {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(len.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, usize::try_from(len).unwrap()));
        bytes
    }

    #[test]
    fn messages_up_to_the_limit_pass_however_they_are_cut() {
        let stream = [frame(10), frame(0), frame(3), frame(10)].concat();
        for size in 1..=stream.len() {
            let mut meter = Meter::new(10);
            assert!(stream.chunks(size).all(|chunk| meter.admits(chunk)), "cut every {size}");
        }
    }

    #[test]
    fn a_larger_one_is_seen_at_its_header() {
        let stream = [frame(10), frame(11)[..5].to_vec()].concat();
        for size in 1..=stream.len() {
            let mut meter = Meter::new(10);
            assert!(!stream.chunks(size).all(|chunk| meter.admits(chunk)), "cut every {size}");
        }
    }
}
