//! Answers requests that are neither gRPC nor REST: a few plain HTTP paths, and errors.

use std::sync::Arc;

use clinic_net::health::Health;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tonic::body::Body;

use crate::connect;
use crate::jwks_cache::JwksCache;
use crate::proxy::Proxy;
use crate::responses::{PAGE, TEXT, other_method, respond, text};
use crate::welcome::Welcome;

const WELCOME: &str = "/";
const JWKS: &str = "/.well-known/jwks.json";
const ALIVE: &str = "/livez";
const READY: &str = "/readyz";
/// HTTP methods of a gRPC method's path.
const CALL: &str = "OPTIONS, POST";
/// HTTP methods of the gateway as a whole, for `OPTIONS *` (RFC 9110, 9.3.7).
const ANY: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// The plain HTTP paths.
pub(crate) struct Pages {
    proxy: Proxy,
    jwks: Arc<JwksCache>,
    health: Health,
    welcome: Welcome,
}

impl Pages {
    pub(crate) fn new(proxy: Proxy, jwks: Arc<JwksCache>, health: Health, api_docs: bool) -> Self {
        Self { proxy, jwks, health, welcome: Welcome::new(api_docs) }
    }

    /// Answers a request that is neither gRPC nor REST.
    pub(crate) async fn handle(&self, head: &Parts) -> Response<Body> {
        let path = head.uri.path();
        let is_method = self.proxy.has_method(path);
        match path {
            WELCOME | JWKS | ALIVE | READY => match head.method {
                Method::GET | Method::HEAD => self.page(path, head).await,
                _ => other_method(&head.method, PAGE),
            },
            "*" => other_method(&head.method, ANY),
            _ if (is_method || connect::is_call(path))
                && let Some(refused) = connect::refuse(head) =>
            {
                refused
            }
            _ if is_method => match head.method {
                Method::POST => text(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "This is the path of a gRPC method. Set content-type to application/grpc, or \
                     to application/grpc-web+proto for gRPC-Web. The REST API is under /api/.\n",
                ),
                _ => other_method(&head.method, CALL),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "This path does not exist. This is a gRPC and gRPC-Web gateway with a REST API \
                 under /api/.\n",
            ),
        }
    }

    async fn page(&self, path: &str, head: &Parts) -> Response<Body> {
        match path {
            JWKS => {
                let keys = self.jwks.keys();
                if keys.is_empty() {
                    return text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "The keys are not available yet: try again soon.\n",
                    );
                }
                let keys = serde_json::json!({ "keys": keys }).to_string();
                let mut response = respond(StatusCode::OK, "application/json", keys.into());
                // The gateway itself refreshes the keys every minute.
                let age = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert(header::CACHE_CONTROL, age);
                response
            }
            // Liveness and readiness, for orchestrators that probe over plain HTTP.
            ALIVE => text(StatusCode::OK, "ok\n"),
            READY => match self.health.trouble().await {
                None => text(StatusCode::OK, "ok\n"),
                Some(why) => {
                    respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into())
                }
            },
            _ => self.welcome.handle(&head.headers),
        }
    }
}
