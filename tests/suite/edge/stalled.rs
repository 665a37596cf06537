//! Clients that do not read their responses.

use std::time::Duration;

use clinic_testkit::Suite;
use futures::future::join_all;
use tokio::io::AsyncReadExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::echo::v1::echo_service_client::EchoServiceClient;
use super::echo::v1::{EchoReply, EchoRequest};
use super::http1::open;
use super::web::Form;
use super::{echo_client, signed_in, with_echo};

/// Returns a client whose streams have a flow-control window of 64 KiB.
async fn slow_client(suite: &Suite) -> EchoServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", suite.gateway)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    EchoServiceClient::new(channel)
}

/// Makes a call with a response of 4 MiB and this timeout, and does not read the response.
async fn unread(
    mut client: EchoServiceClient<Channel>,
    access: &str,
    timeout: &'static str,
) -> Streaming<EchoReply> {
    let text = "x".repeat(256 * 1024);
    let mut request = signed_in(EchoRequest { text, times: 16, hang: true }, access);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    client.repeat(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_do_not_block_other_calls() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let slow = slow_client(suite).await;
        let responses = join_all((0..32).map(|_| unread(slow.clone(), &access, "5S"))).await;
        let mut client = echo_client(suite).await;
        for _ in 0..10 {
            let request = EchoRequest { text: "x".repeat(1024 * 1024), ..EchoRequest::default() };
            // The gateway uses the same upstream connection as for the unread calls.
            let response = client.once(signed_in(request, &access));
            let response = tokio::time::timeout(Duration::from_secs(20), response).await;
            response.expect("other calls must not block this one").unwrap();
        }
        drop(responses);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_end_at_their_deadline() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let response = unread(slow_client(suite).await, &access, "2S").await;
        echo.dropped().await;
        drop(response);
    })
    .await;
}

/// Makes a call with a response of 1 MiB.
async fn large(suite: &Suite, access: &str) -> Result<(), Status> {
    let request = EchoRequest { text: "x".repeat(1024 * 1024), ..EchoRequest::default() };
    echo_client(suite).await.once(signed_in(request, access)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_too_many_unread_responses_is_refused_until_they_time_out() {
    with_echo(async |suite, _| {
        let (hoarder, other) = tokio::join!(suite.staff(), suite.staff());
        let (access, other) = (hoarder.tokens.access, other.tokens.access);
        let slow = [slow_client(suite).await, slow_client(suite).await];
        let calls = slow.iter().flat_map(|slow| std::iter::repeat_n(slow, 150));
        let responses = join_all(calls.map(|slow| unread(slow.clone(), &access, "10S"))).await;
        let refused = large(suite, &access).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "UNREAD_ANSWERS");
        assert!(details.retry_info().is_some());
        large(suite, &other).await.unwrap();
        let again = async {
            while large(suite, &access).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), again)
            .await
            .expect("calls must succeed after the deadline");
        drop(responses);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http1_connection_with_an_unread_response_closes_at_the_deadline() {
    with_echo(async |suite, _| {
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        let request = EchoRequest { text: "x".repeat(1024 * 1024), times: 64, hang: false };
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", Form::Binary.content_type()),
            ("grpc-timeout", "2S"),
        ];
        let path = "/acme.echo.v1.EchoService/Repeat";
        let body = Form::Binary.encode(&request);
        let mut connection = open(suite.gateway, "POST", path, &headers, &body).await;
        // Socket buffers hold only a small part of the response.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut read = Vec::new();
        let rest = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut read));
        let _ = rest.await.expect("the connection must be closed");
        assert!(read.len() < 32 * 1024 * 1024, "{}", read.len());
    })
    .await;
}
