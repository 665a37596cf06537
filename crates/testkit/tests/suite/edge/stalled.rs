//! Clients that ask for much and read nothing of it.

use std::time::Duration;

use clinic_testkit::Suite;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::echo::v1::echo_service_client::EchoServiceClient;
use super::echo::v1::{EchoReply, EchoRequest};
use super::{echo_client, signed_in, with_echo};

/// A client that takes 64 KiB and no more until it reads.
async fn slow_client(suite: &Suite) -> EchoServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", suite.gateway)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    EchoServiceClient::new(channel)
}

/// The answer to a call for 4 MiB that is not read.
async fn unread(client: &mut EchoServiceClient<Channel>, access: &str) -> Streaming<EchoReply> {
    let text = "x".repeat(256 * 1024);
    let mut request = signed_in(EchoRequest { text, times: 16, hang: true }, access);
    request.metadata_mut().insert("grpc-timeout", "5S".parse().unwrap());
    client.repeat(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_do_not_hold_up_others() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let mut slow = slow_client(suite).await;
        let mut answers = Vec::new();
        for _ in 0..32 {
            answers.push(unread(&mut slow, &access).await);
        }
        let mut client = echo_client(suite).await;
        for _ in 0..10 {
            let request = EchoRequest { text: "x".repeat(1024 * 1024), ..EchoRequest::default() };
            // The same replica, and the same connection to it.
            let answer = client.once(signed_in(request, &access));
            let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
            answer.expect("an answer, whatever others do").unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_time_ends_all_the_same() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut slow = slow_client(suite).await;
        let answer = unread(&mut slow, &access).await;
        echo.dropped().await;
        drop(answer);
    })
    .await;
}
