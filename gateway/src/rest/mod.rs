//! The REST API: JSON over HTTP in front of the same methods. A request is admitted as a gRPC call
//! is, by [`Proxy`], then becomes one; a service cannot tell the difference. Which path is which
//! method, and all that is particular to one, stands in the contract and is read by clinic-rest.

mod refusal;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use bytes::{Buf as _, Bytes};
use clinic_chassis::{Error, logged};
use clinic_identity::Roles;
use clinic_proto::access::v1::Role;
use clinic_rest::{Found, Input, Matched, Refusal, Routes};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::plain::respond;
use crate::proxy::{Call, Origin, Proxy};
use refusal::Refusals;

const JSON: &str = "application/json";
/// What of a request's head is for the service, as metadata.
const METADATA: [HeaderName; 3] = [
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    proxy: Proxy,
    routes: Routes,
    refusals: Refusals,
}

impl Api {
    pub(crate) fn new(proxy: Proxy) -> Result<Self> {
        let routes = Routes::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET);
        let routes = routes.map_err(|error| anyhow!("the paths of the REST API: {error}"))?;
        Ok(Self(Arc::new(Inner { proxy, routes, refusals: Refusals::new()? })))
    }

    /// Answers what is for the API, and gives anything else back.
    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Request<Body>> {
        let this = &*self.0;
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let found = match this.routes.find(&head.method, path) {
            Found::Method(found) => found,
            Found::Other(methods) => return Ok(this.refusals.other_method(&methods)),
            Found::Nothing if this.routes.is_under(path) => return Ok(this.refusals.no_path()),
            Found::Nothing => return Err(Request::from_parts(head, body)),
        };
        let answer = this.attempt(&head, body, &found).await;
        let answer = answer
            .unwrap_or_else(|status| this.refusals.refuse(&status, found.binding, &head.headers));
        Ok(if head.method == Method::HEAD { without_body(answer) } else { answer })
    }
}

impl Inner {
    async fn attempt(
        &self,
        head: &Parts,
        body: Body,
        found: &Matched<'_>,
    ) -> Result<Response<Body>, Status> {
        let (began, rpc) = (Instant::now(), found.binding.rpc());
        Span::current().record("rpc", rpc.as_str());
        let origin = head.extensions.get::<Origin>();
        let origin = origin.ok_or_else(|| Error::internal("a request without its origin"))?;
        let call = self.proxy.admit(rpc.path(), &head.headers, origin).await?;
        if !found.binding.only().is_empty() {
            call.only(roles(found.binding.only()))?;
        }
        let body = read(head, body, found, &call).await?;
        let query = head.uri.query();
        let message = found.request(&Input {
            query,
            body: &body,
            etag: etag(&head.headers)?,
            idempotency_key: text(&head.headers, &IDEMPOTENCY_KEY)?.map(unquoted),
        });
        let message = message.map_err(|refusal| match refusal {
            Refusal::Fields(violations) => Error::invalid_fields(violations),
            Refusal::NotJson { line, column } => Error::invalid_field(
                "body",
                format!("is not valid JSON from line {line}, column {column} on"),
            ),
        })?;
        let mut request = Request::new(Body::new(Full::new(Bytes::from(message))));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(rpc.clone());
        *request.version_mut() = Version::HTTP_2;
        let metadata = METADATA.into_iter();
        let metadata = metadata.filter_map(|name| Some((head.headers.get(&name)?.clone(), name)));
        request.headers_mut().extend(metadata.map(|(value, name)| (name, value)));
        let kind = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let answer = call.send(request).await;
        let answer = answer.unwrap_or_else(|error| Status::from(error).into_http());
        let response = response(logged(answer, began)).await?;
        let answer = found.answer(query, &response);
        let answer =
            answer.map_err(|_| Error::internal("a response that is not the contract's"))?;
        Ok(write(head.uri.path(), answer))
    }
}

