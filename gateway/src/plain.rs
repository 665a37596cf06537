//! The few paths that are plain HTTP, and what is said to those who find nothing here.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use crate::health;
use crate::keyring::Keyring;

const JWKS: &str = "/.well-known/jwks.json";
const ALIVE: &str = "/livez";
const READY: &str = "/readyz";
const PATHS: [&str; 3] = [JWKS, ALIVE, READY];

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Pages {
    keyring: Arc<Keyring>,
    health: health::Merged,
}

impl Pages {
    pub(crate) fn new(keyring: Arc<Keyring>, health: health::Merged) -> Self {
        Self { keyring, health }
    }

    /// Answers what is neither gRPC nor the REST API.
    pub(crate) async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        match *method {
            Method::GET | Method::HEAD => self.page(path).await,
            Method::POST if !PATHS.contains(&path) => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "There is no path of the REST API here; for a gRPC or gRPC-Web call the content-type \
                 is application/grpc or application/grpc-web+proto.\n",
            ),
            _ => not_allowed(if PATHS.contains(&path) { "GET, HEAD" } else { "POST" }),
        }
    }

    async fn page(&self, path: &str) -> Response<Body> {
        match path {
            JWKS => {
                let keys = self.keyring.keys();
                if keys.is_empty() {
                    return text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the keys are not known yet: try again soon\n",
                    );
                }
                let keys = serde_json::json!({ "keys": keys }).to_string();
                let mut response = respond(StatusCode::OK, "application/json", keys.into());
                // Public, and asked for often: a minute is what the gateway itself allows.
                let age = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert(header::CACHE_CONTROL, age);
                response
            }
            // Alive, and ready: what orchestrators ask for over plain HTTP.
            ALIVE => text(StatusCode::OK, "ok\n"),
            READY => match self.health.all_serve().await {
                true => text(StatusCode::OK, "ok\n"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "not every service serves\n"),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "This is a gRPC and gRPC-Web gateway with a REST API under /api/: there is nothing at \
                 this path.\n",
            ),
        }
    }
}

/// These methods of HTTP are for the path, and the client's is not among them.
pub(crate) fn not_allowed(methods: &'static str) -> Response<Body> {
    let why = "This method of HTTP does nothing here: `allow` says what does.\n";
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, why);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// An answer for people.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// An answer with a body of that media type.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
