//! Invalid access tokens: no call with one reaches a service.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use clinic_proto::auth::v1::{GetJwksRequest, GetUserRequest};
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{Account, Suite, failure};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use tonic::Code;

use super::echo::Echo;
use super::echo::v1::EchoRequest;
use super::forgery::{Forged, unknown_key};
use super::{echo_client, signed_in, with_echo};

/// Asserts the UNAUTHENTICATED of every invalid token, and that no call reaches the service.
async fn assert_refused(suite: &Suite, echo: &Echo, what: &str, authorization: &str) {
    let before = echo.calls();
    let mut request = tonic::Request::new(EchoRequest::default());
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    let refused = failure(echo_client(suite).await.once(request).await);
    assert_eq!(refused.code, Code::Unauthenticated, "{what}");
    assert_eq!(refused.reason, "INVALID_TOKEN", "{what}");
    assert_eq!(echo.calls(), before, "{what}");

    let mut clients = suite.at_gateway(&[("authorization", authorization)]);
    let list = clients.patients.list_patients(ListPatientsRequest::default()).await;
    assert_eq!(failure(list), refused, "{what}");
    // Public methods refuse it too. But they accept an expired token, or one whose key is gone: its
    // client may be about to refresh it.
    let jwks = clients.tokens.get_jwks(GetJwksRequest {}).await;
    match what {
        "expired" | "unknown kid" => assert!(jwks.is_ok(), "{what}: {jwks:?}"),
        _ => assert_eq!(failure(jwks), refused, "{what}"),
    }
}

async fn assert_accepted(suite: &Suite, token: &str) {
    let mut clients = suite.with_token(token);
    clients.auth.get_user(GetUserRequest { id: "me".into() }).await.unwrap();
}

async fn public_key(suite: &Suite) -> (String, Vec<u8>) {
    let jwks = suite.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap().into_inner();
    let x = jwks.keys[0].x.clone();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&x).unwrap();
    (x, bytes)
}

