//! Size limits of messages and metadata.

use clinic_identity::{Authenticated, CLAIMS_HEADER, ClaimsSigner};
use clinic_proto::auth::v1::{GetJwksResponse, LoginRequest};
use clinic_testkit::{Suite, failure};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tower::{Service as _, ServiceExt as _};

use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, call};
use super::{channel, echo_client, signed_in, with_echo};

const LIMIT: usize = 4 * 1024 * 1024;

fn long(bytes: usize) -> EchoRequest {
    EchoRequest { text: "x".repeat(bytes), ..EchoRequest::default() }
}

/// Asserts that another call still succeeds.
async fn assert_still_serving(suite: &Suite, access: &str) {
    let mut client = echo_client(suite).await;
    client.once(signed_in(EchoRequest::default(), access)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_have_up_to_four_mebibytes() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await.max_decoding_message_size(2 * LIMIT);
        let most = signed_in(long(LIMIT - 1000), &access);
        let reply = client.once(most).await.unwrap().into_inner();
        assert_eq!(reply.texts[0].len(), LIMIT - 1000);
        let calls = echo.calls();
        for over in [LIMIT, 3 * LIMIT] {
            let refused = failure(client.once(signed_in(long(over), &access)).await);
            assert_eq!(refused.code, Code::ResourceExhausted);
            assert_eq!(refused.reason, "MESSAGE_TOO_LARGE");
            assert_still_serving(suite, &access).await;
        }
        assert_eq!(echo.calls(), calls + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_web_message_may_have_up_to_four_mebibytes() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let bearer = format!("Bearer {access}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/acme.echo.v1.EchoService/Once";
        for form in Form::BOTH {
            let reply =
                call::<EchoReply>(suite.gateway, form, path, &headers, &long(LIMIT - 1000)).await;
            assert_eq!((reply.code, reply.messages.len()), (Code::Ok, 1));
            let refused =
                call::<EchoReply>(suite.gateway, form, path, &headers, &long(LIMIT)).await;
            assert_eq!(refused.code, Code::ResourceExhausted, "{form:?}");
            assert_still_serving(suite, &access).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_limit_applies_to_each_message_of_a_stream() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await.max_decoding_message_size(8 * LIMIT);
        let many = futures::stream::iter((0..8).map(|_| long(LIMIT / 4)));
        client.collect(signed_in(many, &access)).await.unwrap();
        let one_too_large = futures::stream::iter([long(1), long(LIMIT + 1), long(1)]);
        let refused = failure(client.collect(signed_in(one_too_large, &access)).await);
        assert_eq!(refused.reason, "MESSAGE_TOO_LARGE");
        assert_still_serving(suite, &access).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_does_not_affect_other_calls() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let bearer = format!("Bearer {access}");
        let path = "/acme.echo.v1.EchoService/Once";
        let (bad, internal) = (Code::InvalidArgument, Code::Internal);
        for (code, kind, body) in [
            (bad, "application/grpc-web-text", &b"!!! this is no base64 !!!"[..]),
            (bad, "application/grpc-web-text", b"AAAA"),
            (bad, "application/grpc-web+proto", b"\0\0\0"),
            (bad, "application/grpc-web+proto", b"\0\0\0\0\x05ab"),
            // A compressed message in a call without an encoding, and unknown flags.
            (bad, "application/grpc-web+proto", b"\x01\0\0\0\x02ab"),
            (bad, "application/grpc-web+proto", b"\x02\0\0\0\x02ab"),
            (bad, "application/grpc-web+proto", b"\x80\0\0\0\x02ab"),
            // Invalid protobuf, which only the routed service can see.
            (internal, "application/grpc-web+proto", b"\0\0\0\0\x02\xff\xff"),
        ] {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            let response = super::http1::send(suite.gateway, "POST", path, &headers, body).await;
            assert_eq!(response.status, 200, "{response:?}");
            let outcome = super::web::read::<EchoReply>(Form::Binary, response);
            assert_eq!(outcome.code, code, "{body:?}");
            assert_still_serving(suite, &access).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_method_takes_exactly_one_message() {
    with_echo(async |suite, _| {
        let one: &[u8] = b"\0\0\0\0\0";
        let path = "/clinic.auth.v1.TokenService/GetJwks";
        let headers = [("content-type", "application/grpc-web+proto")];
        for (code, body) in [
            (Code::Ok, one.to_vec()),
            (Code::Unimplemented, vec![]),
            (Code::Unimplemented, [one, one].concat()),
            (Code::InvalidArgument, b"\x01\0\0\0\0".to_vec()),
        ] {
            let response = super::http1::send(suite.gateway, "POST", path, &headers, &body).await;
            let outcome = super::web::read::<GetJwksResponse>(Form::Binary, response);
            assert_eq!(outcome.code, code, "{body:?}");
        }
        // A service called directly responds the same.
        let signer = ClaimsSigner::open(&suite.keys(), "gateway", suite.clock.clone()).unwrap();
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header(CLAIMS_HEADER, signer.forward(&Authenticated::ANONYMOUS, None).unwrap())
            .body(Body::new(http_body_util::Full::from([one, one].concat())))
            .unwrap();
        let service = Channel::from_shared(format!("http://{}", suite.auth)).unwrap();
        let mut service = service.connect().await.unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "12");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_a_call_is_limited_in_size() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let with = |bytes: usize| {
            let mut request = signed_in(EchoRequest::default(), &access);
            request.metadata_mut().insert("x-note", "n".repeat(bytes).parse().unwrap());
            request
        };
        client.once(with(15 * 1024)).await.unwrap();
        let calls = echo.calls();
        let refused = failure(client.once(with(17 * 1024)).await);
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert_eq!(echo.calls(), calls);
        // The suite's own services accept as much as the gateway.
        let mut request = Request::new(LoginRequest::default());
        request.metadata_mut().insert("x-note", "n".repeat(15 * 1024).parse().unwrap());
        let response = failure(suite.anonymous().auth.login(request).await);
        assert_eq!(response.code, Code::InvalidArgument);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_content_type_that_is_not_grpc_gets_415() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        for kind in [
            "text/plain",
            "application/grpcish",
            "application/grpc+json",
            "application/grpc-web+json",
        ] {
            let request = http::Request::post("/acme.echo.v1.EchoService/Once")
                .header("content-type", kind)
                .header("authorization", format!("Bearer {access}"))
                .body(Body::empty())
                .unwrap();
            let mut channel = channel(suite).await;
            let response = channel.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(response.status(), 415, "{kind}");
            let text = response.into_body().collect().await.unwrap().to_bytes();
            assert!(String::from_utf8_lossy(&text).contains("application/grpc-web+proto"));
        }
        assert_eq!(echo.calls(), 0);
    })
    .await;
}
