//! The gateway's HTTP layer: finds the client's address, sets request ids, CORS and security
//! headers, and dispatches requests to gRPC, REST or the static pages.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clinic_clock::Clock;
use clinic_net::REQUEST_ID_HEADER;
use futures::future::{Either, FutureExt as _};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument as _;

use crate::forwarded::Proxies;
use crate::proxy::{Origin, Proxy};
use crate::{Config, responses, rest, static_pages};

/// How long a browser may cache a preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Error for native gRPC over HTTP/1.1, where gRPC clients cannot read trailers.
const NO_HTTP2: &str = "Native gRPC needs HTTP/2. Over HTTP/1.1, use gRPC-Web \
    (application/grpc-web+proto) or the REST API (/openapi.json).\n";

/// Request headers that scripts may send.
const CORS_SENT: [&str; 14] = [
    "authorization",
    "content-type",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "x-request-id",
    "grpc-accept-encoding",
    "grpc-encoding",
    "connect-protocol-version",
    "connect-timeout-ms",
    "idempotency-key",
    "if-match",
    "traceparent",
    "tracestate",
];
/// Response headers that scripts may read.
const CORS_READ: [&str; 11] = [
    "etag",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "link",
    "location",
    "retry-after",
    "www-authenticate",
    "x-request-id",
];

/// Answers HTTP requests of all kinds.
pub(crate) struct HttpService {
    grpc: GrpcWebService<Proxy>,
    rest: rest::Api,
    documents: Option<rest::Documents>,
    static_pages: static_pages::Pages,
    cors: CorsLayer,
    clock: Clock,
    proxies: Proxies,
    hsts: bool,
}

/// The other end of a connection, and the worker that serves it.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) worker: usize,
}

impl HttpService {
    pub(crate) fn new(
        config: &Config,
        proxy: Proxy,
        static_pages: static_pages::Pages,
        clock: Clock,
    ) -> Result<Self> {
        let public = &config.public;
        // A proxy in front terminates TLS. Browsers ignore the header without TLS (RFC 6797, 8.1).
        let proxied = public.behind_proxy || !public.trusted_proxies.is_empty();
        Ok(Self {
            grpc: GrpcWebLayer::new().layer(proxy.clone()),
            rest: rest::Api::new(proxy)?,
            documents: public.api_docs.then(rest::Documents::default),
            static_pages,
            cors: cors(&public.cors_origin)?,
            clock,
            proxies: Proxies::new(public),
            hsts: proxied || public.tls_cert.is_some(),
        })
    }

    /// Answers a request from `address`.
    pub(crate) async fn handle(
        &self,
        mut request: Request<Body>,
        Peer { address, worker }: Peer,
    ) -> Response<Body> {
        let request_id = self.request_id(request.headers());
        let client_ip = Some(self.proxies.client(request.headers(), address));
        let path = request.uri().path();
        let grpc = *request.method() == Method::POST && is_grpc(request.headers());
        let span = tracing::info_span!(
            "call",
            // Set here if it is known: fields that are recorded later are formatted twice.
            method = grpc.then(|| loggable(path)),
            // Recorded for REST calls.
            rpc = tracing::field::Empty,
            request_id = request_id.to_str().unwrap_or_default(),
        );
        if grpc && request.version() < Version::HTTP_2 && !is_web(request.headers()) {
            return self.completed(responses::text(StatusCode::BAD_REQUEST, NO_HTTP2), request_id);
        }
        let origin = Origin { client_ip, request_id: request_id.clone(), worker };
        request.extensions_mut().insert(origin);
        let has_origin = request.headers().contains_key(header::ORIGIN);
        let skips_cors = match *request.method() {
            // The CORS layer treats every OPTIONS as a preflight (Fetch, CORS-preflight request).
            Method::OPTIONS => {
                !has_origin
                    || !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            }
            _ => grpc && !has_origin,
        };
        let Ok(response) = if skips_cors {
            self.dispatch(request, grpc).instrument(span).await
        } else {
            let service = service_fn(|request| self.dispatch(request, grpc));
            self.cors.layer(service).oneshot(request).instrument(span).await
        };
        self.completed(response, request_id)
    }

