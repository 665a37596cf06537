//! A routed service: every kind of method, over gRPC and gRPC-Web.

use clinic_testkit::failure;
use futures::stream;
use tonic::Code;

use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, call};
use super::{echo_client, signed_in, with_echo};

fn text(text: &str) -> EchoRequest {
    EchoRequest { text: text.to_owned(), ..EchoRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_and_one_way_streaming_calls_reach_a_routed_service() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let once = client.once(signed_in(text("one"), &access)).await.unwrap().into_inner();
        assert_eq!(once.texts, ["one"]);

        let many = stream::iter(["a", "b", "c"].map(text));
        let collected = client.collect(signed_in(many, &access)).await.unwrap().into_inner();
        assert_eq!(collected.texts, ["a", "b", "c"]);

        let request = EchoRequest { times: 3, ..text("again") };
        let mut replies = client.repeat(signed_in(request, &access)).await.unwrap().into_inner();
        let mut count = 0;
        while let Some(reply) = replies.message().await.unwrap() {
            assert_eq!(reply.texts, ["again"]);
            count += 1;
        }
        assert_eq!((count, echo.calls()), (3, 3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_of_a_bidirectional_stream_are_live() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let (sender, requests) = tokio::sync::mpsc::channel(1);
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let mut client = echo_client(suite).await;
        // The first request comes before the response, each other one after the previous reply.
        sender.send(text("0")).await.unwrap();
        let mut replies = client.converse(signed_in(requests, &access)).await.unwrap().into_inner();
        for number in 1..5 {
            let reply = replies.message().await.unwrap().unwrap();
            assert_eq!(reply.texts, [(number - 1).to_string()]);
            sender.send(text(&number.to_string())).await.unwrap();
        }
        drop(sender);
        assert_eq!(replies.message().await.unwrap().unwrap().texts, ["4"]);
        assert!(replies.message().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_unary_and_server_streaming_calls_work_in_both_forms() {
    with_echo(async |suite, _| {
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        let headers = [("authorization", bearer.as_str())];
        for form in Form::BOTH {
            let path = "/acme.echo.v1.EchoService/Once";
            let once = call::<EchoReply>(suite.gateway, form, path, &headers, &text("wörds")).await;
            assert_eq!((once.code, once.messages.len()), (Code::Ok, 1));
            assert_eq!(once.messages[0].texts, ["wörds"]);
            assert_eq!(once.http.header("content-type"), Some(form.content_type()));

            let path = "/acme.echo.v1.EchoService/Repeat";
            let request = EchoRequest { times: 5, ..text("again") };
            let stream = call::<EchoReply>(suite.gateway, form, path, &headers, &request).await;
            assert_eq!((stream.code, stream.messages.len()), (Code::Ok, 5), "{form:?}");
            let none = EchoRequest { times: 0, ..text("") };
            let stream = call::<EchoReply>(suite.gateway, form, path, &headers, &none).await;
            assert_eq!((stream.code, stream.messages.len()), (Code::Ok, 0), "{form:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_routed_service_are_passed_on_unchanged() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let status =
            echo_client(suite).await.once(signed_in(text("fail"), &access)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "requested by the test"));
        let bearer = format!("Bearer {access}");
        for form in Form::BOTH {
            let path = "/acme.echo.v1.EchoService/Once";
            let headers = [("authorization", bearer.as_str())];
            let refused =
                call::<EchoReply>(suite.gateway, form, path, &headers, &text("fail")).await;
            assert_eq!(refused.code, Code::DataLoss);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_service_or_method_is_unimplemented() {
    with_echo(async |suite, _| {
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        for path in [
            "/acme.echo.v1.OtherService/Once",
            "/clinic.records.v1.PatientService/Nothing",
            "/clinic.records.v1.PatientService/",
            "/clinic.records.v1.PatientService",
            "/clinic.records.v1.PatientService/GetPatient/more",
            "/clinic.records.v1.patientservice/GetPatient",
            "/clinic.auth.v1.TokenService/WatchRevocations",
            "/grpc.health.v2.Health/Check",
            "/acme.echo.v1.EchoService/Nothing",
            "//GetPatient",
            "/",
        ] {
            for headers in [&[("authorization", bearer.as_str())][..], &[]] {
                let own = path.starts_with("/acme.echo.v1.EchoService");
                if headers.is_empty() && own {
                    continue;
                }
                let response =
                    call::<EchoReply>(suite.gateway, Form::Binary, path, headers, &text("")).await;
                assert_eq!(response.code, Code::Unimplemented, "{path}");
            }
        }
        // Without a token, even a known method of the service is UNAUTHENTICATED.
        assert_eq!(
            failure(echo_client(suite).await.once(text("")).await).code,
            Code::Unauthenticated
        );
    })
    .await;
}
