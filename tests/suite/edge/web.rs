//! A minimal gRPC-Web client: frames in the body of a POST, with the status in the last frame.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use tonic::Code;

use super::http1::{Response, send};

/// The two forms of gRPC-Web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Text,
}

impl Form {
    pub(crate) const BOTH: [Self; 2] = [Self::Binary, Self::Text];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }

    pub(crate) fn encode(self, message: &impl Message) -> Vec<u8> {
        self.body(frame(message))
    }

    /// Returns the body that carries these bytes.
    pub(crate) fn body(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Binary => bytes,
            Self::Text => BASE64_STANDARD.encode(bytes).into_bytes(),
        }
    }

    /// Returns the bytes that the body of a response carries.
    pub(crate) fn to_binary(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Binary => body.to_vec(),
            Self::Text => from_text(body),
        }
    }
}

/// Encodes a message after its five-byte prefix.
pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &bytes].concat()
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) code: Code,
    pub(crate) messages: Vec<T>,
    /// `grpc-status-details-bin`, decoded.
    pub(crate) details: Vec<u8>,
    pub(crate) http: Response,
}

/// Makes a call over HTTP/1.1.
pub(crate) async fn call<T: Message + Default>(
    server: SocketAddr,
    form: Form,
    path: &str,
    headers: &[(&str, &str)],
    request: &impl Message,
) -> Outcome<T> {
    let kind = form.content_type();
    // `accept` selects the form of the response, not `content-type`.
    let own = [("content-type", kind), ("accept", kind), ("x-grpc-web", "1")];
    let headers = [&own, headers].concat();
    let response = send(server, "POST", path, &headers, &form.encode(request)).await;
    read(form, response)
}

/// Decodes a response.
pub(crate) fn read<T: Message + Default>(form: Form, http: Response) -> Outcome<T> {
    assert_eq!(http.status, 200, "{http:?}");
    let mut trailers: Vec<(String, String)> = ["grpc-status", "grpc-status-details-bin"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), http.header(name)?.to_owned())))
        .collect();
    let body = form.to_binary(&http.body);
    let mut messages = Vec::new();
    let mut rest = body.as_slice();
    while let [flags, a, b, c, d, after @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
        let (content, next) = after.split_at(length);
        if flags & 0x80 == 0 {
            messages.push(T::decode(content).unwrap());
        } else {
            let lines = std::str::from_utf8(content).unwrap().split("\r\n");
            trailers.extend(lines.filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            }));
        }
        rest = next;
    }
    let trailer = |name: &str| trailers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let code = trailer("grpc-status").unwrap_or_else(|| panic!("no status: {http:?}"));
    let details = trailer("grpc-status-details-bin").unwrap_or_default().trim_end_matches('=');
    Outcome {
        code: Code::from(code.parse::<i32>().unwrap()),
        messages,
        details: base64::prelude::BASE64_STANDARD_NO_PAD.decode(details).unwrap(),
        http,
    }
}

/// Decodes concatenated base64. Each part may have its own padding.
fn from_text(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|four| BASE64_STANDARD.decode(four).unwrap()).collect()
}
