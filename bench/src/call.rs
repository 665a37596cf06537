//! A unary call on the wire, and probes that check its response once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use clinic_identity::{CLAIMS_HEADER, KeyDir};
use http::{HeaderName, HeaderValue, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use crate::tokens;

/// Time limit for one response.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Protocol of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    WebHttp2,
    WebHttp1,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Grpc, Self::WebHttp2, Self::WebHttp1];

    pub(crate) fn is_http1(self) -> bool {
        self == Self::WebHttp1
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "gRPC",
            Self::WebHttp2 => "gRPC-Web HTTP/2",
            Self::WebHttp1 => "gRPC-Web HTTP/1.1",
        }
    }
}

/// A server, and how to call it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    /// The header that identifies the caller.
    credential: (&'static str, String),
}

impl Target {
    /// A gateway, called with an access token.
    pub(crate) fn gateway(address: SocketAddr, protocol: Protocol, token: &str) -> Self {
        Self { address, protocol, credential: ("authorization", format!("Bearer {token}")) }
    }

    /// A service, called with forwarded claims, which are valid for two minutes.
    pub(crate) fn service(address: SocketAddr, keys: &KeyDir) -> Result<Self> {
        let claims = tokens::forwarded(keys)?.to_str()?.to_owned();
        Ok(Self { address, protocol: Protocol::Grpc, credential: (CLAIMS_HEADER, claims) })
    }

    /// Returns a call of a method in the form `/package.Service/Method`.
    pub(crate) fn call(&self, method: &'static str, request: &impl Message) -> Call {
        let message = request.encode_to_vec();
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(&message);
        Call { target: self.clone(), method, frame: frame.freeze() }
    }
}

/// A unary call.
pub(crate) struct Call {
    pub(crate) target: Target,
    method: &'static str,
    /// The body: one message in a gRPC frame.
    pub(crate) frame: Bytes,
}

impl Call {
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.target.address, self.method)
    }

    pub(crate) fn headers(&self) -> [(&'static str, &str); 3] {
        let (name, value) = &self.target.credential;
        let [content_type, second] = match self.target.protocol {
            Protocol::Grpc => [("content-type", "application/grpc"), ("te", "trailers")],
            Protocol::WebHttp2 | Protocol::WebHttp1 => {
                [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")]
            }
        };
        [content_type, second, (name, value)]
    }

    /// Calls once and checks the message of the response. Returns the size of the body.
    pub(crate) async fn probe<T: Message + Default>(
        &self,
        is_right: impl FnOnce(&T) -> bool,
    ) -> Result<u64> {
        let body = self.ask_once().await?;
        let message = self.message_of(&body)?;
        ensure!(is_right(&message), "{} returned a wrong response", self.what());
        Ok(body.len() as u64)
    }

    /// Calls once and checks that the response has no message, because the credential is invalid.
    pub(crate) async fn probe_refusal(&self) -> Result<()> {
        // A refusal in gRPC-Web may have a frame of trailers.
        let body = self.ask_once().await;
        let refused = body.map_or(true, |body| body.first().is_none_or(|flags| *flags != 0));
        ensure!(refused, "{} accepts an invalid token at {}", self.method, self.target.address);
        Ok(())
    }

    async fn ask_once(&self) -> Result<Bytes> {
        let response = async { Connection::open(&self.target).await?.ask(self).await };
        let response = tokio::time::timeout(PATIENCE, response).await;
        response.map_err(|_| anyhow!("no response within 10 s")).flatten()
    }

    /// Decodes the message of a response.
    pub(crate) fn message_of<T: Message + Default>(&self, body: &[u8]) -> Result<T> {
        let (_, message) = frames(body)
            .next()
            .filter(|(flags, _)| *flags == 0)
            .with_context(|| format!("no message in the response of {}: {body:?}", self.what()))?;
        T::decode(message).with_context(|| self.what())
    }

    fn what(&self) -> String {
        let Target { address, protocol, .. } = &self.target;
        format!("{} over {} at {address}", self.method, protocol.name())
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.url()).body(Full::new(self.frame.clone()))?;
        for (name, value) in self.headers() {
            let value = HeaderValue::try_from(value)?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        if self.target.protocol.is_http1() {
            let host = HeaderValue::try_from(self.target.address.to_string())?;
            request.headers_mut().insert("host", host);
        } else {
            *request.version_mut() = Version::HTTP_2;
        }
        Ok(request)
    }
}

/// A connection for one call at a time.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        if target.protocol.is_http1() {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Self::Http1(sender))
        } else {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(Self::Http2(sender))
        }
    }

    /// Calls and returns the body of a successful response.
    pub(crate) async fn ask(&mut self, call: &Call) -> Result<Bytes> {
        let request = call.request()?;
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        ensure!(response.status().is_success(), "HTTP status {}", response.status());
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        for said in [Some(&head.headers), body.trailers()].into_iter().flatten() {
            let word = |name| said.get(name).and_then(|value| value.to_str().ok());
            let status = word("grpc-status").unwrap_or("0");
            ensure!(status == "0", "gRPC status {status}: {}", word("grpc-message").unwrap_or(""));
        }
        let body = body.to_bytes();
        if let Some(said) = web_trailers(&body) {
            let good = said.lines().any(|line| line.replace(' ', "") == "grpc-status:0");
            ensure!(good, "gRPC-Web status: {}", said.trim());
        }
        Ok(body)
    }
}

/// Returns the flags and the content of each frame of a gRPC or gRPC-Web body.
fn frames(mut body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([flags, length @ ..], rest) = body.split_first_chunk::<5>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        body = rest;
        Some((*flags, content))
    })
}

/// Returns the trailers of a gRPC-Web response: its last frame.
fn web_trailers(body: &[u8]) -> Option<String> {
    let (_, content) = frames(body).find(|(flags, _)| flags & 0x80 != 0)?;
    Some(String::from_utf8_lossy(content).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_of_grpc_web_are_found_after_the_message() {
        let response = b"\0\0\0\0\x02hi\x80\0\0\0\x11grpc-status:14\r\n";
        assert_eq!(web_trailers(response).as_deref(), None, "truncated");
        let response = b"\0\0\0\0\x02hi\x80\0\0\0\x10grpc-status:14\r\n";
        assert_eq!(web_trailers(response).as_deref(), Some("grpc-status:14\r\n"));
        assert_eq!(web_trailers(b"\0\0\0\0\x02hi"), None);
    }
}
