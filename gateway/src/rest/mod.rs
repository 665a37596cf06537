//! The REST API: JSON over HTTP for the same methods. [`Proxy`] admits a request like a gRPC call.
//! It is then transcoded into one; a service cannot tell the difference. The paths and all rules
//! of single methods are in the contract, which clinic-rest reads.

mod codec;
mod documents;
mod errors;

use std::sync::Arc;

use anyhow::{Result, anyhow};
use bytes::{Bytes, BytesMut};
use clinic_net::http2::Bounds;
use clinic_net::memory_quota::{Account, Reservation};
use clinic_net::{Error, log_call};
use clinic_proto::access::v1::Role;
use clinic_proto::validation::Violation;
use clinic_rest::{Input, Matched, Route, Routes};
use futures::{TryFutureExt as _, stream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Status};
use tracing::Span;
use tracing::field::display;

use crate::metadata;
use crate::proxy::{Call, Origin, Proxy};
use codec::EncodedMessages;
pub(crate) use documents::Documents;
use errors::{ErrorResponse, ErrorWriter};

const JSON: &str = "application/json";
/// Headers that are forwarded to the service as metadata.
const METADATA: [HeaderName; 3] = [
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum bytes of a body: twice the contract's longest texts with every character escaped. A body
/// is buffered until it is complete, also without a token.
const MAX_BODY: u32 = 512 * 1024;
/// Maximum bytes of a service's response, more than any has: tonic reserves them in advance.
const MAX_RESPONSE: usize = 32 * 1024 * 1024;
/// Maximum bytes of one frame of a response.
const SLICE: usize = 64 * 1024;

/// The REST API. Clones share everything.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    proxy: Proxy,
    routes: Routes,
    errors: ErrorWriter,
}

impl Api {
    pub(crate) fn new(proxy: Proxy) -> Result<Self> {
        let routes = Routes::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET);
        let routes = routes.map_err(|error| anyhow!("invalid REST paths: {error}"))?;
        Ok(Self(Arc::new(Inner { proxy, routes, errors: ErrorWriter::new()? })))
    }

    /// Answers requests for the API. Returns other requests as the error.
    pub(crate) async fn handle(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Request<Body>> {
        let this = &*self.0;
        let (mut head, body) = request.into_parts();
        // Only gRPC clients can set a deadline; REST calls have the default one.
        head.headers.remove("grpc-timeout");
        let path = head.uri.path();
        let matched = match this.routes.find(&head.method, path) {
            Route::Found(matched) => matched,
            Route::MethodNotAllowed(methods) => {
                return Ok(this.errors.other_method(&head.method, &methods));
            }
            Route::NotFound if this.routes.is_under(path) => return Ok(this.errors.no_path()),
            Route::NotFound => return Err(Request::from_parts(head, body)),
        };
        let (began, binding) = (Instant::now(), matched.binding);
        // The contract's template, because values in the path must not be logged.
        Span::current()
            .record("method", display(format_args!("{} {}", head.method, binding.path)))
            .record("rpc", binding.rpc.as_str());
        let response = this.call(&head, body, &matched).await;
        let code = response.as_ref().map_or_else(|error| error.status.code(), |_| Code::Ok);
        log_call(Some(code), began.into());
        Ok(response.unwrap_or_else(|error| this.errors.response(&error, &head.headers)))
    }
}

