//! Slow clients, and long responses.

use std::time::Duration;

use clinic_testkit::{Account, Backend, Suite, run};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::{Service as _, ServiceExt as _};

use super::{Rest, patient};
use crate::edge::gateway::Gateway;
use crate::edge::http1;

/// The deadline: long enough for every call of these tests, and short enough to wait for.
const LIMIT: Duration = Duration::from_secs(2);

/// Creates patients whose list is ten times as long as what the gateway sends at a time.
async fn long_list(suite: &Suite, staff: &Account) -> Vec<Value> {
    let rest = Rest::of(suite, staff);
    let mut made = Vec::new();
    for number in 0..40 {
        let mut patient = patient();
        patient["medical_history"] = json!(format!("{number} ").repeat(5_000));
        made.push(rest.post("/api/patients/", &patient).await.ok().json);
    }
    made
}

/// Requests the list over HTTP/2, for a client that takes 64 KiB until it reads.
async fn ask(gateway: &Gateway, staff: &Account) -> Response<Body> {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let mut channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let bearer = format!("Bearer {}", staff.tokens.access);
    let request = Request::get("/api/patients/").header("authorization", bearer);
    let request = request.body(Body::default()).unwrap();
    channel.ready().await.unwrap().call(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_response_arrives_complete() {
    run(Backend::Sqlite, async |suite| {
        let staff = suite.staff().await;
        let made = long_list(suite, &staff).await;
        let gateway = Gateway::start(suite, |_| ()).await;
        let (head, body) = ask(&gateway, &staff).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(body.len() > 500_000, "{}", body.len());
        assert_eq!(head.headers["content-length"].to_str().unwrap(), body.len().to_string());
        let list: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(list["patients"], json!(made));
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_response_ends_at_its_deadline() {
    run(Backend::Sqlite, async |suite| {
        let staff = suite.staff().await;
        long_list(suite, &staff).await;
        let gateway = Gateway::start(suite, |config| config.public.default_deadline = LIMIT).await;
        let (head, body) = ask(&gateway, &staff).await.into_parts();
        assert_eq!(head.status, 200);
        // A client that does not read gets no event to wait for.
        tokio::time::sleep(LIMIT + LIMIT / 2).await;
        let whole: usize = head.headers["content-length"].to_str().unwrap().parse().unwrap();
        let read = body.collect().await.map(|body| body.to_bytes().len());
        assert!(read.as_ref().is_err() || read.is_ok_and(|read| read < whole / 2));
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_body_does_not_arrive_gets_408() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| config.public.default_deadline = LIMIT).await;
        let json = ("content-type", "application/json");
        let mut connection =
            http1::begin(gateway.address, "POST", "/api/auth/login/", &[json], 100, b"{").await;
        let mut response = vec![0; 64];
        let len = connection.read(&mut response).await.unwrap();
        let head = String::from_utf8_lossy(&response[..len]).into_owned();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        gateway.stop().await;
    })
    .await;
}
