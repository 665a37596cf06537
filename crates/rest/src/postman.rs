//! The REST API as a collection for Postman (format 2.1), written from its OpenAPI document.

#![expect(clippy::indexing_slicing, reason = "JSON gives null for what is not there")]

use serde_json::{Value, json};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

/// Keeps the access token of an answer for the requests after it.
const KEEP_TOKEN: [&str; 5] = [
    "if ((pm.response.headers.get('content-type') || '').startsWith('application/json')) {",
    "  const answer = pm.response.json();",
    "  const access = (answer.tokens || answer).access;",
    "  if (access) pm.collectionVariables.set('access_token', access);",
    "}",
];

/// Writes the collection: a folder for each tag, a request for each operation.
pub fn collection(document: &Value) -> Value {
    let folders: Vec<_> = list(document, "/tags")
        .map(|tag| {
            json!({
                "name": tag["name"],
                "description": tag["description"],
                "item": requests(document, &tag["name"]),
            })
        })
        .collect();
    json!({
        "info": {
            "name": document["info"]["title"],
            "version": document["info"]["version"],
            "description": document["info"]["description"],
            "schema": SCHEMA,
        },
        "auth": {
            "type": "bearer",
            "bearer": [{ "key": "token", "value": "{{access_token}}", "type": "string" }],
        },
        "variable": [
            { "key": "base_url", "value": "http://127.0.0.1:8080" },
            { "key": "access_token", "value": "" },
        ],
        "event": [{
            "listen": "test",
            "script": { "type": "text/javascript", "exec": KEEP_TOKEN },
        }],
        "item": folders,
    })
}

fn requests(document: &Value, tag: &Value) -> Vec<Value> {
    let mut requests = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if operation["tags"][0] == *tag {
                requests.push(request(path, method, operation));
            }
        }
    }
    requests
}

fn request(path: &str, method: &str, operation: &Value) -> Value {
    let body = &operation["requestBody"]["content"]["application/json"]["example"];
    let mut headers = parameters(operation, "header");
    let mut request = json!({
        "method": method.to_ascii_uppercase(),
        "description": operation["description"],
        "url": url(path, operation),
    });
    if !body.is_null() {
        headers.insert(0, json!({ "key": "Content-Type", "value": "application/json" }));
        request["body"] = json!({
            "mode": "raw",
            "raw": format!("{body:#}"),
            "options": { "raw": { "language": "json" } },
        });
    }
    request["header"] = headers.into();
    // Of the collection where it says nothing else.
    if operation["security"].is_array() {
        request["auth"] = json!({ "type": "noauth" });
    }
    json!({ "name": operation["summary"], "request": request, "response": [] })
}

fn url(path: &str, operation: &Value) -> Value {
    let segments = path.split('/').skip(1).map(|segment| {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        name.map_or_else(|| segment.to_owned(), |name| format!(":{name}"))
    });
    let segments: Vec<_> = segments.collect();
    json!({
        "raw": format!("{{{{base_url}}}}/{}", segments.join("/")),
        "host": ["{{base_url}}"],
        "path": segments,
        "variable": parameters(operation, "path"),
        "query": parameters(operation, "query"),
    })
}

/// The parameters in that place; those that may be left out are.
fn parameters(operation: &Value, place: &str) -> Vec<Value> {
    let here = list(operation, "/parameters").filter(|parameter| parameter["in"] == place);
    here.map(|parameter| {
        let example = &parameter["schema"]["examples"][0];
        let value = match if example.is_array() { &example[0] } else { example } {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        json!({
            "key": parameter["name"],
            "value": value,
            "description": parameter["description"],
            "disabled": parameter["required"] != true,
        })
    })
    .collect()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
