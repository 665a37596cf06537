//! A foreign service behind the gateway: every kind of method, in every form of gRPC.

use clinic_testkit::failure;
use futures::stream;
use tonic::Code;

use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, call};
use super::{echo_client, signed_in, with_echo};

fn say(text: &str) -> EchoRequest {
    EchoRequest { text: text.to_owned(), ..EchoRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_kinds_of_methods_go_through() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let once = client.once(signed_in(say("one"), &access)).await.unwrap().into_inner();
        assert_eq!(once.texts, ["one"]);

        let many = stream::iter(["a", "b", "c"].map(say));
        let collected = client.collect(signed_in(many, &access)).await.unwrap().into_inner();
        assert_eq!(collected.texts, ["a", "b", "c"]);

        let request = EchoRequest { times: 3, ..say("again") };
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
async fn both_sides_of_a_conversation_are_heard_at_once() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let (say_it, said) = tokio::sync::mpsc::channel(1);
        let said = tokio_stream::wrappers::ReceiverStream::new(said);
        let mut client = echo_client(suite).await;
        // The first is sent before there is an answer, the others each after the reply before.
        say_it.send(say("0")).await.unwrap();
        let mut replies = client.converse(signed_in(said, &access)).await.unwrap().into_inner();
        for number in 1..5 {
            let reply = replies.message().await.unwrap().unwrap();
            assert_eq!(reply.texts, [(number - 1).to_string()]);
            say_it.send(say(&number.to_string())).await.unwrap();
        }
        drop(say_it);
        assert_eq!(replies.message().await.unwrap().unwrap().texts, ["4"]);
        assert!(replies.message().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_call_once_and_read_streams_in_both_forms() {
    with_echo(async |suite, _| {
        let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
        let headers = [("authorization", bearer.as_str())];
        for form in Form::BOTH {
            let path = "/acme.echo.v1.EchoService/Once";
            let once = call::<EchoReply>(suite.gateway, form, path, &headers, &say("wörds")).await;
            assert_eq!((once.code, once.messages.len()), (Code::Ok, 1));
            assert_eq!(once.messages[0].texts, ["wörds"]);
            assert_eq!(once.http.header("content-type"), Some(form.content_type()));

            let path = "/acme.echo.v1.EchoService/Repeat";
            let request = EchoRequest { times: 5, ..say("again") };
            let stream = call::<EchoReply>(suite.gateway, form, path, &headers, &request).await;
            assert_eq!((stream.code, stream.messages.len()), (Code::Ok, 5), "{form:?}");
            let none = EchoRequest { times: 0, ..say("") };
            let stream = call::<EchoReply>(suite.gateway, form, path, &headers, &none).await;
            assert_eq!((stream.code, stream.messages.len()), (Code::Ok, 0), "{form:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_foreign_service_refuses_is_passed_on_as_it_is() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let status =
            echo_client(suite).await.once(signed_in(say("fail"), &access)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "as you wished"));
        let bearer = format!("Bearer {access}");
        for form in Form::BOTH {
            let path = "/acme.echo.v1.EchoService/Once";
            let headers = [("authorization", bearer.as_str())];
            let refused =
                call::<EchoReply>(suite.gateway, form, path, &headers, &say("fail")).await;
            assert_eq!(refused.code, Code::DataLoss);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_or_method_that_is_not_there_is_unimplemented() {
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
                let answer =
                    call::<EchoReply>(suite.gateway, Form::Binary, path, headers, &say("")).await;
                assert_eq!(answer.code, Code::Unimplemented, "{path}");
            }
        }
        // Without a token nothing is said of a foreign service's methods.
        assert_eq!(
            failure(echo_client(suite).await.once(say("")).await).code,
            Code::Unauthenticated
        );
    })
    .await;
}
