//! Errors: `google.rpc.Status` as JSON, the same for every path.

use serde_json::{Value, json};

use super::{Object, put};

/// An answer that is an error.
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
    failure(400, "Invalid", "The request breaks a rule: `details` names every bad field."),
    with(
        "WWW-Authenticate",
        failure(401, "Unauthenticated", "No token, a bad one, or wrong credentials."),
    ),
    failure(403, "Forbidden", "It is not for your roles."),
    failure(404, "NotFound", "There is no such thing that you may see."),
    failure(408, "RequestTimeout", "The body did not come in time."),
    failure(409, "Conflict", "Something unique is taken, or another change came first."),
    failure(
        412,
        "PreconditionFailed",
        "It has changed since the etag in `If-Match`: read it again.",
    ),
    failure(413, "TooLarge", "The body is larger than the limit."),
    failure(414, "UriTooLong", "The path and the query are longer than the limit."),
    failure(415, "UnsupportedMediaType", "The body is not `application/json`."),
    with("Retry-After", failure(429, "TooManyRequests", "Too many calls: wait before the next.")),
    failure(431, "HeadersTooLarge", "The headers are larger than the limit."),
    failure(500, "Internal", "A defect of the server: `X-Request-Id` finds it in the log."),
    with(
        "Retry-After",
        failure(503, "Unavailable", "Something is not reachable: try again later."),
    ),
    failure(504, "DeadlineExceeded", "There was no answer in time."),
];

impl Failure {
    pub(crate) fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/responses/{}", self.name) })
    }
}

/// A header by its component.
pub(crate) fn header(name: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

pub(crate) fn responses() -> Object {
    let one = |failure: &Failure| {
        let mut response = json!({ "description": failure.about });
        // A path too long to be read is answered before there is a call, with nothing but the code.
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
        "X-Request-Id": text("Finds the call in the log. The request's own, when it had one."),
        "ETag": may(
            "Changes with every change of the resource: for `If-Match`.",
            json!({ "type": "string", "examples": ["\"7\""] }),
        ),
        "Link": may(
            "The next page of the list, as `<…>; rel=\"next\"`; none on the last.",
            json!({ "type": "string" }),
        ),
        "Location": text("Where that which was made can be read."),
        "Retry-After": may(
            "Seconds to wait.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "WWW-Authenticate": text("`Bearer`, with what is wrong with a token that was sent."),
    })
}

/// `google.rpc.Status` and what its details are.
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
                    "description": "The code of gRPC (`google.rpc.Code`), closer than that of HTTP.",
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
            "description": "Why, for programs. Every error has one.",
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
            "description": "Which fields are wrong.",
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
                                "description": "As it is called in the body, the query or the head.",
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
            "description": "When the same may succeed.",
            "required": ["@type"],
            "properties": {
                "@type": of_type("RetryInfo"),
                "retry_delay": { "type": "string", "examples": ["1s"] },
            },
        },
    })
}