impl Inner {
    async fn call(
        &self,
        head: &Parts,
        body: Body,
        matched: &Matched<'_>,
    ) -> Result<Response<Body>, ErrorResponse> {
        let Matched { binding, .. } = matched;
        let origin = head.extensions.get::<Origin>();
        let origin = origin.ok_or_else(|| Error::internal("a request without its origin"))?;
        let call = self.proxy.admit(binding.rpc.path(), &head.headers, origin).await?;
        if !binding.only.is_empty() {
            let roles = binding.only.iter().filter_map(|number| Role::try_from(*number).ok());
            call.only(roles.collect())?;
        }
        let (deadline, account) = (call.deadline, call.answers_for());
        // The body's bytes count until the response arrives.
        let (body, _held) = match binding.has_body() {
            true => read(head, body, &call).await?,
            false => (Bytes::new(), call.account.nothing()),
        };
        let query = head.uri.query();
        let mut bad_headers = Vec::new();
        if !head.method.is_safe() && head.headers.contains_key(header::IF_NONE_MATCH) {
            bad_headers.push(Violation::new("If-None-Match", "cannot be used here"));
        }
        let mut good = |value: Result<_, _>| value.map_err(|bad| bad_headers.push(bad)).ok()?;
        let etag = good(etag(&head.headers));
        let idempotency_key = good(idempotency_key(&head.headers));
        let input = Input { query, body: &body, etag, idempotency_key, bad_headers: &bad_headers };
        let message = matched.request(&input).map_err(Error::invalid_fields)?;
        drop(body);
        if message.len() > usize::try_from(call.message_limit).unwrap_or(usize::MAX) {
            return Err(Error::message_too_large(call.message_limit).into());
        }
        let reply = call_method(call, &binding.rpc, metadata_of(head)?, message.into()).await;
        let reply =
            reply.map_err(|status| errors::named_by_client(status, binding, &head.headers))?;
        let response = matched.response(query, &reply);
        let response =
            response.map_err(|_| Error::internal("a response that violates the contract"))?;
        // Every slice keeps the whole body in memory.
        let behind = response.body.as_ref().map_or(0, Vec::len);
        let mut response = to_http(head.uri.path(), response);
        let bounds = Bounds { ends_at: deadline, account, behind };
        response.extensions_mut().insert(bounds);
        Ok(response)
    }
}

/// Reads the body of a request, which must be JSON unless it is empty.
async fn read(
    head: &Parts,
    body: Body,
    call: &Call<'_>,
) -> Result<(Bytes, Reservation), ErrorResponse> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), call.account.nothing()));
    }
    check_json(&head.headers)?;
    let limit = call.message_limit.min(MAX_BODY);
    if body.size_hint().lower() > u64::from(limit) {
        return Err(Error::message_too_large(limit).into());
    }
    let reading = collect(body, limit, call.account);
    let read = match call.deadline {
        Some(deadline) => timeout_at(deadline, reading).await.map_err(|_| {
            // 408, because the client was too slow.
            ErrorResponse::with(StatusCode::REQUEST_TIMEOUT, Error::deadline_exceeded())
        })?,
        None => reading.await,
    };
    Ok(read?)
}

/// Returns the whole body, and the hold on the caller's account.
async fn collect(
    mut body: Body,
    limit: u32,
    account: Account,
) -> Result<(Bytes, Reservation), Error> {
    let (mut whole, mut held) = (BytesMut::new(), account.nothing());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::malformed_call())?.into_data() else { continue };
        if whole.len() + data.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(Error::message_too_large(limit));
        }
        held.grow(data.len())?;
        if body.is_end_stream() && whole.is_empty() {
            return Ok((data, held));
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), held))
}

