//! Shutdown is bounded, whatever clients do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clinic_proto::auth::v1::{GetJwksRequest, RegisterRequest};
use clinic_testkit::{PASSWORD, email};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::operator::{Operator, tell_to_end, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_order_while_connections_are_held_open() {
    let operator = Operator::with_sqlite();
    let running = operator.up(&["--shutdown-grace", "2s"]);
    // One that sends nothing, two that stop in the head and in the body, one that is idle.
    let silent = TcpStream::connect(running.address).unwrap();
    let mut half = TcpStream::connect(running.address).unwrap();
    half.write_all(b"POST /clinic.auth.v1.TokenService/GetJwks HTTP/1.1\r\nhost: x\r\n").unwrap();
    let mut body = TcpStream::connect(running.address).unwrap();
    body.write_all(
        b"POST /clinic.auth.v1.TokenService/GetJwks HTTP/1.1\r\nhost: x\r\n\
          content-type: application/grpc-web+proto\r\ncontent-length: 5\r\n\r\n\0",
    )
    .unwrap();
    let mut idle = running.anonymous().tokens;
    idle.get_jwks(GetJwksRequest {}).await.unwrap();

    let began = Instant::now();
    let ended = running.terminate(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    // The grace periods of the gateway and then of the services, with a margin.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for mut connection in [silent, half, body] {
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The connection is closed, with or without a response.
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
    }
    assert!(idle.get_jwks(GetJwksRequest {}).await.is_err());
}

#[test]
fn sigterm_ends_it_also_while_it_waits_for_a_database_that_says_nothing() {
    let operator = Operator::with_sqlite();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://clinic@{}", silent.local_addr().unwrap());
    let mut child = operator
        .command(&["up", "--listen", "127.0.0.1:0", "--database-url", &url])
        .spawn()
        .unwrap();
    // The program is connected to the database, and waits.
    let _held = silent.accept().unwrap();
    tell_to_end(&child);
    let ended = wait(&mut child, Duration::from_secs(20));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_is_answered_before_the_end() {
    let operator = Operator::with_sqlite();
    let running = operator.up(&[]);
    let mut calls = Vec::new();
    for _ in 0..8 {
        let mut auth = running.anonymous().auth;
        // Opens the connection, because new ones are refused during the shutdown.
        auth.refresh(clinic_proto::auth::v1::RefreshRequest { refresh: "x".into() })
            .await
            .unwrap_err();
        let request = RegisterRequest {
            email: email(),
            name: "Robin Miller".into(),
            password: PASSWORD.into(),
            ..Default::default()
        };
        let (tell, begun) = tokio::sync::oneshot::channel();
        calls.push(tokio::spawn(async move {
            tell.send(()).unwrap();
            auth.register(request).await
        }));
        begun.await.unwrap();
    }
    let began = Instant::now();
    let ended = running.terminate(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for call in calls {
        // Each call was answered, or refused because it came too late.
        if let Err(status) = call.await.unwrap() {
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigterm_it_goes_on_serving_while_its_readiness_is_off() {
    let operator = Operator::with_sqlite();
    let running = operator.up(&["--shutdown-delay", "1s"]);
    assert_eq!(running.get("/readyz"), 200);
    let channel = Endpoint::from_shared(format!("http://{}", running.address)).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || watch.message().await.unwrap().map(|state| state.status());
    assert_eq!(next().await, Some(ServingStatus::Serving));

    let began = Instant::now();
    running.signal("TERM");
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None, "a watch must not delay the shutdown");
    // New connections and calls are still served.
    assert_eq!(running.get("/readyz"), 503);
    running.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap();
    let ended = running.end(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn ctrl_c_skips_the_delay_and_a_second_one_also_the_grace() {
    let operator = Operator::with_sqlite();
    let running = operator.up(&["--shutdown-delay", "1m", "--shutdown-grace", "1m"]);
    running.signal("INT");
    let ended = running.end(Duration::from_secs(20));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");

    let running = operator.up(&["--shutdown-delay", "1m", "--shutdown-grace", "1m"]);
    // A call that never ends.
    let mut body = TcpStream::connect(running.address).unwrap();
    body.write_all(
        b"POST /clinic.auth.v1.TokenService/GetJwks HTTP/1.1\r\nhost: x\r\n\
          content-type: application/grpc-web+proto\r\ncontent-length: 5\r\n\r\n\0",
    )
    .unwrap();
    assert_eq!(running.get("/livez"), 200);
    running.signal("INT");
    // Waits until the first signal is handled: two at the same moment would count as one.
    while TcpStream::connect(running.address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Longer than `SAME_SIGNAL`: signals within 200 ms count as one.
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT");
    let ended = running.end(Duration::from_secs(20));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("second signal"), "{ended:?}");
}
