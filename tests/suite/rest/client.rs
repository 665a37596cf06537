//! A client of the REST API, which asserts what must hold for every response.

use std::net::SocketAddr;

use clinic_testkit::{Account, Suite};
use serde_json::Value;

use crate::edge::http1::{self, Response};

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// A caller of the REST API, with or without a token.
pub(crate) struct Rest {
    gateway: SocketAddr,
    bearer: Option<String>,
}

/// A response with its JSON.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Null if there is no body.
    pub(crate) json: Value,
    http: Response,
}

impl Rest {
    pub(crate) fn anonymous(suite: &Suite) -> Self {
        Self { gateway: suite.gateway, bearer: None }
    }

    pub(crate) fn of(suite: &Suite, account: &Account) -> Self {
        Self::with_token(suite, &account.tokens.access)
    }

    pub(crate) fn with_token(suite: &Suite, access: &str) -> Self {
        Self { gateway: suite.gateway, bearer: Some(format!("Bearer {access}")) }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, &[], body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.json("PUT", path, &[], body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.json("PATCH", path, &[], body).await
    }

    pub(crate) async fn json(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let headers = [&[JSON], headers].concat();
        self.send(method, path, &headers, body.to_string().as_bytes()).await
    }

    /// Sends any bytes as the body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let bearer = self.bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<_> = bearer.into_iter().chain(headers.iter().copied()).collect();
        let response = http1::send(self.gateway, method, path, &headers, body).await;
        Reply::read(method, response)
    }
}

impl Reply {
    fn read(method: &str, http: Response) -> Self {
        // No request may cause a server error, and no service is down.
        assert!(http.status < 500, "{http:?}");
        assert!(http.header("x-request-id").is_some(), "{http:?}");
        assert_eq!(http.header("cache-control"), Some("no-store"), "{http:?}");
        let json = match http.body.as_slice() {
            [] => Value::Null,
            body => serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {http:?}")),
        };
        let kind = (http.status != 204).then_some("application/json");
        assert_eq!(http.header("content-type"), kind, "{http:?}");
        assert_eq!(json.is_null(), method == "HEAD" || http.status == 204, "{http:?}");
        let reply = Self { status: http.status, json, http };
        if reply.status >= 400 && method != "HEAD" {
            reply.assert_is_a_refusal();
        }
        reply
    }

    fn assert_is_a_refusal(&self) {
        let Self { status, json, http } = self;
        assert_eq!(json.as_object().unwrap().len(), 3, "{http:?}");
        assert!(json["code"].as_i64().is_some_and(|code| (1..=16).contains(&code)), "{http:?}");
        assert!(json["message"].as_str().is_some_and(|text| !text.is_empty()), "{http:?}");
        assert_eq!(self.detail("ErrorInfo")["domain"], "clinic", "{http:?}");
        let challenge =
            http.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer"));
        assert_eq!(challenge, *status == 401, "{http:?}");
        assert_eq!(http.header("allow").is_some(), *status == 405, "{http:?}");
        assert_eq!(http.header("location"), None, "{http:?}");
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.http.header(name)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.http.body).unwrap()
    }

    /// Returns the error detail of this type, or null if there is none.
    pub(crate) fn detail(&self, name: &str) -> &Value {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        let details = self.json["details"].as_array().unwrap();
        details.iter().find(|detail| detail["@type"] == url).unwrap_or(&Value::Null)
    }

    /// Returns the status and the reason of an error.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.detail("ErrorInfo")["reason"].as_str().unwrap())
    }

    /// Returns the fields that a 400 reports, in its order. JSON leaves out an empty name.
    pub(crate) fn invalid_fields(&self) -> Vec<&str> {
        assert_eq!(self.error(), (400, "INVALID_FIELD"), "{self:?}");
        let violations = self.detail("BadRequest")["field_violations"].as_array().unwrap();
        violations.iter().map(|violation| violation["field"].as_str().unwrap_or_default()).collect()
    }

    /// Asserts success.
    pub(crate) fn ok(self) -> Self {
        assert!(self.status < 300, "{self:?}");
        self
    }

    /// Returns the `id` in the response.
    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap()
    }
}
