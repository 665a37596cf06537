//! The HTTP side of the edge: who the client is, request ids, CORS, security headers, and the few
//! paths that are plain HTTP.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clinic_chassis::REQUEST_ID_HEADER;
use clinic_clock::Clock;
use futures::future::Either;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};
use tracing::Instrument as _;

use crate::proxy::{Origin, Proxy};
use crate::{Config, health, keyring};

/// How long a browser may remember what CORS allows.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// What clients of gRPC-Web and of this suite send, and what they read.
const CORS_SENT: [&str; 9] = [
    "authorization",
    "content-type",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "x-request-id",
    "grpc-accept-encoding",
    "connect-protocol-version",
    "connect-timeout-ms",
];
const CORS_READ: [&str; 5] =
    ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "x-request-id"];

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Edge {
    grpc: Cors<OnlyGrpc<GrpcWebService<Proxy>>>,
    keyring: std::sync::Arc<keyring::Keyring>,
    health: health::Merged,
    clock: Clock,
    behind_proxy: bool,
    hsts: bool,
}

impl Edge {
    pub(crate) fn new(
        config: &Config,
        proxy: Proxy,
        keyring: std::sync::Arc<keyring::Keyring>,
        health: health::Merged,
        clock: Clock,
    ) -> Result<Self> {
        let edge = &config.edge;
        let grpc = OnlyGrpc(GrpcWebLayer::new().layer(proxy));
        let grpc = cors(&edge.cors_origin)?.layer(grpc);
        let hsts = edge.behind_proxy || edge.tls_cert.is_some();
        Ok(Self { grpc, keyring, health, clock, behind_proxy: edge.behind_proxy, hsts })
    }

    /// Answers a request that came from that address.
    pub(crate) async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let mut request_id = self.request_id(request.headers());
        // Not secret, but never the same: HPACK need not remember it.
        request_id.set_sensitive(true);
        let client_ip = Some(self.client_ip(request.headers(), peer));
        let span = tracing::info_span!(
            "call",
            method = loggable(request.uri().path()),
            request_id = request_id.to_str().unwrap_or_default(),
        );
        let mut response = if *request.method() == Method::GET {
            self.plain(request.uri().path()).instrument(span).await
        } else {
            request.extensions_mut().insert(Origin { client_ip, request_id: request_id.clone() });
            let request = request.map(Body::new);
            let Ok(response) = self.grpc.clone().oneshot(request).instrument(span).await;
            response
        };
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), request_id);
        self.secure(headers);
        Ok(response)
    }

    /// The paths of plain HTTP.
    async fn plain(&self, path: &str) -> Response<Body> {
        match path {
            "/.well-known/jwks.json" => {
                let keys = self.keyring.keys();
                if keys.is_empty() {
                    return text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the keys are not known yet: try again soon\n",
                    );
                }
                let mut response = json(&serde_json::json!({ "keys": keys }));
                // Public, and asked for often: a minute is what the gateway itself allows.
                let age = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert(header::CACHE_CONTROL, age);
                response
            }
            // Alive, and ready: what orchestrators ask for over plain HTTP.
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.health.all_serve().await {
                true => text(StatusCode::OK, "ok\n"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "not every service serves\n"),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "This is a gRPC and gRPC-Web gateway: there is nothing at this path for GET.\n",
            ),
        }
    }

    fn secure(&self, headers: &mut HeaderMap) {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if self.hsts {
            let age = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, age);
        }
    }

    /// The client's own id for the call, where it is fit for a log, or a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let fit = |value: &&HeaderValue| {
            (1..=64).contains(&value.len())
                && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        };
        headers.get(REQUEST_ID_HEADER).filter(fit).cloned().unwrap_or_else(|| {
            let id = self.clock.new_id().to_string();
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
        })
    }

    /// The last entry of X-Forwarded-For is the one that the proxy in front wrote.
    fn client_ip(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let forwarded = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse().ok()
        };
        if self.behind_proxy { forwarded().unwrap_or(peer) } else { peer }
    }
}

/// Turns away what is not gRPC, in words for whoever tries the gateway by hand.
#[derive(Clone)]
struct OnlyGrpc<S>(S);

impl<S> Service<Request<Body>> for OnlyGrpc<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let refused = if *request.method() != Method::POST {
            text(StatusCode::METHOD_NOT_ALLOWED, "gRPC and gRPC-Web calls are POST requests\n")
        } else if !is_grpc(request.headers()) {
            text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This is a gRPC and gRPC-Web gateway: the content-type is application/grpc or \
                 application/grpc-web+proto.\n",
            )
        } else {
            return Either::Left(self.0.call(request));
        };
        Either::Right(ready(Ok(refused)))
    }
}

/// Whether it is gRPC with any codec, or one of the four forms of gRPC-Web.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(form) = kind.and_then(|kind| kind.strip_prefix("application/grpc")) else {
        return false;
    };
    let web = ["-web", "-web+proto", "-web-text", "-web-text+proto"];
    form.is_empty() || form.starts_with(['+', ';']) || web.contains(&form)
}

fn cors(origins: &[String]) -> Result<CorsLayer> {
    let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
    let origins = origins.collect::<Result<Vec<_>, _>>()?;
    let names = |names: &[&'static str]| {
        names.iter().map(|n| HeaderName::from_static(n)).collect::<Vec<_>>()
    };
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST])
        .allow_headers(names(&CORS_SENT))
        .expose_headers(names(&CORS_READ))
        .max_age(PREFLIGHT_AGE))
}

/// A path as far as it can be a method's name: what else clients ask for is not for the log.
fn loggable(path: &str) -> &str {
    let named = |b: u8| b.is_ascii_alphanumeric() || b"/._".contains(&b);
    if path.len() <= 200 && path.bytes().all(named) { path } else { "?" }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(value.to_string()))));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
