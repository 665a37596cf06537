//! Error responses: `google.rpc.Status` as JSON, the same for every path.

use serde_json::{Value, json};

use super::{Object, non_null, reference};

/// The error responses: HTTP status, name of the component, and description.
pub(crate) const FAILURES: [(u16, &str, &str); 15] = [
    (400, "Invalid", "The request is invalid. `details` names every bad field."),
    (401, "Unauthenticated", "A missing or invalid token, or wrong credentials."),
    (403, "Forbidden", "Your roles do not allow this call."),
    (404, "NotFound", "The resource does not exist, or you may not see it."),
    (408, "RequestTimeout", "The body did not arrive in time."),
    (409, "Conflict", "A unique value is taken, or another change came first."),
    (412, "PreconditionFailed", "The resource has changed since you read its etag: read it again."),
    (413, "TooLarge", "The body is larger than the limit."),
    (414, "UriTooLong", "The path and the query are longer than the limit."),
    (415, "UnsupportedMediaType", "The body is not `application/json`."),
    (429, "TooManyRequests", "Too many calls: try again later."),
    (431, "HeadersTooLarge", "The headers are larger than the limit."),
    (500, "Internal", "A server error: find it in the log by `X-Request-Id`."),
    (503, "Unavailable", "A service is unavailable: try again later."),
    (504, "DeadlineExceeded", "The call did not finish in time."),
];

/// Returns a header with a reference to its component.
pub(crate) fn header(name: &str) -> (String, Value) {
    (name.to_owned(), reference("headers", name).into())
}

pub(crate) fn responses() -> Object {
    let response = |(code, name, description): (u16, &str, &str)| {
        let header_of_code = match code {
            401 => Some("WWW-Authenticate"),
            429 | 503 => Some("Retry-After"),
            _ => None,
        };
        let headers = header_of_code.into_iter().chain(["X-Request-Id"]).map(header);
        let content = json!({ "application/json": { "schema": reference("schemas", "Status") } });
        // A URI that is too long is refused before a call begins, with nothing but the status.
        let is_call = code != 414;
        let response = non_null(json!({
            "description": description,
            "headers": is_call.then(|| headers.collect::<Object>()),
            "content": is_call.then_some(content),
        }));
        (name.to_owned(), response.into())
    };
    FAILURES.into_iter().map(response).collect()
}

pub(crate) fn headers() -> Value {
    let text = |about: &str| {
        let schema = json!({ "type": "string" });
        json!({ "description": about, "required": true, "schema": schema })
    };
    json!({
        "X-Request-Id": text("Identifies the call in the log. Repeats that of the request."),
        "ETag": {
            "description": "Changes with every change of the resource. Send it in `If-Match`.",
            "schema": { "type": "string", "examples": ["\"7\""] },
        },
        "Link": {
            "description": "URL of the next page, as `<…>; rel=\"next\"`; absent on the last page.",
            "schema": { "type": "string" },
        },
        "Location": text("URL of the created resource."),
        "Retry-After": {
            "description": "Seconds to wait.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WWW-Authenticate": text("`Bearer`, with the reason why a token was refused."),
    })
}

/// Returns the schemas of `google.rpc.Status` and its details.
pub(crate) fn schemas() -> Object {
    let of_type = |name: &str| json!({ "const": format!("type.googleapis.com/google.rpc.{name}") });
    let details = ["ErrorInfo", "BadRequest", "RetryInfo"].map(|name| reference("schemas", name));
    non_null(json!({
        "Status": {
            "type": "object",
            "description": "An error.",
            "required": ["code", "message"],
            "properties": {
                "code": {
                    "type": "integer",
                    "description": "The gRPC code (`google.rpc.Code`), finer than the HTTP status.",
                    "examples": [3],
                },
                "message": { "type": "string", "description": "What is wrong, for people." },
                "details": { "type": "array", "items": { "anyOf": details } },
            },
        },
        "ErrorInfo": {
            "type": "object",
            "description": "The reason, for programs. Every error has one.",
            "required": ["@type", "reason", "domain"],
            "properties": {
                "@type": of_type("ErrorInfo"),
                "reason": {
                    "type": "string",
                    "description": "One of `clinic.access.v1.ErrorReason`. New ones may be added.",
                    "examples": ["INVALID_FIELD"],
                },
                "domain": { "type": "string", "examples": ["clinic"] },
                "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
            },
        },
        "BadRequest": {
            "type": "object",
            "description": "The invalid fields.",
            "required": ["@type"],
            "properties": {
                "@type": of_type("BadRequest"),
                "field_violations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "field": {
                                "type": "string",
                                "description": "Its name in the body, query or header.",
                                "examples": ["first_name"],
                            },
                            "description": { "type": "string", "examples": ["is required"] },
                        },
                    },
                },
            },
        },
        "RetryInfo": {
            "type": "object",
            "description": "When to try again.",
            "required": ["@type"],
            "properties": {
                "@type": of_type("RetryInfo"),
                "retry_delay": { "type": "string", "examples": ["1s"] },
            },
        },
    }))
}
