//! How long a call may take. Over gRPC-Web by hand, since client libraries keep time themselves.

use std::time::{Duration, Instant};

use clinic_testkit::{Backend, Suite, run_with};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::echo::Echo;
use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, Outcome, call};
use super::{echo_client, signed_in, with_echo};

/// A deadline was kept when the answer came long before anything else would have ended the call.
const SOON: Duration = Duration::from_secs(15);

async fn ask(
    suite: &Suite,
    access: &str,
    method: &str,
    timeout: Option<&str>,
    request: &EchoRequest,
) -> Outcome<EchoReply> {
    let bearer = format!("Bearer {access}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(timeout.map(|timeout| ("grpc-timeout", timeout)));
    let path = format!("/acme.echo.v1.EchoService/{method}");
    call(suite.gateway, Form::Binary, &path, &headers, request).await
}

fn hang() -> EchoRequest {
    EchoRequest { hang: true, times: 1, ..EchoRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_deadline_is_passed_on_and_never_more_than_the_cap() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let told = async |timeout: Option<&str>| {
            let answer = ask(suite, &access, "Once", timeout, &EchoRequest::default()).await;
            let text = answer.messages[0].metadata.get("grpc-timeout").cloned()?;
            clinic_chassis::parse_timeout(&text)
        };
        let short = told(Some("5S")).await.unwrap();
        assert!(short <= Duration::from_secs(5) && short > Duration::from_secs(4), "{short:?}");
        assert_eq!(told(Some("1H")).await, Some(Duration::from_secs(60)));
        assert_eq!(told(Some("99999999H")).await, Some(Duration::from_secs(60)));
        // What is not of the form counts as nothing, and a foreign service has its own rules then.
        for none in [None, Some("soon"), Some("-1S"), Some("")] {
            assert_eq!(told(none).await, None, "{none:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_answered_and_given_up() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let began = Instant::now();
        let late = ask(suite, &access, "Once", Some("200m"), &hang()).await;
        assert_eq!(late.code, Code::DeadlineExceeded);
        assert!(began.elapsed() < SOON);
        echo.dropped().await;
        let details = tonic::Status::with_details(late.code, "", late.details.into());
        assert_eq!(details.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");

        let mut request = signed_in(hang(), &access);
        request.set_timeout(Duration::from_millis(200));
        let late = echo_client(suite).await.once(request).await.unwrap_err();
        assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
        echo.dropped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_too_long_ends_with_its_deadline() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let began = Instant::now();
        let late = ask(suite, &access, "Repeat", Some("500m"), &hang()).await;
        assert_eq!((late.code, late.messages.len()), (Code::DeadlineExceeded, 1));
        assert!(began.elapsed() < SOON);
        echo.dropped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_ask_for_more_time_than_the_operator_gives() {
    let echo = Echo::start().await;
    let route = echo.route(true);
    let configure = |config: &mut clinic::Config| {
        config.settings.gateway.routes.push(route);
        config.settings.gateway.max_deadline = Duration::from_millis(200);
        config.settings.gateway.default_deadline = Duration::from_millis(200);
    };
    run_with(Backend::Sqlite, configure, async |suite| {
        for method in ["Once", "Repeat"] {
            let began = Instant::now();
            let late = call::<EchoReply>(
                suite.gateway,
                Form::Text,
                &format!("/acme.echo.v1.EchoService/{method}"),
                &[("grpc-timeout", "1H")],
                &hang(),
            )
            .await;
            assert_eq!(late.code, Code::DeadlineExceeded, "{method}");
            assert!(began.elapsed() < SOON);
            echo.dropped().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_at_all_is_a_deadline_too() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        for zero in ["0S", "0n", "1n"] {
            let late = ask(suite, &access, "Once", Some(zero), &hang()).await;
            assert_eq!(late.code, Code::DeadlineExceeded, "{zero}");
        }
        assert_eq!(echo.calls(), 0);
        let mut request = tonic::Request::new(clinic_proto::auth::v1::GetJwksRequest {});
        request.metadata_mut().insert("grpc-timeout", "0S".parse().unwrap());
        let late = suite.anonymous().tokens.get_jwks(request).await;
        assert!(late.is_err());
    })
    .await;
}
