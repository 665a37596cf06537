//! Detects HTTP/1.1 requests with both `content-length` and `transfer-encoding`. hyper drops
//! `content-length` in that case, but a proxy that uses it takes the rest of the body for another
//! request (request smuggling; RFC 9112, 6.1). The gateway therefore refuses such requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memchr_iter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::InspectReader;

/// Returns the stream, and a flag that is set once a request that is read from it has both headers.
pub(super) fn inspected(
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> (impl AsyncRead + AsyncWrite + Unpin, Arc<AtomicBool>) {
    let (mut parser, conflict) = (FramingParser::default(), Arc::<AtomicBool>::default());
    let seen = conflict.clone();
    let inspect = move |bytes: &[u8]| {
        if parser.follow(bytes) {
            seen.store(true, Ordering::Relaxed);
        }
    };
    (InspectReader::new(stream, inspect), conflict)
}

/// Position in a request.
enum FramingParser {
    /// In a head, with its bytes so far.
    Head(Vec<u8>),
    /// In a body: the number of bytes left.
    Body(u64),
    /// In a chunk and the line break after it: the number of bytes left.
    Chunk(u64),
    /// In the line with a chunk's size: the size so far, and whether a digit may follow.
    Size(u64, bool),
    /// In the lines after the last chunk; true if the current line is not empty.
    Trailers(bool),
    /// After the size of a chunk that cannot end: 2^60 bytes or more.
    Lost,
}

impl Default for FramingParser {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// Framing of the body, as the head declares it.
#[derive(Default)]
struct Framing {
    /// The `content-length`, or 0 if it is unreadable: such a request is refused anyway.
    length: Option<u64>,
    /// Whether there is a `transfer-encoding`. hyper refuses requests whose last encoding is not
    /// `chunked`.
    chunked: bool,
}

impl FramingParser {
    /// Consumes bytes. Returns whether a request had both headers.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut conflict = false;
        while !bytes.is_empty() {
            match self {
                Self::Head(begun) => {
                    let Some((framing, rest)) = head(begun, bytes) else { return conflict };
                    bytes = rest;
                    conflict |= framing.chunked && framing.length.is_some();
                    *self = match framing {
                        Framing { chunked: true, .. } => Self::Size(0, true),
                        Framing { length: Some(length @ 1..), .. } => Self::Body(length),
                        Framing { .. } => Self::default(),
                    };
                }
                Self::Body(left) => {
                    bytes = skip(bytes, left);
                    if *left == 0 {
                        *self = Self::default();
                    }
                }
                Self::Chunk(left) => {
                    bytes = skip(bytes, left);
                    if *left == 0 {
                        *self = Self::Size(0, true);
                    }
                }
                &mut Self::Size(size, digits) => {
                    let Some((&byte, rest)) = bytes.split_first() else { return conflict };
                    bytes = rest;
                    let digit = char::from(byte).to_digit(16).filter(|_| digits);
                    *self = match (byte, digit) {
                        (b'\n', _) if size == 0 => Self::Trailers(false),
                        // Includes the line break after the chunk.
                        (b'\n', _) => Self::Chunk(size.saturating_add(2)),
                        (_, Some(digit)) if size < u64::MAX >> 8 => {
                            Self::Size(size * 16 + u64::from(digit), true)
                        }
                        (_, Some(_)) => Self::Lost,
                        (_, None) => Self::Size(size, false),
                    };
                }
                &mut Self::Trailers(any) => {
                    let Some((&byte, rest)) = bytes.split_first() else { return conflict };
                    bytes = rest;
                    *self = match byte {
                        b'\n' if !any => Self::default(),
                        b'\n' => Self::Trailers(false),
                        b'\r' => Self::Trailers(any),
                        _ => Self::Trailers(true),
                    };
                }
                Self::Lost => return conflict,
            }
        }
        conflict
    }
}

fn skip<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= u64::try_from(here).unwrap_or(*left);
    bytes.get(here..).unwrap_or_default()
}

/// Returns the framing of a head that ends in these bytes, and the bytes after it. `begun` holds
/// the head's earlier bytes; most heads arrive in one piece and are not copied.
fn head<'a>(begun: &mut Vec<u8>, bytes: &'a [u8]) -> Option<(Framing, &'a [u8])> {
    if begun.is_empty()
        && let Some(len) = end_of_head(bytes)
    {
        let (head, rest) = bytes.split_at_checked(len)?;
        return Some((framing(head), rest));
    }
    // The empty line at the end may be split between two reads.
    let (before, from) = (begun.len(), begun.len().saturating_sub(3));
    begun.extend_from_slice(bytes);
    let len = from + end_of_head(begun.get(from..)?)?;
    Some((framing(begun.get(..len)?), bytes.get(len - before..)?))
}

/// Returns the length of a head including its final empty line. Lines end with CRLF or LF.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', bytes).map(|at| at + 1).find_map(|after| match bytes.get(after..)? {
        [b'\n', ..] => Some(after + 1),
        [b'\r', b'\n', ..] => Some(after + 2),
        _ => None,
    })
}

fn framing(head: &[u8]) -> Framing {
    let mut framing = Framing::default();
    let mut from = 0;
    for at in memchr_iter(b'\n', head) {
        let line = head.get(from..at).unwrap_or_default();
        from = at + 1;
        if value(line, b"transfer-encoding").is_some() {
            framing.chunked = true;
        } else if let Some(length) = value(line, b"content-length") {
            let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
            framing.length = Some(length.unwrap_or(0));
        }
    }
    framing
}

/// Returns the value of a header line, if the line has that name.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\n\r\n\r\nx";
    const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
        1f;a=b\r\ncontent-length: 4\r\n\r\n1234567890\r\n0\r\nx: y\r\n\r\n";
    const EMPTY: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// Returns whether a conflict is detected when the bytes arrive in pieces of `size`.
    fn conflict(text: &str, size: usize) -> bool {
        let mut parser = FramingParser::default();
        let seen: Vec<bool> = text.as_bytes().chunks(size).map(|c| parser.follow(c)).collect();
        seen.contains(&true)
    }

    #[test]
    fn a_request_with_both_headers_is_detected_however_reads_split_it() {
        for before in ["", EMPTY, SIZED, CHUNKED, &[CHUNKED, EMPTY, SIZED].concat()] {
            let text = [before, BOTH].concat();
            for size in 1..=text.len() {
                assert!(conflict(&text, size), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn bodies_that_look_like_heads_are_no_conflict() {
        let text = [EMPTY, SIZED, CHUNKED, SIZED, CHUNKED, EMPTY].concat();
        for size in 1..=text.len() {
            assert!(!conflict(&text, size), "by {size}");
        }
    }

    #[test]
    fn lines_may_end_without_a_carriage_return() {
        let text = "POST / HTTP/1.1\nhost: x\ncontent-length: 4\ntransfer-encoding: chunked\n\n";
        assert!(conflict(text, text.len()));
    }
}
