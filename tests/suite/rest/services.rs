//! What a service receives of a REST request, and what clients get for its responses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clinic_identity::{CLAIMS_HEADER, ClaimsVerifier};
use clinic_net::status::{status, with_details};
use clinic_proto::access::v1::ErrorReason;
use clinic_testkit::{Backend, Suite, run};
use http::{HeaderMap, Response};
use serde_json::Value;
use tonic::body::Body;
use tonic::{Code, Status};

use super::server::{self, Server};
use crate::edge::gateway::Gateway;
use crate::edge::http1;

type Script = Arc<Mutex<Box<dyn Fn() -> Response<Body> + Send>>>;

/// A gateway whose records service sends the responses that a test sets.
struct Fixture {
    gateway: Gateway,
    reply: Script,
    received: Arc<Mutex<Option<HeaderMap>>>,
    bearer: String,
    _service: Server,
}

impl Fixture {
    async fn start(suite: &Suite) -> Self {
        let reply: Script = Arc::new(Mutex::new(Box::new(|| server::success(&server::frame(b"")))));
        let received = Arc::new(Mutex::new(None));
        let (respond, headers) = (reply.clone(), received.clone());
        let service = Server::start(move |request| {
            // Not the headers of a health check.
            if request.uri().path().starts_with("/clinic.") {
                *headers.lock().unwrap() = Some(request.headers().clone());
            }
            let response = respond.lock().unwrap()();
            async { response }
        })
        .await;
        let url = service.url();
        let gateway = Gateway::start(suite, |config| config.records_url = url).await;
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        Self { gateway, reply, received, bearer, _service: service }
    }

    fn respond_with(&self, response: impl Fn() -> Response<Body> + Send + 'static) {
        *self.reply.lock().unwrap() = Box::new(response);
    }

    async fn get(&self, headers: &[(&str, &str)]) -> http1::Response {
        let headers = [&[("authorization", self.bearer.as_str())], headers].concat();
        http1::send(self.gateway.address, "GET", "/api/patients/me/", &headers, b"").await
    }
}

