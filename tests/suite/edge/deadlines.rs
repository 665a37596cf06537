//! Deadlines of calls. Most use handwritten gRPC-Web, because client libraries enforce timeouts
//! themselves.

use std::time::{Duration, Instant};

use clinic_testkit::{Backend, Suite, run_with};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::echo::Echo;
use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, Outcome, call};
use super::{echo_client, signed_in, with_echo};

/// A call that ends within this time ended at its deadline: nothing else would end it so soon.
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

/// Returns the timeout that the routed service receives for a call with this timeout.
async fn forwarded(suite: &Suite, access: &str, timeout: Option<&str>) -> Option<Duration> {
    let response = ask(suite, access, "Once", timeout, &EchoRequest::default()).await;
    let text = response.messages[0].metadata.get("grpc-timeout").cloned()?;
    clinic_net::parse_timeout(&text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routed_service_gets_the_timeout_of_the_client() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let short = forwarded(suite, &access, Some("5S")).await.unwrap();
        assert!(short <= Duration::from_secs(5) && short > Duration::from_secs(4), "{short:?}");
        let long = forwarded(suite, &access, Some("2H")).await.unwrap();
        assert!(long > Duration::from_secs(7000), "{long:?}");
        assert_eq!(forwarded(suite, &access, None).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maximum_of_a_route_caps_the_timeout_of_the_client() {
    let echo = Echo::start().await;
    let route = clinic_gateway::Route { max: Some(Duration::from_secs(7)), ..echo.route(true) };
    let configure = |config: &mut clinic::Config| config.settings.gateway.routes.push(route);
    run_with(Backend::Sqlite, configure, async |suite| {
        let access = suite.staff().await.tokens.access;
        for timeout in [None, Some("1H"), Some("7S"), Some("61S")] {
            let seconds = forwarded(suite, &access, timeout).await.unwrap().as_secs_f64().ceil();
            assert_eq!(seconds, 7.0, "{timeout:?}");
        }
        assert!(forwarded(suite, &access, Some("5S")).await.unwrap() <= Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_timeout_is_an_invalid_argument() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        for malformed in ["soon", "-1S", "", "1s", "123456789S", "1", "S", "1.5S"] {
            let refused =
                ask(suite, &access, "Once", Some(malformed), &EchoRequest::default()).await;
            assert_eq!(refused.code, Code::InvalidArgument, "{malformed:?}");
            let details = tonic::Status::with_details(refused.code, "", refused.details.into());
            let bad = details.get_details_bad_request().unwrap();
            assert_eq!(bad.field_violations[0].field, "grpc-timeout");
        }
        assert_eq!(echo.calls(), 0);
        // The same for a method of the suite.
        let mut request = tonic::Request::new(clinic_proto::auth::v1::GetJwksRequest {});
        request.metadata_mut().insert("grpc-timeout", "5s".parse().unwrap());
        let refused = suite.anonymous().tokens.get_jwks(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_deadline_and_is_cancelled_upstream() {
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
async fn a_stream_ends_at_its_deadline_and_is_cancelled_upstream() {
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
async fn a_call_ends_at_the_maximum_of_its_route() {
    let echo = Echo::start().await;
    let max = Some(Duration::from_millis(200));
    let route = clinic_gateway::Route { max, ..echo.route(true) };
    let configure = |config: &mut clinic::Config| config.settings.gateway.routes.push(route);
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
async fn a_timeout_of_zero_gives_deadline_exceeded() {
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
