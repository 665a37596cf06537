//! A server that takes gRPC calls and makes them over REST. With it, tests that use generated
//! clients can test the REST paths too. It uses the contract and the JSON of prost-reflect, but no
//! code of the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clinic_testkit::{Account, Clients};
use form_urlencoded::Serializer;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, SerializeOptions, Value,
};
use tonic::body::Body;
use tonic::{Code, Status};

use super::contract::{Contract, Path};
use super::server::{self, Server};
use crate::edge::http1;

/// A running translator. Of the paths of a method it uses the one at index `place`.
pub(crate) struct Translator(Server);

#[derive(Clone)]
struct Translation {
    contract: Arc<Contract>,
    gateway: SocketAddr,
    place: usize,
}

/// The message of the status if the path cannot express a request.
const ANOTHER_PATHS: &str = "this request is for another path";

/// Returns whether, by the contract, the path cannot express the request.
pub(crate) fn is_another_paths<T>(response: &Result<T, Status>) -> bool {
    matches!(response, Err(status) if status.message() == ANOTHER_PATHS)
}

impl Translator {
    pub(crate) async fn start(contract: Arc<Contract>, gateway: SocketAddr, place: usize) -> Self {
        let translation = Translation { contract, gateway, place };
        Self(Server::start(move |request| translation.clone().handle(request)).await)
    }

    /// Returns clients that call over REST with the account's token, or without a token.
    pub(crate) fn clients(&self, account: Option<&Account>) -> Clients {
        let bearer = account.map(|account| format!("Bearer {}", account.tokens.access));
        let metadata = bearer.as_deref().map(|bearer| ("authorization", bearer));
        Clients::new(|_| self.0.address, metadata.as_slice())
    }
}

impl Translation {
    async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let (name, headers) = (request.uri().path().to_owned(), request.headers().clone());
        let frame = request.into_body().collect().await.unwrap().to_bytes();
        match self.call(&name, &headers, &frame[5..]).await {
            Ok(message) => server::success(&server::frame(&message)),
            Err(status) => status.into_http(),
        }
    }

    async fn call(&self, name: &str, head: &HeaderMap, message: &[u8]) -> Result<Vec<u8>, Status> {
        let another = || Status::unknown(ANOTHER_PATHS);
        let (method, paths) = self.contract.method(name);
        let path = paths.get(self.place).ok_or_else(another)?;
        let message = DynamicMessage::decode(method.input(), message).unwrap();
        let bearer = head.get("authorization").map(|bearer| bearer.to_str().unwrap());
        let (target, body) = request(path, message, bearer).ok_or_else(another)?;
        let mut headers: Vec<_> =
            bearer.map(|bearer| ("authorization", bearer)).into_iter().collect();
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        let response = http1::send(self.gateway, &path.verb, &target, &headers, &body).await;
        parse_response(path, method.output(), &response).map(|message| message.encode_to_vec())
    }
}

/// Returns the target and body of a request, or `None` if the path cannot express the message.
fn request(
    path: &Path,
    mut message: DynamicMessage,
    bearer: Option<&str>,
) -> Option<(String, Vec<u8>)> {
    for (name, fixed) in &path.fixed {
        if take(&mut message, name) != *fixed {
            return None;
        }
    }
    let mut segments = Vec::new();
    for segment in path.template.split('/') {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            segments.push(segment.to_owned());
            continue;
        };
        let value = match take(&mut message, name) {
            // The caller's own record has the id of the account in its path.
            none if none.is_empty() && !path.fixed.is_empty() => subject(bearer),
            value => value,
        };
        assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{value}");
        segments.push((!value.is_empty()).then_some(value)?);
    }
    let body = match path.body.as_str() {
        "" => Vec::new(),
        "*" => {
            let nothing = DynamicMessage::new(message_type(&message));
            json(&std::mem::replace(&mut message, nothing))
        }
        name => {
            let body = message.get_field_by_name(name).unwrap().into_owned();
            message.clear_field_by_name(name);
            let body = body.as_message().unwrap();
            if path.verb == "PUT" {
                match mask(&message).as_slice() {
                    // A PATCH, which changes only given fields. A PUT would clear all others.
                    [] => return None,
                    // Clients send a PUT without a mask.
                    [all] if all == "*" => message.clear_field_by_name("update_mask"),
                    _ => {}
                }
            }
            json(body)
        }
    };
    let query = query(&message);
    let target = segments.join("/");
    Some((if query.is_empty() { target } else { format!("{target}?{query}") }, body))
}

