//! Rotation of signing keys while the suite runs.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use clinic_proto::auth::v1::{GetJwksRequest, GetUserRequest};
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{PASSWORD, Suite, on_both};

use super::login;

/// Returns the `kid` in a token's header.
fn key_id(token: &str) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

on_both! {
    async fn tokens_of_the_old_and_the_new_key_are_valid_after_a_rotation(suite: &Suite) {
        let before = suite.staff().await;
        let me = || GetUserRequest { id: "me".into() };
        before.clients.auth.clone().get_user(me()).await.unwrap();

        let made = suite.keys().rotate(&suite.clock).unwrap();
        assert!(made.iter().any(|key| key.starts_with("access/")), "{made:?}");
        // A new key signs only after verifiers have had time to load it.
        suite.clock.advance(TimeDelta::seconds(100));
        let after = login(suite, &before.user.email, PASSWORD).await.unwrap();
        assert_ne!(key_id(&after.tokens.access), key_id(&before.tokens.access));
        for account in [&before, &after] {
            account.clients.auth.clone().get_user(me()).await.unwrap();
            // The gateway forwards this call with claims that its own new key signed.
            account.clients.patients.clone().list_patients(ListPatientsRequest::default()).await.unwrap();
        }
        let keys = suite.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys;
        let known: Vec<_> = keys.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!(known, [key_id(&after.tokens.access), key_id(&before.tokens.access)]);
        assert!(keys.iter().all(|key| key.kty == "OKP" && key.crv == "Ed25519" && key.alg == "EdDSA"));
    }
}
