//! Error responses: `google.rpc.Status` as JSON, the same for every path.

use serde_json::{Value, json};

use super::{Object, put};

/// An error response.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    name: &'static str,
    about: &'static str,
    header: Option<&'static str>,
}

const fn failure(code: u16, name: &'static str, about: &'static str) -> Failure {
    Failure { code, name, about, header: None }
}

const fn with(header: &'static str, failure: Failure) -> Failure {
    Failure { header: Some(header), ..failure }
}

pub(crate) const FAILURES: [Failure; 15] = [
    failure(400, "Invalid", "The request is invalid. `details` names every bad field."),
    with(
        "WWW-Authenticate",
        failure(401, "Unauthenticated", "A missing or invalid token, or wrong credentials."),
    ),
    failure(403, "Forbidden", "Your roles do not allow this call."),
    failure(404, "NotFound", "The resource does not exist, or you may not see it."),
    failure(408, "RequestTimeout", "The body did not arrive in time."),
    failure(409, "Conflict", "A unique value is taken, or another change came first."),
    failure(
        412,
        "PreconditionFailed",
        "The resource has changed since you read its etag: read it again.",
    ),
    failure(413, "TooLarge", "The body is larger than the limit."),
    failure(414, "UriTooLong", "The path and the query are longer than the limit."),
    failure(415, "UnsupportedMediaType", "The body is not `application/json`."),
    with("Retry-After", failure(429, "TooManyRequests", "Too many calls: try again later.")),
    failure(431, "HeadersTooLarge", "The headers are larger than the limit."),
    failure(500, "Internal", "A server error: find it in the log by `X-Request-Id`."),
    with("Retry-After", failure(503, "Unavailable", "A service is unavailable: try again later.")),
    failure(504, "DeadlineExceeded", "The call did not finish in time."),
];

impl Failure {
    pub(crate) fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/responses/{}", self.name) })
    }
}

/// Returns a reference to the component of a header.
pub(crate) fn header(name: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

pub(crate) fn responses() -> Object {
    let one = |failure: &Failure| {
        let mut response = json!({ "description": failure.about });
        // A URI that is too long is refused before a call begins, with nothing but the status.
        if failure.code != 414 {
            let headers = failure.header.into_iter().chain(["X-Request-Id"]);
            put(&mut response, "headers", headers.map(header).collect::<Object>().into());
            let status = json!({ "schema": { "$ref": "#/components/schemas/Status" } });
            put(&mut response, "content", json!({ "application/json": status }));
        }
        (failure.name.to_owned(), response)
    };
    FAILURES.iter().map(one).collect()
}

pub(crate) fn headers() -> Value {
    let text = |about: &str| {
        let schema = json!({ "type": "string" });
        json!({ "description": about, "required": true, "schema": schema })
    };
    let may = |about: &str, schema: Value| json!({ "description": about, "schema": schema });
    json!({
        "X-Request-Id": text("Identifies the call in the log. Repeats that of the request."),
        "ETag": may(
            "Changes with every change of the resource. Send it in `If-Match`.",
            json!({ "type": "string", "examples": ["\"7\""] }),
        ),
        "Link": may(
            "URL of the next page, as `<…>; rel=\"next\"`; absent on the last page.",
            json!({ "type": "string" }),
        ),
        "Location": text("URL of the created resource."),
        "Retry-After": may(
            "Seconds to wait.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "WWW-Authenticate": text("`Bearer`, with the reason why a token was refused."),
    })
}

/// Returns the schemas of `google.rpc.Status` and its details.
pub(crate) fn schemas() -> Value {
    let of_type = |name: &str| json!({ "const": format!("type.googleapis.com/google.rpc.{name}") });
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let details = ["ErrorInfo", "BadRequest", "RetryInfo"].map(reference);
    json!({
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
                "details": {
                    "type": "array",
                    "items": {
                        "anyOf": details,
                    },
                },
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
    })
}
