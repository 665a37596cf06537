//! Calls of the Connect protocol, which the gateway does not serve. The error names alternatives.

use clinic_testkit::{Backend, Suite, run_with};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use super::channel;
use super::http1::{Response, send};

const METHOD: &str = "/clinic.auth.v1.AuthService/Login";
const APP: &str = "https://app.example";

/// Asserts that an error has the code `unimplemented` and names what to use instead.
fn assert_names_alternatives(error: &Value) {
    assert_eq!(error["code"], "unimplemented", "{error}");
    let message = error["message"].as_str().unwrap();
    for way in ["createGrpcWebTransport", "gRPC-Web", "createGrpcTransport", "/api/"] {
        assert!(message.contains(way), "{message}");
    }
}

fn unary(response: &Response) {
    assert_eq!((response.status, response.header("content-type")), (501, Some("application/json")));
    assert_names_alternatives(&serde_json::from_slice(&response.body).unwrap());
}

async fn with_app(test: impl AsyncFnOnce(&Suite)) {
    let configure =
        |config: &mut clinic::Config| config.settings.gateway.cors_origin = vec![APP.into()];
    run_with(Backend::Sqlite, configure, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_connect_call_gets_an_error_that_names_alternatives() {
    with_app(async |suite| {
        let body = br#"{"email": "ada@example.com"}"#;
        // Unknown methods get the same error.
        for path in [METHOD, "/clinic.auth.v1.AuthService/Nothing", "/no.such.Service/Method"] {
            for kind in ["application/json", "application/proto", "Application/JSON; charset=utf-8"]
            {
                let headers =
                    [("content-type", kind), ("connect-protocol-version", "1"), ("origin", APP)];
                let response = send(suite.gateway, "POST", path, &headers, body).await;
                unary(&response);
                assert_eq!(response.header("access-control-allow-origin"), Some(APP));
                unary(&send(suite.gateway, "POST", path, &[("content-type", kind)], b"").await);
            }
            for query in
                ["connect=v1&encoding=json&message=%7B%7D", "encoding=proto&message=&base64=1"]
            {
                let asked = format!("{path}?{query}");
                let response = send(suite.gateway, "GET", &asked, &[("origin", APP)], b"").await;
                unary(&response);
                assert_eq!(response.header("access-control-allow-origin"), Some(APP));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_stream_ends_with_an_error_that_names_alternatives() {
    with_app(async |suite| {
        for kind in ["application/connect+json", "application/connect+proto"] {
            let headers = [("content-type", kind), ("origin", APP)];
            let sent = b"\0\0\0\0\x02{}";
            let response = send(suite.gateway, "POST", METHOD, &headers, sent).await;
            assert_eq!((response.status, response.header("content-type")), (200, Some(kind)));
            assert_eq!(response.header("access-control-allow-origin"), Some(APP));
            let [2, a, b, c, d, end @ ..] = response.body.as_slice() else {
                panic!("{response:?}")
            };
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            assert_eq!(usize::try_from(length).unwrap(), end.len());
            let end: Value = serde_json::from_slice(end).unwrap();
            assert_names_alternatives(&end["error"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_allows_the_headers_of_the_connect_protocol() {
    with_app(async |suite| {
        let headers = [
            ("origin", APP),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "connect-protocol-version,connect-timeout-ms"),
        ];
        let allowed = send(suite.gateway, "OPTIONS", METHOD, &headers, b"").await;
        assert_eq!(allowed.header("access-control-allow-origin"), Some(APP));
        let sent = allowed.header("access-control-allow-headers").unwrap();
        for header in ["connect-protocol-version", "connect-timeout-ms", "content-type"] {
            assert!(sent.split(',').any(|one| one == header), "{sent}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_call_over_http2_gets_the_same_error() {
    with_app(async |suite| {
        let request = http::Request::post(METHOD).header("content-type", "application/proto");
        let mut channel = channel(suite).await;
        let request = request.body(Body::empty()).unwrap();
        let response = channel.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), 501);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_names_alternatives(&serde_json::from_slice(&body).unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_at_other_paths_is_not_taken_for_a_connect_call() {
    with_app(async |suite| {
        let json = [("content-type", "application/json")];
        for (path, status) in [("/", 405), ("/livez", 405), ("/patients/7", 404), ("/a.b", 404)] {
            let response = send(suite.gateway, "POST", path, &json, b"{}").await;
            assert_eq!(response.status, status, "{path}");
        }
        let keys = "/.well-known/jwks.json?connect=v1&encoding=json&message=%7B%7D";
        assert_eq!(send(suite.gateway, "GET", keys, &[], b"").await.status, 200);
    })
    .await;
}