    fn dispatch(
        &self,
        request: Request<Body>,
        grpc: bool,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> {
        if grpc {
            return Either::Left(self.grpc.clone().oneshot(request));
        }
        // Boxed, because gRPC calls would reserve the space too.
        Either::Right(Box::pin(self.answer_other(request).map(Ok)))
    }

    /// Answers a request other than gRPC.
    async fn answer_other(&self, request: Request<Body>) -> Response<Body> {
        let head = *request.method() == Method::HEAD;
        let response = match self.rest.handle(request).await {
            Ok(response) => response,
            Err(request) => {
                match self.documents.as_ref().and_then(|files| files.handle(&request)) {
                    Some(response) => response,
                    None => self.static_pages.handle(&request.into_parts().0).await,
                }
            }
        };
        if head { without_body(response) } else { response }
    }

    /// Refuses a request with an ambiguous head, with the reason as the response's text.
    pub(crate) fn refuse(&self, headers: &HeaderMap, why: &'static str) -> Response<Body> {
        self.completed(responses::text(StatusCode::BAD_REQUEST, why), self.request_id(headers))
    }

    fn completed(&self, mut response: Response<Body>, request_id: HeaderValue) -> Response<Body> {
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), request_id);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.entry(header::DATE).or_insert_with(|| date(self.clock.now()));
        if self.hsts {
            let age = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, age);
        }
        response
    }

    /// Returns the client's request id if it is safe to log, or a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let fit = |value: &&HeaderValue| {
            (1..=64).contains(&value.len())
                && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        };
        let given = headers.get(REQUEST_ID_HEADER).filter(fit).cloned();
        let mut id = given.unwrap_or_else(|| {
            let id = self.clock.new_id().to_string();
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
        });
        // Not secret, but unique: keeps it out of the HPACK table.
        id.set_sensitive(true);
        id
    }
}

/// Returns the response to HEAD: the head that GET would return (RFC 9110, 9.3.2).
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(len) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    }
    Response::from_parts(head, Body::default())
}

/// Returns whether the content type is gRPC or one of the four forms of gRPC-Web, with protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(form) = kind.and_then(|kind| kind.strip_prefix("application/grpc")) else {
        return false;
    };
    let codec = form.split_once(';').map_or(form, |(codec, _)| codec).trim_end();
    let web = ["-web", "-web+proto", "-web-text", "-web-text+proto"];
    matches!(codec, "" | "+proto") || web.contains(&form)
}

fn is_web(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"))
}

fn cors(origins: &[String]) -> Result<CorsLayer> {
    let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
    let origins = origins.collect::<Result<Vec<_>, _>>()?;
    let names = |names: &[&'static str]| {
        names.iter().map(|n| HeaderName::from_static(n)).collect::<Vec<_>>()
    };
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(names(&CORS_SENT))
        .expose_headers(names(&CORS_READ))
        // The default too, but the layer then does not compute it for every request.
        .vary([header::ORIGIN])
        .max_age(PREFLIGHT_AGE))
}

/// Returns the `date` header; the text is cached for one second.
fn date(now: DateTime<Utc>) -> HeaderValue {
    thread_local! {
        static DATE: RefCell<Option<(i64, HeaderValue)>> = const { RefCell::new(None) };
    }
    DATE.with_borrow_mut(|known| match known {
        Some((second, text)) if *second == now.timestamp() => text.clone(),
        _ => {
            let text = HeaderValue::try_from(httpdate::fmt_http_date(now.into()));
            let text = text.unwrap_or(HeaderValue::from_static(""));
            known.insert((now.timestamp(), text)).1.clone()
        }
    })
}

/// Returns the path if it can be the path of a method. Other paths must not be logged.
fn loggable(path: &str) -> &str {
    let named = |b: u8| b.is_ascii_alphanumeric() || b"/._".contains(&b);
    if path.len() <= 200 && path.bytes().all(named) { path } else { "?" }
}
