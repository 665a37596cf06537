//! Idempotency keys.

use clinic_testkit::{Backend, run};
use serde_json::json;

use super::{Reply, Rest, doctor, patient};

const KEY: &str = "0190f3c6-0000-7000-8000-00000000000a";

async fn create(by: &Rest, key: &str, body: &serde_json::Value) -> Reply {
    by.json("POST", "/api/patients/", &[("idempotency-key", key)], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_idempotency_key_gets_the_first_response() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let first = create(&staff, KEY, &patient()).await.ok();
        // Also with the quotes of a structured header.
        for key in [KEY.to_owned(), KEY.to_uppercase(), format!("\"{KEY}\"")] {
            let again = create(&staff, &key, &patient()).await;
            assert_eq!((again.status, &again.json), (201, &first.json), "{key}");
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(again.header("etag"), first.header("etag"));
        }
        let list = staff.get("/api/patients/").await.ok().json;
        assert_eq!(list["patients"], json!([first.json]));
        let mut other = patient();
        other["gender"] = "O".into();
        let reused = create(&staff, KEY, &other).await;
        assert_eq!(reused.error(), (400, "REQUEST_ID_REUSED"));
        // Keys are separate for each caller.
        let colleague = Rest::of(suite, &suite.staff().await);
        assert_ne!(create(&colleague, KEY, &other).await.ok().id(), first.id());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_must_be_a_single_uuid() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        for key in ["7", "key key", "{0190f3c6}", "\"\"\""] {
            let refused = create(&staff, key, &patient()).await;
            assert_eq!(refused.invalid_fields(), ["Idempotency-Key"], "{key}");
            assert!(!refused.text().contains(key), "{refused:?}");
        }
        let twice = [("idempotency-key", KEY), ("idempotency-key", KEY)];
        let refused = staff.json("POST", "/api/doctors/", &twice, &doctor()).await;
        assert_eq!(refused.invalid_fields(), ["Idempotency-Key"]);
        assert_eq!(staff.get("/api/patients/").await.ok().json["patients"], json!([]));
        // A GET ignores the key.
        let read = staff.send("GET", "/api/patients/", &[("idempotency-key", KEY)], b"").await;
        assert_eq!(read.status, 200);
    })
    .await;
}
