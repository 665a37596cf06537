//! What of a REST request a service hears, and what becomes of all that it may answer.

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
use crate::edge::http1::{self, Answer};

type Script = Arc<Mutex<Box<dyn Fn() -> Response<Body> + Send>>>;

/// A gateway whose records are a server that answers what it is told to.
struct Stand {
    gateway: Gateway,
    says: Script,
    heard: Arc<Mutex<Option<HeaderMap>>>,
    bearer: String,
    _service: Server,
}

impl Stand {
    async fn start(suite: &Suite) -> Self {
        let says: Script = Arc::new(Mutex::new(Box::new(|| server::answered(&server::frame(b"")))));
        let heard = Arc::new(Mutex::new(None));
        let (script, told) = (says.clone(), heard.clone());
        let service = Server::start(move |request| {
            *told.lock().unwrap() = Some(request.headers().clone());
            let answer = script.lock().unwrap()();
            async { answer }
        })
        .await;
        let url = service.url();
        let gateway = Gateway::start(suite, |config| config.records_url = url).await;
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        Self { gateway, says, heard, bearer, _service: service }
    }

    fn says(&self, answer: impl Fn() -> Response<Body> + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(answer);
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("authorization", self.bearer.as_str())], headers].concat();
        http1::send(self.gateway.address, "GET", "/api/patients/me/", &headers, b"").await
    }
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_hears_nothing_that_only_the_gateway_may_say() {
    run(Backend::Sqlite, async |suite| {
        let stand = Stand::start(suite).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let answer = stand
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
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("abc-123")));
        let heard = stand.heard.lock().unwrap().take().unwrap();
        for (name, value) in &heard {
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
        let said = |name: &str| {
            assert_eq!(heard.get_all(name).iter().count(), 1, "{name}");
            heard[name].to_str().unwrap()
        };
        // The gateway's own client adds its name.
        assert!(said("user-agent").starts_with("browser/1"));
        assert_eq!(said("x-request-id"), "abc-123");
        assert_eq!((said("traceparent"), said("tracestate")), (trace, "a=b"));
        assert_eq!(said("content-type"), "application/grpc");
        let verifier = ClaimsVerifier::open(&suite.keys(), suite.clock.clone()).unwrap();
        let claims = verifier.verify(said(CLAIMS_HEADER)).unwrap();
        assert!(claims.principal.user().is_some());
        assert_eq!(claims.client_ip.unwrap().to_string(), "127.0.0.1");
        stand.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_call_has_the_gateways_time_whatever_grpc_timeout_says() {
    run(Backend::Sqlite, async |suite| {
        let stand = Stand::start(suite).await;
        for timeout in ["0n", "1n", "0S", "5S", "1H", "soon"] {
            let answer = stand.get(&[("grpc-timeout", timeout)]).await;
            assert_eq!(answer.status, 200, "{timeout}: {answer:?}");
            let heard = stand.heard.lock().unwrap().take().unwrap();
            let told = clinic_net::parse_timeout(heard["grpc-timeout"].to_str().unwrap());
            assert_eq!(told, Some(Duration::from_secs(30)), "{timeout}");
        }
        stand.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_grpc_has_its_code_of_http() {
    run(Backend::Sqlite, async |suite| {
        let stand = Stand::start(suite).await;
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
            // With all details, and as a service of another making might.
            for answer in [
                status(code, ErrorReason::NotFound, "said \"so\""),
                Status::new(code, "said \"so\""),
            ] {
                let details = answer.details().len();
                stand.says(move || answer.clone().into_http());
                let answer = stand.get(&[]).await;
                assert_eq!(answer.status, http, "{code:?}");
                let body = json(&answer);
                assert_eq!(
                    (&body["code"], &body["message"]),
                    (&i32::from(code).into(), &"said \"so\"".into())
                );
                assert_eq!(body["details"].as_array().unwrap().is_empty(), details == 0, "{body}");
                assert_eq!(answer.header("www-authenticate").is_some(), http == 401);
            }
        }
        stand.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_should_wait_hears_for_how_long() {
    run(Backend::Sqlite, async |suite| {
        let stand = Stand::start(suite).await;
        for (code, wait, seconds) in [
            (Code::ResourceExhausted, Duration::from_secs(7), Some("7")),
            (Code::ResourceExhausted, Duration::from_millis(6001), Some("7")),
            (Code::Unavailable, Duration::from_millis(50), Some("1")),
            (Code::Unavailable, Duration::ZERO, Some("1")),
            (Code::Aborted, Duration::from_millis(50), None),
        ] {
            let answer =
                with_details(code, ErrorReason::Unavailable, "wait", [].into(), |details| {
                    details.set_retry_info(Some(wait));
                });
            stand.says(move || answer.clone().into_http());
            assert_eq!(stand.get(&[]).await.header("retry-after"), seconds, "{code:?} {wait:?}");
        }
        stand.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_the_contracts_is_an_error_of_the_server() {
    run(Backend::Sqlite, async |suite| {
        let stand = Stand::start(suite).await;
        let frame = server::frame;
        for bytes in [
            vec![],
            vec![0, 0, 0],
            frame(b"")[..4].to_vec(),
            [frame(b""), frame(b"")].concat(),
            [&[0, 0, 0, 0, 9][..], b"short"].concat(),
            [&[1, 0, 0, 0, 0][..], b""].concat(),
            // Protobuf that ends too early, text that is not UTF-8, and text that is a number.
            frame(b"\x0a"),
            frame(b"\x0a\x05ab"),
            frame(b"\x0a\x02\xff\xfe"),
            frame(b"\x42\x02\xff\xfe"),
            frame(b"\x08\x01"),
            frame(b"\x1a\x01\xff"),
            frame(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            let said = bytes.clone();
            stand.says(move || server::answered(&said));
            let answer = stand.get(&[]).await;
            assert_eq!((answer.status, &json(&answer)["code"]), (500, &13.into()), "{bytes:?}");
        }
        // No status at all.
        stand.says(|| Response::new(Body::default()));
        assert_eq!(stand.get(&[]).await.status, 500);
        // What this contract does not know yet is passed over.
        stand.says(|| server::answered(&server::frame(b"\xfa\x07\x01x\x0a\x01a")));
        let answer = stand.get(&[]).await;
        assert_eq!((answer.status, &json(&answer)["id"]), (200, &"a".into()), "{answer:?}");
        stand.gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_said_to_come_back() {
    run(Backend::Sqlite, async |suite| {
        let mut stand = Stand::start(suite).await;
        assert_eq!(stand.get(&[]).await.status, 200);
        let gone = Server::start(|_| async { Response::new(Body::default()) }).await;
        let url = gone.url();
        drop(gone);
        let gateway = Gateway::start(suite, |config| config.records_url = url).await;
        std::mem::replace(&mut stand.gateway, gateway).stop().await;
        let answer = stand.get(&[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        assert_eq!(json(&answer)["code"], 14);
        stand.gateway.stop().await;
    })
    .await;
}