fn forged(suite: &Suite, account: &Account) -> Forged {
    Forged::access(suite, &account.user.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_wrong_key_or_algorithm_is_refused() {
    with_echo(async |suite, echo| {
        let account = suite.staff().await;
        let good = || forged(suite, &account);
        // This token is valid: those below are refused only for what they change.
        assert_accepted(suite, &good().sign()).await;

        for none in ["none", "None", "NONE", "nOnE", ""] {
            let token = good().unsigned(none);
            assert_refused(suite, echo, none, &format!("Bearer {token}")).await;
        }
        let (text, bytes) = public_key(suite).await;
        for secret in [bytes.as_slice(), text.as_bytes()] {
            for algorithm in [Algorithm::HS256, Algorithm::HS512] {
                let token =
                    good().algorithm(algorithm).key(EncodingKey::from_secret(secret)).sign();
                assert_refused(suite, echo, "HMAC", &format!("Bearer {token}")).await;
            }
        }
        let unknown = good().key(unknown_key()).sign();
        assert_refused(suite, echo, "unknown key", &format!("Bearer {unknown}")).await;
        let unknown = suite.clock.new_id().to_string();
        for kid in [Some(unknown.as_str()), Some("../../etc/passwd"), Some(""), None] {
            let token = good().kid(kid).sign();
            assert_refused(suite, echo, "unknown kid", &format!("Bearer {token}")).await;
        }
        // The claims of one token with the signature of another.
        let (one, two) = (good().sign(), good().with("roles", json!(["admin"])).sign());
        let (claims, _) = two.rsplit_once('.').unwrap();
        let (_, signature) = one.rsplit_once('.').unwrap();
        assert_refused(suite, echo, "mixed", &format!("Bearer {claims}.{signature}")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_wrong_type_or_claim_is_refused() {
    with_echo(async |suite, echo| {
        let account = suite.staff().await;
        let good = || forged(suite, &account);
        assert_accepted(suite, &good().sign()).await;
        let now = suite.clock.unix();
        for (what, bad) in [
            ("typ", good().typ(Some("JWT"))),
            ("typ", good().typ(Some("clinic-claims+jwt"))),
            ("typ", good().typ(None)),
            ("iss", good().with("iss", json!("clinic2"))),
            ("iss", good().with("iss", json!(["clinic"]))),
            ("iss", good().without("iss")),
            ("aud", good().with("aud", json!("clinic-internal"))),
            ("aud", good().with("aud", json!(["clinic", "other"]))),
            ("aud", good().without("aud")),
            ("expired", good().with("exp", json!(now - 61))),
            ("exp", good().without("exp")),
            ("exp", good().with("exp", json!("never"))),
            ("nbf", good().with("nbf", json!(now + 3600))),
            ("iat", good().with("iat", json!(now + 3600))),
            ("nbf", good().without("nbf")),
            ("sub", good().without("sub")),
            ("sub", good().with("sub", json!("me"))),
            ("sid", good().without("sid")),
            ("roles", good().with("roles", json!(["service"]))),
            ("roles", good().with("roles", json!("admin"))),
        ] {
            assert_refused(suite, echo, what, &format!("Bearer {}", bad.sign())).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_token_or_one_of_another_kind_is_refused() {
    with_echo(async |suite, echo| {
        let refused = failure(echo_client(suite).await.once(EchoRequest::default()).await);
        assert_eq!((refused.code, echo.calls()), (Code::Unauthenticated, 0));
        let account = suite.staff().await;
        let (access, refresh) = (account.tokens.access, account.tokens.refresh);
        assert_accepted(suite, &access).await;
        let parts: Vec<_> = access.split('.').collect();
        for authorization in [
            format!("Bearer {}", &access[..access.len() - 1]),
            format!("Bearer {}", &access[..access.len() / 2]),
            format!("Bearer {}.{}", parts[0], parts[1]),
            format!("Bearer {}..{}", parts[0], parts[2]),
            format!("Bearer {access}.x"),
            format!("Bearer {access}="),
            format!("Bearer {}", "A".repeat(100_000)),
            format!("Bearer {access}{}", "A".repeat(100_000)),
            format!("Bearer {refresh}"),
            format!("Bearer {access} {access}"),
            "Bearer ".to_owned(),
            "Bearer".to_owned(),
            format!("Basic {access}"),
            access.clone(),
        ] {
            assert_refused(
                suite,
                echo,
                &authorization[..20.min(authorization.len())],
                &authorization,
            )
            .await;
        }
        // The scheme is case-insensitive (RFC 9110).
        let mut clients = suite.at_gateway(&[("authorization", &format!("bearer {access}"))]);
        clients.auth.get_user(GetUserRequest { id: "me".into() }).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_token_is_refused_once_it_has_expired() {
    with_echo(async |suite, echo| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        client.once(signed_in(EchoRequest::default(), &access)).await.unwrap();
        // The lifetime of 15 minutes and the clock tolerance of one minute.
        suite.clock.advance(TimeDelta::minutes(16));
        assert_refused(suite, echo, "expired", &format!("Bearer {access}")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_accepted_with_up_to_a_minute_of_clock_skew() {
    with_echo(async |suite, echo| {
        let account = suite.staff().await;
        // A token that auth signs with a clock that is `ahead` seconds ahead. If auth's clock is
        // behind, the token expires now by that clock.
        let signed = |ahead: i64| {
            let at = suite.clock.unix() + ahead;
            let token = forged(suite, &account).with("iat", json!(at)).with("nbf", json!(at));
            let exp = if ahead < 0 { at } else { at + 900 };
            token.with("exp", json!(exp)).sign()
        };
        for ahead in [8, 20, 58, -20, -55] {
            assert_accepted(suite, &signed(ahead)).await;
        }
        assert_refused(suite, echo, "expired", &format!("Bearer {}", signed(-61))).await;
        assert_refused(suite, echo, "nbf", &format!("Bearer {}", signed(90))).await;
    })
    .await;
}
