//! Calls are cancelled upstream when their client disconnects.

use super::echo::v1::EchoRequest;
use super::http1::open;
use super::web::Form;
use super::{echo_client, signed_in, with_echo};

fn hang() -> EchoRequest {
    EchoRequest { hang: true, times: 1, ..EchoRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_its_client_cancels_is_cancelled_upstream() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let request = signed_in(hang(), &access);
        let call = tokio::spawn(async move { client.once(request).await });
        echo.begun().await;
        call.abort();
        echo.dropped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_client_drops_is_cancelled_upstream() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let mut replies = client.repeat(signed_in(hang(), &access)).await.unwrap().into_inner();
        replies.message().await.unwrap().unwrap();
        echo.begun().await;
        drop(replies);
        echo.dropped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_grpc_web_connection_cancels_its_call_upstream() {
    with_echo(async |suite, echo| {
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        for (form, method) in [(Form::Binary, "Once"), (Form::Text, "Repeat")] {
            let headers =
                [("authorization", bearer.as_str()), ("content-type", form.content_type())];
            let path = format!("/acme.echo.v1.EchoService/{method}");
            let connection =
                open(suite.gateway, "POST", &path, &headers, &form.encode(&hang())).await;
            echo.begun().await;
            drop(connection);
            echo.dropped().await;
        }
    })
    .await;
}
