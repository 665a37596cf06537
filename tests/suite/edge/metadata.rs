//! Metadata that the gateway forwards, removes and adds.

use std::collections::HashMap;

use clinic_identity::{CLAIMS_HEADER, Claims, ClaimsVerifier, Principal};
use clinic_testkit::{Backend, Suite, run_with};
use tonic::metadata::BinaryMetadataValue;

use super::echo::Echo;
use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, call};
use super::{echo_client, signed_in, with_echo};

const ONCE: &str = "/acme.echo.v1.EchoService/Once";

/// Returns the claims that the service received.
fn claims(suite: &Suite, metadata: &HashMap<String, String>) -> Claims {
    let verifier = ClaimsVerifier::open(&suite.keys(), suite.clock.clone()).unwrap();
    (*verifier.verify(&metadata[CLAIMS_HEADER]).unwrap()).clone()
}

/// Asserts that the gateway removed the metadata that clients may not send.
fn assert_clean(metadata: &HashMap<String, String>) {
    let own = ["x-clinic-claims"];
    for (name, value) in metadata {
        assert!(!value.contains("forged"), "{name}: {value}");
        let reserved = name.starts_with("x-clinic-") || name.starts_with("x-forwarded-");
        assert!(!reserved || own.contains(&name.as_str()), "{name}: {value}");
        assert!(!["authorization", "cookie", "forwarded"].contains(&name.as_str()), "{name}");
    }
    assert!(!metadata[CLAIMS_HEADER].contains(','), "the gateway's claims must be the only ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_set_the_metadata_that_the_gateway_adds() {
    with_echo(async |suite, _| {
        let account = suite.staff().await;
        let mut request = signed_in(EchoRequest::default(), &account.tokens.access);
        let metadata = request.metadata_mut();
        for name in [
            CLAIMS_HEADER,
            "x-clinic-anything",
            "x-clinic-roles",
            "x-clinic-",
            "x-forwarded-for",
            "forwarded",
            "cookie",
            "x-clinic-claims-2",
        ] {
            metadata.append(name, "forged".parse().unwrap());
            metadata.append(name, "forged again".parse().unwrap());
        }
        metadata.insert_bin("x-clinic-data-bin", BinaryMetadataValue::from_bytes(b"forged"));
        metadata.insert("x-trace", "kept".parse().unwrap());
        let reply = echo_client(suite).await.once(request).await.unwrap().into_inner();
        assert_clean(&reply.metadata);
        assert_eq!(reply.metadata["x-trace"], "kept");
        let claims = claims(suite, &reply.metadata);
        assert_eq!(claims.principal.user_id().unwrap().to_string(), account.user.id);
        assert_eq!(claims.client_ip.unwrap().to_string(), "127.0.0.1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_cannot_set_the_metadata_that_the_gateway_adds() {
    with_echo(async |suite, _| {
        let account = suite.staff().await;
        let bearer = format!("Bearer {}", account.tokens.access);
        for form in Form::BOTH {
            let headers = [
                ("authorization", bearer.as_str()),
                ("X-Clinic-Claims", "forged"),
                ("X-CLINIC-Anything", "forged"),
                ("x-clinic-claims", "forged"),
                ("cookie", "forged"),
                ("x-trace", "kept"),
            ];
            let nothing = EchoRequest::default();
            let reply = call::<EchoReply>(suite.gateway, form, ONCE, &headers, &nothing).await;
            let reply = &reply.messages[0];
            assert_clean(&reply.metadata);
            assert_eq!(reply.metadata["x-trace"], "kept");
            assert!(claims(suite, &reply.metadata).principal.user().is_some());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_accepts_anonymous_and_signed_in_callers() {
    let echo = Echo::start().await;
    let route = echo.route(true);
    let configure = |config: &mut clinic::Config| config.settings.gateway.routes.push(route);
    run_with(Backend::Sqlite, configure, async |suite| {
        let mut client = echo_client(suite).await;
        let mut request = tonic::Request::new(EchoRequest::default());
        request.metadata_mut().insert(CLAIMS_HEADER, "forged".parse().unwrap());
        let reply = client.once(request).await.unwrap().into_inner();
        assert_clean(&reply.metadata);
        assert_eq!(claims(suite, &reply.metadata).principal, Principal::Anonymous);

        let account = suite.staff().await;
        let request = signed_in(EchoRequest::default(), &account.tokens.access);
        let reply = client.once(request).await.unwrap().into_inner();
        assert!(claims(suite, &reply.metadata).principal.user().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_request_ids_are_forwarded_and_invalid_ones_replaced() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let mut send = async |id: Option<&str>| {
            let mut request = signed_in(EchoRequest::default(), &access);
            if let Some(id) = id {
                request.metadata_mut().insert("x-request-id", id.parse().unwrap());
            }
            let response = client.once(request).await.unwrap();
            let echoed =
                response.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
            assert_eq!(response.into_inner().metadata["x-request-id"], echoed);
            echoed
        };
        assert_eq!(send(Some("abc-123_4.5")).await, "abc-123_4.5");
        let first = send(None).await;
        assert_ne!(first, send(None).await);
        let long = "x".repeat(65);
        for unfit in ["", "a b", "a\"b", "<script>", "a/b", "a,b", long.as_str()] {
            let echoed = send(Some(unfit)).await;
            assert_ne!(echoed, unfit);
            assert_eq!(echoed.len(), first.len(), "{echoed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x_forwarded_for_is_trusted_only_from_a_configured_proxy() {
    for (behind_proxy, trusted, expected) in [
        (false, "10.0.0.0/8", "127.0.0.1"),
        (true, "10.0.0.0/8", "192.0.2.44"),
        (false, "127.0.0.0/8", "192.0.2.44"),
    ] {
        let echo = Echo::start().await;
        let route = echo.route(true);
        let configure = |config: &mut clinic::Config| {
            config.settings.gateway.routes.push(route);
            config.settings.gateway.behind_proxy = behind_proxy;
            config.settings.gateway.trusted_proxies = vec![trusted.parse().unwrap()];
        };
        run_with(Backend::Sqlite, configure, async |suite| {
            // The client may send any value; the proxy appends the address that it sees.
            let headers = [("x-forwarded-for", "10.9.8.7, 192.0.2.44")];
            let reply = call::<EchoReply>(
                suite.gateway,
                Form::Binary,
                ONCE,
                &headers,
                &EchoRequest::default(),
            )
            .await;
            let reply = &reply.messages[0];
            let claims = claims(suite, &reply.metadata);
            assert_eq!(claims.client_ip.unwrap().to_string(), expected);
        })
        .await;
    }
}