/// Checks that a body is declared as JSON, in UTF-8 and not compressed. A PATCH is a merge patch
/// (RFC 7396) without nested objects, because the contract has none that can be changed.
fn check_json(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let refuse = |name: &HeaderName, message| {
        let error = Error::invalid_field(name.as_str(), message);
        Err(ErrorResponse::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let (kind, rest) = kind.map_or(("", ""), |kind| kind.split_once(';').unwrap_or((kind, "")));
    let kind = kind.trim();
    if !["application/json", "application/merge-patch+json"]
        .iter()
        .any(|k| kind.eq_ignore_ascii_case(k))
    {
        return refuse(&header::CONTENT_TYPE, "must be application/json");
    }
    let mut parameters = rest.split(';').filter_map(|p| p.trim().split_once('='));
    let utf8 = parameters.all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset")
            || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if !utf8 {
        return refuse(&header::CONTENT_TYPE, "must be in UTF-8");
    }
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return refuse(&header::CONTENT_ENCODING, "must not be set: compression is not supported");
    }
    Ok(())
}

/// Returns the metadata for the service.
fn metadata_of(head: &Parts) -> Result<MetadataMap, ErrorResponse> {
    let mut headers = HeaderMap::new();
    for name in METADATA {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    metadata::check_size(&headers)
        .map_err(|error| ErrorResponse::with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error))?;
    Ok(MetadataMap::from_headers(headers))
}

/// Makes the call. Returns the encoded response message.
async fn call_method(
    call: Call<'_>,
    rpc: &PathAndQuery,
    metadata: MetadataMap,
    message: Bytes,
) -> Result<Bytes, Status> {
    let mut call = Some(call);
    let send = tower::service_fn(|request| {
        let call = call.take();
        let response = async {
            let call = call.ok_or_else(|| Error::internal("a call can be sent only once"))?;
            let response = call.send(request).await?;
            // tonic would derive a gRPC code from the HTTP status, such as UNAUTHENTICATED.
            match response.headers().contains_key("grpc-status") {
                false if response.status() != StatusCode::OK => Err(Error::internal(format!(
                    "a response with HTTP status {}",
                    response.status()
                ))),
                _ => Ok(response),
            }
        };
        response.map_err(Status::from)
    });
    let mut client = Grpc::new(send).max_decoding_message_size(MAX_RESPONSE);
    let request = tonic::Request::from_parts(metadata, Extensions::default(), message);
    let messages = async {
        // Not `unary`, which would ignore a second message.
        let response = client.server_streaming(request, rpc.clone(), EncodedMessages).await?;
        let mut messages = response.into_inner();
        Ok::<_, Status>((messages.message().await?, messages.message().await?))
    };
    match messages.await {
        Ok((Some(message), None)) => Ok(message),
        Ok(_) => Err(Error::internal("a response that is not one message").into()),
        Err(status) => Err(log_defect(status)),
    }
}

/// Logs and replaces an error of tonic about a malformed response. Errors of the suite's services
/// have details.
fn log_defect(status: Status) -> Status {
    match status.code() {
        Code::Internal | Code::Unknown | Code::DataLoss if status.details().is_empty() => {
            Error::internal(format!("a malformed response: {}", status.message())).into()
        }
        _ => status,
    }
}

fn to_http(path: &str, from: clinic_rest::Response) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::from_u16(from.status).unwrap_or_default();
    let headers = response.headers_mut();
    let next = from.next_page.map(|query| format!("<{path}?{query}>; rel=\"next\""));
    let values = [
        (header::ETAG, from.etag.map(|etag| format!("\"{etag}\""))),
        (header::LINK, next),
        (header::LOCATION, from.location),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    let Some(json) = from.body else { return response };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(json.len()));
    response.map(|_| slices(json.into()))
}

/// Splits a long response into slices: a connection counts as active until the last one is sent.
fn slices(mut json: Bytes) -> Body {
    if json.len() <= SLICE {
        return Body::new(Full::new(json));
    }
    let slices = stream::iter(std::iter::from_fn(move || {
        let slice = json.split_to(json.len().min(SLICE));
        (!slice.is_empty()).then(|| Ok::<_, Status>(Frame::data(slice)))
    }));
    Body::new(StreamBody::new(slices))
}

/// Returns the etag of `If-Match` (RFC 9110, 13.1.1). None without the header or for `*`.
fn etag(headers: &HeaderMap) -> Result<Option<&str>, Violation> {
    let Some(asked) = text(headers, &header::IF_MATCH, "If-Match")? else { return Ok(None) };
    match unquoted(asked) {
        // An empty etag would be no condition.
        "" => Err(Violation::new("If-Match", "must be an etag from a response, or *")),
        _ if asked.contains(',') => {
            Err(Violation::new("If-Match", "must be a single etag from a response"))
        }
        "*" if asked == "*" => Ok(None),
        etag => Ok(Some(etag)),
    }
}

/// Returns the `Idempotency-Key`. An empty key is an error, because it would count as none.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Violation> {
    match text(headers, &IDEMPOTENCY_KEY, "Idempotency-Key")?.map(unquoted) {
        Some("") => Err(Violation::new("Idempotency-Key", "must be a UUID")),
        key => Ok(key),
    }
}

/// Strips the quotes and the weak mark (`W/`), which proxies add when they compress a response. It
/// does not matter here: an etag names the version of a resource, not bytes.
fn unquoted(text: &str) -> &str {
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Returns the single value of a header, if there is one. Violations name the header as `shown`.
fn text<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &str,
) -> Result<Option<&'a str>, Violation> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Violation::new(shown, "must be plain text")),
        },
        (Some(_), Some(_)) => Err(Violation::new(shown, "is given twice")),
    }
}
