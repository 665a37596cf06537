//! CORS, security headers, and the plain HTTP endpoints.

use clinic_proto::auth::v1::{GetJwksRequest, GetJwksResponse};
use clinic_testkit::{Backend, Suite, run, run_with};

use super::http1::{Response, send};
use super::web::Form;

const JWKS: &str = "/clinic.auth.v1.TokenService/GetJwks";
const APP: &str = "https://app.example";

async fn preflight(suite: &Suite, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web,grpc-timeout"),
    ];
    send(suite.gateway, "OPTIONS", JWKS, &headers, b"").await
}

async fn jwks(suite: &Suite, headers: &[(&str, &str)]) -> Response {
    let form = Form::Binary;
    let headers = [&[("content-type", form.content_type())], headers].concat();
    send(suite.gateway, "POST", JWKS, &headers, &form.encode(&GetJwksRequest {})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_configured_origins_pass_cors() {
    let configure = |config: &mut clinic::Config| {
        config.settings.gateway.cors_origin = vec![APP.into(), "http://localhost:5173".into()];
    };
    run_with(Backend::Sqlite, configure, async |suite| {
        for origin in [APP, "http://localhost:5173"] {
            let allowed = preflight(suite, origin).await;
            assert_eq!(allowed.status, 200);
            assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
            let methods = allowed.header("access-control-allow-methods");
            assert_eq!(methods, Some("GET,POST,PUT,PATCH,DELETE"));
            let headers = allowed.header("access-control-allow-headers").unwrap();
            let needed = ["authorization", "content-type", "x-grpc-web", "grpc-timeout"];
            for header in needed.into_iter().chain(["grpc-encoding", "grpc-accept-encoding"]) {
                assert!(headers.split(',').any(|one| one == header), "{headers}");
            }
            // The gateway does not use cookies, so browsers must not send credentials.
            assert_eq!(allowed.header("access-control-allow-credentials"), None);
            let response = jwks(suite, &[("origin", origin)]).await;
            assert_eq!(response.header("access-control-allow-origin"), Some(origin));
            let read = response.header("access-control-expose-headers").unwrap();
            assert!(read.contains("grpc-status") && read.contains("x-request-id"), "{read}");
            assert!(response.header("vary").unwrap().contains("origin"));
        }
        for other in [
            "https://evil.example",
            "https://app.example.evil.example",
            "null",
            "http://app.example",
            "https://app.example:8443",
        ] {
            for response in [preflight(suite, other).await, jwks(suite, &[("origin", other)]).await]
            {
                assert_eq!(response.header("access-control-allow-origin"), None, "{other}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configured_origins_no_origin_passes_cors() {
    run(Backend::Sqlite, async |suite| {
        let refused = preflight(suite, APP).await;
        assert_eq!(refused.header("access-control-allow-origin"), None);
    })
    .await;
}

/// Returns a response of every kind.
async fn responses(suite: &Suite) -> Vec<Response> {
    let grpc = [("content-type", "application/grpc-web+proto")];
    vec![
        jwks(suite, &[]).await,
        send(suite.gateway, "POST", "/no.such.Service/Method", &grpc, b"").await,
        send(suite.gateway, "POST", JWKS, &[("content-type", "application/json")], b"{}").await,
        send(suite.gateway, "GET", "/", &[], b"").await,
        send(suite.gateway, "GET", "/livez", &[], b"").await,
        send(suite.gateway, "GET", "/.well-known/jwks.json", &[], b"").await,
        send(suite.gateway, "PUT", "/livez", &[], b"").await,
        send(suite.gateway, "OPTIONS", "/livez", &[], b"").await,
        send(suite.gateway, "GET", "/nothing", &[], b"").await,
        send(suite.gateway, "GET", "/api/patients/", &[], b"").await,
        preflight(suite, APP).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_security_headers() {
    run(Backend::Sqlite, async |suite| {
        for response in responses(suite).await {
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{response:?}");
            assert_eq!(response.header("x-frame-options"), Some("DENY"), "{response:?}");
            let cached = response.header("cache-control").unwrap();
            assert!(["no-store", "public, max-age=60"].contains(&cached), "{response:?}");
            assert_eq!(response.header("strict-transport-security"), None);
            assert!(response.header("x-request-id").is_some());
            assert_eq!(response.header("server"), None);
            // Nothing that a browser renders as a page.
            let kind = response.header("content-type").unwrap_or_default();
            assert!(!kind.contains("html") && !kind.contains("xml"), "{kind}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_every_response_has_strict_transport_security() {
    let behind_proxy = |config: &mut clinic::Config| config.settings.gateway.behind_proxy = true;
    run_with(Backend::Sqlite, behind_proxy, async |suite| {
        for response in responses(suite).await {
            let age = response.header("strict-transport-security").unwrap();
            assert!(age.starts_with("max-age=31536000"), "{age}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_keys_are_served_without_a_token() {
    run(Backend::Sqlite, async |suite| {
        let response = send(suite.gateway, "GET", "/.well-known/jwks.json", &[], b"").await;
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/json"))
        );
        let web: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let request = GetJwksRequest {};
        let GetJwksResponse { keys } =
            suite.anonymous().tokens.get_jwks(request).await.unwrap().into_inner();
        assert_eq!(web["keys"].as_array().unwrap().len(), keys.len());
        let (key, known) = (&web["keys"][0], &keys[0]);
        assert_eq!((key["kid"].as_str(), key["x"].as_str()), (Some(&*known.kid), Some(&*known.x)));
        assert_eq!(key["use"], "sig");
        assert_eq!(key.get("d"), None, "a private key");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_type_that_is_not_grpc_gets_415() {
    run(Backend::Sqlite, async |suite| {
        for kind in ["text/html", "application/grpcish", "multipart/form-data", ""] {
            let headers = [("content-type", kind)];
            let response = send(suite.gateway, "POST", JWKS, &headers, b"{}").await;
            assert_eq!(response.status, 415, "{kind}: {response:?}");
        }
        let response = send(suite.gateway, "POST", JWKS, &[], b"").await;
        assert_eq!(response.status, 415, "{response:?}");
    })
    .await;
}
