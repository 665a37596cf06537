//! Direct calls to the services: without claims of a trusted issuer every call is refused.

use chrono::TimeDelta;
use clinic_identity::{ActsFor, CLAIMS_HEADER};
use clinic_proto::auth::v1::GetJwksRequest;
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{Backend, Suite, failure, run};
use serde_json::json;
use tonic::{Code, Status};

use super::forgery::{Forged, unknown_key};

async fn list(
    suite: &Suite,
    metadata: &[(&'static str, &str)],
) -> Result<tonic::Response<()>, Status> {
    let mut clients = suite.at_services(metadata);
    let response = clients.patients.list_patients(ListPatientsRequest::default()).await;
    response.map(|response| response.map(drop))
}

async fn assert_refused(suite: &Suite, what: &str, metadata: &[(&'static str, &str)]) {
    let refused = failure(list(suite, metadata).await);
    assert_eq!(refused.code, Code::Unauthenticated, "{what}");
    assert_eq!(refused.reason, "INVALID_TOKEN", "{what}");
    // Public methods need claims too.
    let public = suite.at_services(metadata).tokens.get_jwks(GetJwksRequest {}).await;
    assert_eq!(failure(public), refused, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_trust_no_header_except_signed_claims() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let access = account.tokens.access.as_str();
        let bearer = format!("Bearer {access}");
        assert_refused(suite, "nothing", &[]).await;
        assert_refused(suite, "access token", &[("authorization", &bearer)]).await;
        assert_refused(suite, "access token as claims", &[(CLAIMS_HEADER, access)]).await;
        assert_refused(suite, "bearer as claims", &[(CLAIMS_HEADER, &bearer)]).await;
        let refresh = account.tokens.refresh.as_str();
        assert_refused(suite, "refresh token as claims", &[(CLAIMS_HEADER, refresh)]).await;
        let json = r#"{"kind":"user","roles":["admin"]}"#;
        assert_refused(suite, "plain claims", &[(CLAIMS_HEADER, json)]).await;
        assert_refused(suite, "empty claims", &[(CLAIMS_HEADER, "")]).await;
        assert_refused(
            suite,
            "other headers",
            &[
                ("x-clinic-user", account.user.id.as_str()),
                ("x-clinic-roles", "ADMIN"),
                ("x-clinic-anything", "1"),
                ("authorization", &bearer),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_need_a_trusted_key_and_a_kind_that_its_issuer_may_assert() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let id = account.user.id.as_str();
        suite.keys().add_issuer("reporting", ActsFor::Itself, &suite.clock).unwrap();
        // Verifiers look for new keys at most once a second.
        suite.clock.advance(TimeDelta::seconds(2));
        let good = || Forged::claims(suite, "gateway", id);
        // These claims are valid: those below are refused only for what they change.
        list(suite, &[(CLAIMS_HEADER, &good().sign())]).await.unwrap();
        // The gateway's clock may be off by a minute.
        for seconds in [-55, -20, 8, 20, 58] {
            let at = json!(suite.clock.unix() + seconds);
            let claims = good().with("iat", at.clone()).with("nbf", at);
            let exp = json!(suite.clock.unix() + seconds.min(0));
            let claims = claims.with("exp", exp).sign();
            list(suite, &[(CLAIMS_HEADER, &claims)]).await.unwrap();
        }
        let service = Forged::issued(suite, "reporting", json!({ "kind": "service" })).sign();
        let mut known = suite.at_services(&[(CLAIMS_HEADER, &service)]);
        known.tokens.get_jwks(GetJwksRequest {}).await.unwrap();

        let unknown = suite.clock.new_id().to_string();
        let now = suite.clock.unix();
        let gateway_kid = good().header.kid;
        let anonymous = || Forged::issued(suite, "reporting", json!({ "kind": "anonymous" }));
        for (what, token) in [
            ("an unknown key", good().key(unknown_key()).kid(Some(&unknown)).sign()),
            ("another key under a known id", good().key(unknown_key()).sign()),
            ("no key id", good().kid(None).sign()),
            ("no signature", good().unsigned("none")),
            ("a service as a user", Forged::claims(suite, "reporting", id).sign()),
            (
                "a service as the issuer gateway",
                Forged::claims(suite, "reporting", id).with("iss", json!("gateway")).sign(),
            ),
            (
                "a service under the gateway's key id",
                Forged::claims(suite, "reporting", id)
                    .with("iss", json!("gateway"))
                    .kid(gateway_kid.as_deref())
                    .sign(),
            ),
            ("a service as an anonymous caller", anonymous().sign()),
            ("auth as a user", Forged::claims(suite, "auth", id).sign()),
            ("a user with the role of a service", good().with("roles", json!(["service"])).sign()),
            ("another audience", good().with("aud", json!("clinic")).sign()),
            ("another type", good().typ(Some("at+jwt")).sign()),
            ("no type", good().typ(None).sign()),
            ("expired", good().with("exp", json!(now - 61)).sign()),
            ("not yet valid", good().with("nbf", json!(now + 3600)).sign()),
            ("an unknown kind", good().with("kind", json!("root")).sign()),
            (
                "an access token's key",
                Forged::access(suite, id).typ(Some("clinic-claims+jwt")).sign(),
            ),
        ] {
            assert_refused(suite, what, &[(CLAIMS_HEADER, &token)]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_of_services_need_no_claims() {
    run(Backend::Sqlite, async |suite| {
        for address in [suite.auth, suite.records, suite.assignment] {
            clinic_net::health::check(&format!("http://{address}")).await.unwrap();
        }
    })
    .await;
}