fn json(response: &http1::Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_cannot_set_internal_headers_over_rest() {
    run(Backend::Sqlite, async |suite| {
        let fixture = Fixture::start(suite).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let response = fixture
            .get(&[
                ("x-clinic-claims", "forged"),
                ("X-Clinic-Roles", "forged"),
                ("x-clinic-data-bin", "Zm9yZ2Vk"),
                ("cookie", "forged"),
                ("forwarded", "forged"),
                ("x-forwarded-for", "10.9.8.7"),
                ("grpc-status", "0"),
                ("grpc-encoding", "gzip"),
                ("x-custom", "forged"),
                ("accept-language", "forged"),
                ("user-agent", "browser/1"),
                ("traceparent", trace),
                ("tracestate", "a=b"),
                ("x-request-id", "abc-123"),
            ])
            .await;
        assert_eq!((response.status, response.header("x-request-id")), (200, Some("abc-123")));
        let received = fixture.received.lock().unwrap().take().unwrap();
        for (name, value) in &received {
            assert!(!value.as_bytes().windows(6).any(|six| six == b"forged"), "{name}: {value:?}");
            let known = [
                "content-type",
                "grpc-timeout",
                "te",
                "traceparent",
                "tracestate",
                "user-agent",
                "x-clinic-claims",
                "x-request-id",
            ];
            assert!(known.contains(&name.as_str()), "{name}: {value:?}");
        }
        let header = |name: &str| {
            assert_eq!(received.get_all(name).iter().count(), 1, "{name}");
            received[name].to_str().unwrap()
        };
        // The gateway's own client appends its name.
        assert!(header("user-agent").starts_with("browser/1"));
        assert_eq!(header("x-request-id"), "abc-123");
        assert_eq!((header("traceparent"), header("tracestate")), (trace, "a=b"));
        assert_eq!(header("content-type"), "application/grpc");
        let verifier = ClaimsVerifier::open(&suite.keys(), suite.clock.clone()).unwrap();
        let claims = verifier.verify(header(CLAIMS_HEADER)).unwrap();
        assert!(claims.principal.user().is_some());
        assert_eq!(claims.client_ip.unwrap().to_string(), "127.0.0.1");
        fixture.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_call_has_the_gateways_deadline_and_ignores_grpc_timeout() {
    run(Backend::Sqlite, async |suite| {
        let fixture = Fixture::start(suite).await;
        for timeout in ["0n", "1n", "0S", "5S", "1H", "soon"] {
            let response = fixture.get(&[("grpc-timeout", timeout)]).await;
            assert_eq!(response.status, 200, "{timeout}: {response:?}");
            let received = fixture.received.lock().unwrap().take().unwrap();
            let sent = clinic_net::parse_timeout(received["grpc-timeout"].to_str().unwrap());
            assert_eq!(sent, Some(Duration::from_secs(30)), "{timeout}");
        }
        fixture.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grpc_code_maps_to_its_http_status() {
    run(Backend::Sqlite, async |suite| {
        let fixture = Fixture::start(suite).await;
        for (code, http) in [
            (Code::Cancelled, 499),
            (Code::Unknown, 500),
            (Code::InvalidArgument, 400),
            (Code::DeadlineExceeded, 504),
            (Code::NotFound, 404),
            (Code::AlreadyExists, 409),
            (Code::PermissionDenied, 403),
            (Code::ResourceExhausted, 429),
            (Code::FailedPrecondition, 400),
            (Code::Aborted, 409),
            (Code::OutOfRange, 400),
            (Code::Unimplemented, 501),
            (Code::Internal, 500),
            (Code::Unavailable, 503),
            (Code::DataLoss, 500),
            (Code::Unauthenticated, 401),
        ] {
            // With details, and without any, as a service outside the suite may send it.
            for response in [
                status(code, ErrorReason::NotFound, "said \"so\""),
                Status::new(code, "said \"so\""),
            ] {
                let details = response.details().len();
                // Without details, these come from tonic for a malformed response.
                let is_defect = details == 0 && matches!(http, 500);
                let (code, message) = if is_defect {
                    (Code::Internal, "internal error")
                } else {
                    (code, "said \"so\"")
                };
                fixture.respond_with(move || response.clone().into_http());
                let response = fixture.get(&[]).await;
                assert_eq!(response.status, http, "{code:?}");
                let body = json(&response);
                assert_eq!(
                    (&body["code"], &body["message"]),
                    (&i32::from(code).into(), &message.into())
                );
                assert_eq!(
                    body["details"].as_array().unwrap().is_empty(),
                    details == 0 && !is_defect,
                    "{body}"
                );
                assert_eq!(response.header("www-authenticate").is_some(), http == 401);
            }
        }
        fixture.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retry_delay_of_a_service_becomes_retry_after() {
    run(Backend::Sqlite, async |suite| {
        let fixture = Fixture::start(suite).await;
        for (code, wait, seconds) in [
            (Code::ResourceExhausted, Duration::from_secs(7), Some("7")),
            (Code::ResourceExhausted, Duration::from_millis(6001), Some("7")),
            (Code::Unavailable, Duration::from_millis(50), Some("1")),
            (Code::Unavailable, Duration::ZERO, Some("1")),
            (Code::Aborted, Duration::from_millis(50), None),
        ] {
            let response =
                with_details(code, ErrorReason::Unavailable, "wait", [].into(), |details| {
                    details.set_retry_info(Some(wait));
                });
            fixture.respond_with(move || response.clone().into_http());
            assert_eq!(fixture.get(&[]).await.header("retry-after"), seconds, "{code:?} {wait:?}");
        }
        fixture.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_violates_the_contract_gives_500() {
    run(Backend::Sqlite, async |suite| {
        let fixture = Fixture::start(suite).await;
        let frame = server::frame;
        for bytes in [
            vec![],
            vec![0, 0, 0],
            frame(b"")[..4].to_vec(),
            [frame(b""), frame(b"")].concat(),
            [&[0, 0, 0, 0, 9][..], b"short"].concat(),
            [&[1, 0, 0, 0, 0][..], b""].concat(),
            // Truncated protobuf, text that is not UTF-8, and a number instead of text.
            frame(b"\x0a"),
            frame(b"\x0a\x05ab"),
            frame(b"\x0a\x02\xff\xfe"),
            frame(b"\x42\x02\xff\xfe"),
            frame(b"\x08\x01"),
            frame(b"\x1a\x01\xff"),
            frame(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            let body = bytes.clone();
            fixture.respond_with(move || server::success(&body));
            let response = fixture.get(&[]).await;
            let body = json(&response);
            assert_eq!((response.status, &body["code"]), (500, &13.into()), "{bytes:?}");
            assert_eq!(body["message"], "internal error", "{bytes:?}");
        }
        // No gRPC status.
        for http in [200, 401, 404, 503] {
            let response = move || Response::builder().status(http).body(Body::default()).unwrap();
            fixture.respond_with(response);
            let response = fixture.get(&[]).await;
            assert_eq!(
                (response.status, &json(&response)["message"]),
                (500, &"internal error".into())
            );
        }
        // Unknown fields are ignored.
        fixture.respond_with(|| server::success(&server::frame(b"\xfa\x07\x01x\x0a\x01a")));
        let response = fixture.get(&[]).await;
        assert_eq!((response.status, &json(&response)["id"]), (200, &"a".into()), "{response:?}");
        fixture.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_gives_503_with_retry_after() {
    run(Backend::Sqlite, async |suite| {
        let mut fixture = Fixture::start(suite).await;
        assert_eq!(fixture.get(&[]).await.status, 200);
        let gone = Server::start(|_| async { Response::new(Body::default()) }).await;
        let url = gone.url();
        drop(gone);
        let gateway = Gateway::start(suite, |config| config.records_url = url).await;
        std::mem::replace(&mut fixture.gateway, gateway).stop().await;
        let response = fixture.get(&[]).await;
        assert_eq!(
            (response.status, response.header("retry-after")),
            (503, Some("1")),
            "{response:?}"
        );
        assert_eq!(json(&response)["code"], 14);
        fixture.gateway.stop().await;
    })
    .await;
}