/// Returns the paths of the update mask of a request.
fn mask(message: &DynamicMessage) -> Vec<String> {
    let mask = message.get_field_by_name("update_mask").unwrap();
    paths(mask.as_message().unwrap())
}

/// Returns the paths of a field mask.
fn paths(mask: &DynamicMessage) -> Vec<String> {
    let paths = mask.get_field_by_name("paths").unwrap();
    paths.as_list().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn message_type(message: &DynamicMessage) -> MessageDescriptor {
    prost_reflect::ReflectMessage::descriptor(message)
}

/// Removes a field from a message, and returns it as text.
fn take(message: &mut DynamicMessage, name: &str) -> String {
    match name.split_once('.') {
        Some((outer, name)) => match message.get_field_by_name_mut(outer) {
            Some(Value::Message(inner)) => take(inner, name),
            _ => String::new(),
        },
        None => {
            let field = message_type(message).get_field_by_name(name).unwrap();
            let value = message.get_field(&field).into_owned();
            message.clear_field(&field);
            text(&field.kind(), &value)
        }
    }
}

/// Formats a scalar for a path or a query.
fn text(kind: &Kind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(value)) => value.to_string(),
        (_, Value::I32(number)) => number.to_string(),
        (_, Value::I64(number)) => number.to_string(),
        (Kind::Enum(values), Value::EnumNumber(number)) => {
            values.get_value(*number).unwrap().name().to_owned()
        }
        other => panic!("{other:?} cannot be in a path"),
    }
}

fn query(message: &DynamicMessage) -> String {
    let mut query = Serializer::new(String::new());
    for (field, value) in message.fields() {
        let kind = field.kind();
        match value {
            Value::List(values) => {
                for value in values {
                    query.append_pair(field.name(), &text(&kind, value));
                }
            }
            Value::Message(mask) => {
                query.append_pair(field.name(), &paths(mask).join(","));
            }
            value => {
                query.append_pair(field.name(), &text(&kind, value));
            }
        }
    }
    query.finish()
}

/// Returns the account of a token or, without a token, the id of no account.
fn subject(bearer: Option<&str>) -> String {
    let Some(token) = bearer else { return "0190f3c6-0000-7000-8000-000000000000".to_owned() };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

fn json(message: &DynamicMessage) -> Vec<u8> {
    let mut json = Vec::new();
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut serializer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(&mut serializer, &options).unwrap();
    json
}

fn parse_response(
    path: &Path,
    output: MessageDescriptor,
    response: &http1::Response,
) -> Result<DynamicMessage, Status> {
    if response.status >= 400 {
        return Err(parse_error(response));
    }
    let mut message = DynamicMessage::new(output.clone());
    if path.verb == "DELETE" {
        // No body to compare, so success is all that can be checked.
        assert_eq!((response.status, response.body.len()), (204, 0), "{response:?}");
        return Ok(message);
    }
    assert!(matches!(response.status, 200 | 201), "{response:?}");
    match path.response_body.as_str() {
        "" => message = parse(output, &response.body),
        name => {
            let field = output.get_field_by_name(name).unwrap();
            let part = parse(field.kind().as_message().unwrap().clone(), &response.body);
            message.set_field(&field, Value::Message(part));
        }
    }
    Ok(message)
}

/// Parses a message from JSON. Panics at unknown fields.
fn parse(kind: MessageDescriptor, json: &[u8]) -> DynamicMessage {
    let mut source = serde_json::Deserializer::from_slice(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(kind, &mut source, &options);
    let message = message.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(json)));
    source.end().unwrap();
    message
}

/// Returns the status of an error. Asserts that it matches the HTTP status.
fn parse_error(response: &http1::Response) -> Status {
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let code = Code::from_i32(i32::try_from(body["code"].as_i64().unwrap()).unwrap());
    let same = match response.status {
        400 => matches!(code, Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange),
        401 => code == Code::Unauthenticated,
        403 => code == Code::PermissionDenied,
        404 => code == Code::NotFound,
        409 => matches!(code, Code::AlreadyExists | Code::Aborted),
        _ => false,
    };
    assert!(same, "{response:?}");
    Status::new(code, body["message"].as_str().unwrap())
}