/// The body of a request, which must be JSON where there is any.
async fn read(
    head: &Parts,
    body: Body,
    found: &Matched<'_>,
    call: &Call<'_>,
) -> Result<Bytes, Status> {
    if !found.binding.has_body() {
        return Ok(Bytes::new());
    }
    let limit = usize::try_from(call.message_bytes).unwrap_or(usize::MAX);
    let reading = Limited::new(body, limit).collect();
    let read = match call.deadline {
        Some(deadline) => {
            timeout_at(deadline, reading).await.map_err(|_| Error::deadline_exceeded())?
        }
        None => reading.await,
    };
    let body = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Error::message_too_large(call.message_bytes),
        None => Error::malformed_call(),
    })?;
    let body = body.to_bytes();
    if !body.is_empty() && !is_json(&head.headers) {
        return Err(refusal::unsupported_media_type());
    }
    Ok(body)
}

/// Whether a body is said to be JSON: in UTF-8, as it always is, and not packed.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let (kind, parameters) =
        kind.map_or(("", ""), |kind| kind.split_once(';').unwrap_or((kind, "")));
    let kind = kind.trim().to_ascii_lowercase();
    let charset = parameters.split(';').filter_map(|p| p.trim().split_once('='));
    let utf8 = charset
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .all(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    let plain = headers
        .get(header::CONTENT_ENCODING)
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    // What PATCH takes is a merge patch in all but lists (RFC 7396).
    utf8 && plain && matches!(kind.as_str(), JSON | "application/merge-patch+json")
}

/// The message that a service answered.
async fn response(answer: Response<Body>) -> Result<Bytes, Status> {
    let (parts, body) = answer.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers) {
        ok(status)?;
    }
    let collected = body.collect().await?;
    match collected.trailers().and_then(Status::from_header_map) {
        Some(status) => ok(status)?,
        None => return Err(Error::internal("an answer without its end").into()),
    }
    let mut frame = collected.to_bytes();
    // A flag, four bytes of length, and the message.
    if frame.len() < 5 || frame.get_u8() != 0 {
        return Err(Error::internal("an answer without a message that can be read").into());
    }
    let len = usize::try_from(frame.get_u32()).unwrap_or(usize::MAX);
    match frame.len() == len {
        true => Ok(frame),
        false => Err(Error::internal("an answer that is not one message").into()),
    }
}

fn ok(status: Status) -> Result<(), Status> {
    if status.code() == Code::Ok { Ok(()) } else { Err(status) }
}

/// What HEAD answers: the head that GET would have (RFC 9110, 9.3.2).
fn without_body(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    if let Some(len) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    }
    Response::from_parts(head, Body::default())
}

fn write(path: &str, answer: clinic_rest::Answer) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    let mut response = match answer.body {
        Some(json) => respond(status, JSON, json.into()),
        None => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = status;
            response
        }
    };
    let next = answer.next_page.map(|query| format!("<{path}?{query}>; rel=\"next\""));
    let headers = [
        (header::ETAG, answer.etag.map(|etag| format!("\"{etag}\""))),
        (header::LINK, next),
        (header::LOCATION, answer.location),
    ];
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The etag that must be the current one (RFC 9110, 13.1.1). Any will do for `*`.
fn etag(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let asked = text(headers, &header::IF_MATCH)?;
    match asked {
        Some(list) if list.contains(',') => {
            Err(Error::invalid_field("If-Match", "must be one etag, as it was answered"))
        }
        asked => Ok(asked.filter(|asked| *asked != "*").map(unquoted)),
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The one value of a header, where there is any.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Error::invalid_field(name.as_str(), "must be plain text")),
        },
        (Some(_), Some(_)) => Err(Error::invalid_field(name.as_str(), "is given twice")),
    }
}

fn roles(numbers: &[i32]) -> Roles {
    numbers.iter().filter_map(|number| Role::try_from(*number).ok()).collect()
}
