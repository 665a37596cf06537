//! PUT, PATCH, and etags.

use clinic_testkit::{Backend, Suite, run};
use serde_json::{Value, json};

use super::{Reply, Rest, assert_contains, doctor, patient};

/// Runs a test with a member of staff and the path of a patient that they created.
async fn with_patient(test: impl AsyncFnOnce(&Suite, &Rest, &str)) {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let made = staff.post("/api/patients/", &patient()).await.ok();
        test(suite, &staff, &format!("/api/patients/{}/", made.id())).await;
    })
    .await;
}

fn etag(reply: &Reply) -> String {
    let etag = reply.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", reply.json["etag"].as_str().unwrap()));
    etag
}

async fn patch_if(by: &Rest, path: &str, etag: &str, body: &Value) -> Reply {
    by.json("PATCH", path, &[("if-match", etag)], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn put_replaces_the_whole_resource() {
    with_patient(async |_, staff, path| {
        let before = staff.get(path).await.ok().json;
        let new = json!({ "first_name": "Augusta", "last_name": "King", "gender": null });
        let after = staff.put(path, &new).await.ok().json;
        let mut names: Vec<_> = after.as_object().unwrap().keys().collect();
        names.sort_unstable();
        let expected = [
            "created_at",
            "etag",
            "first_name",
            "id",
            "last_name",
            "owner_id",
            "updated_at",
            "view",
        ];
        assert_eq!(names, expected, "omitted fields must be cleared");
        assert_eq!((&after["id"], &after["owner_id"]), (&before["id"], &before["owner_id"]));
        // Required fields must be given. The error names them as in the body.
        let refused = staff.put(path, &json!({ "gender": "F" })).await;
        assert_eq!(refused.invalid_fields(), ["first_name", "last_name"]);
        assert!(!refused.text().contains("patient."), "{refused:?}");
        assert_eq!(staff.put(path, &json!({})).await.invalid_fields(), ["first_name", "last_name"]);
        assert_eq!(staff.send("PUT", path, &[], b"").await.status, 400);
        assert_eq!(staff.get(path).await.json, after);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_changes_only_the_given_fields() {
    with_patient(async |_, staff, path| {
        let mut expected = patient();
        let change = json!({ "gender": "O", "address": "" });
        let after = staff.patch(path, &change).await.ok().json;
        expected["gender"] = "O".into();
        expected.as_object_mut().unwrap().remove("address");
        assert_contains(&after, &expected);
        assert_eq!(after.get("address"), None);
        let after = staff.patch(path, &json!({ "medical_history": null })).await.ok().json;
        expected.as_object_mut().unwrap().remove("medical_history");
        assert_contains(&after, &expected);
        assert_eq!(after.get("medical_history"), None);
        for (required, emptied) in
            [("first_name", json!("")), ("first_name", json!(" ")), ("last_name", json!(null))]
        {
            let refused = staff.patch(path, &json!({ required: emptied })).await;
            assert_eq!(refused.invalid_fields(), [required], "{emptied}");
        }
        assert_contains(&staff.patch(path, &json!({})).await.ok().json, &expected);
        assert_contains(&staff.get(path).await.ok().json, &expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_booleans_can_be_cleared() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let made = staff.post("/api/doctors/", &doctor()).await.ok();
        let path = format!("/api/doctors/{}/", made.id());
        let after = staff.patch(&path, &json!({ "years_of_experience": 0 })).await.ok().json;
        assert_eq!((&after["years_of_experience"], &after["available"]), (&json!(0), &json!(true)));
        staff.patch(&path, &json!({ "years_of_experience": 7 })).await.ok();
        let after = staff.patch(&path, &json!({ "years_of_experience": null })).await.ok().json;
        assert_eq!(after["years_of_experience"], 0);
        let after = staff.patch(&path, &json!({ "available": false })).await.ok().json;
        assert_eq!(after["available"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_can_be_sent_back_as_an_update() {
    with_patient(async |_, staff, path| {
        for (method, gender) in [("PUT", "O"), ("PATCH", "M")] {
            let mut read = staff.get(path).await.ok().json;
            // Unchanged, it writes nothing.
            assert_eq!(staff.json(method, path, &[], &read).await.ok().json, read);
            read["gender"] = gender.into();
            let after = staff.json(method, path, &[], &read).await.ok().json;
            assert_eq!(
                (&after["gender"], &after["created_at"]),
                (&json!(gender), &read["created_at"])
            );
            // Its etag is stale now.
            let stale = staff.json(method, path, &[], &read).await;
            assert_eq!(stale.error(), (409, "STALE_ETAG"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_mask_selects_the_fields_that_change() {
    with_patient(async |_, staff, path| {
        let body = json!({ "first_name": "Augusta", "gender": "O" });
        for method in ["PUT", "PATCH"] {
            staff.patch(path, &json!({ "gender": "F" })).await.ok();
            let masked = format!("{path}?update_mask=gender,email");
            let after = staff.json(method, &masked, &[], &body).await.ok().json;
            assert_eq!((&after["gender"], &after["first_name"]), (&json!("O"), &json!("Ada")));
            assert_eq!(after.get("email"), None);
        }
        for unknown in ["id", "patient.gender", "nothing"] {
            let masked = format!("{path}?update_mask={unknown}");
            assert_eq!(staff.patch(&masked, &body).await.status, 400, "{unknown}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etag_of_a_response_can_be_used_in_if_match() {
    with_patient(async |_, staff, path| {
        let change = json!({ "gender": "O" });
        let first = etag(&staff.get(path).await);
        let second = etag(&patch_if(staff, path, &first, &change).await.ok());
        assert_ne!(first, second);
        let third = staff.json("PUT", path, &[("if-match", &second)], &patient()).await.ok();
        let third = etag(&third);
        for method in ["PUT", "PATCH"] {
            let stale = staff.json(method, path, &[("if-match", &first)], &patient()).await;
            assert_eq!(stale.error(), (412, "STALE_ETAG"));
        }
        let stale = staff.send("DELETE", path, &[("if-match", &first)], b"").await;
        assert_eq!(stale.error(), (412, "STALE_ETAG"));
        assert_eq!(etag(&staff.get(path).await), third, "a stale request must change nothing");
        let fourth = etag(&patch_if(staff, path, "*", &change).await.ok());
        // A proxy that compresses the response makes its etag weak.
        let weak = patch_if(staff, path, &format!("W/{first}"), &change).await;
        assert_eq!(weak.error(), (412, "STALE_ETAG"));
        patch_if(staff, path, &format!("W/{fourth}"), &change).await.ok();
        let gone = staff.send("DELETE", path, &[("if-match", &fourth)], b"").await;
        assert_eq!(gone.status, 204);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_overrides_the_etag_in_the_body() {
    with_patient(async |_, staff, path| {
        let first = etag(&staff.get(path).await);
        let current = staff.patch(path, &json!({ "gender": "O" })).await.ok();
        let stale = json!({ "gender": "M", "etag": first.trim_matches('"') });
        assert_eq!(staff.patch(path, &stale).await.error(), (409, "STALE_ETAG"));
        patch_if(staff, path, &etag(&current), &stale).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_if_match_that_cannot_apply_is_refused() {
    with_patient(async |suite, staff, path| {
        let etag = etag(&staff.get(path).await);
        let read = staff.send("GET", path, &[("if-match", &etag)], b"").await;
        assert_eq!(read.invalid_fields(), ["If-Match"]);
        for several in ["\"a\", \"b\"", "\"a\",\"b\""] {
            let refused = patch_if(staff, path, several, &json!({ "gender": "O" })).await;
            assert_eq!(refused.invalid_fields(), ["If-Match"]);
        }
        for empty in ["", "\"\"", " "] {
            let refused = patch_if(staff, path, empty, &json!({ "gender": "O" })).await;
            assert_eq!(
                refused.invalid_fields(),
                ["If-Match"],
                "an empty etag must not mean no condition"
            );
        }
        let made = staff.json("POST", "/api/patients/", &[("if-match", &etag)], &patient()).await;
        assert_eq!(made.invalid_fields(), ["If-Match"]);
        let refused = staff.json("PUT", path, &[("if-none-match", "*")], &patient()).await;
        assert_eq!(refused.invalid_fields(), ["If-None-Match"]);
        staff.send("GET", path, &[("if-none-match", "*")], b"").await.ok();
        let twice = [("if-match", etag.as_str()), ("if-match", "\"other\"")];
        let refused = staff.json("PATCH", path, &twice, &json!({ "gender": "O" })).await;
        assert_eq!(refused.invalid_fields(), ["If-Match"]);
        let long = format!("\"{}\"", "x".repeat(65));
        assert_eq!(patch_if(staff, path, &long, &json!({})).await.status, 400);
        // A method whose etag is a field of the request message.
        let admin = Rest::of(suite, &suite.admin().await);
        let account = suite.staff().await;
        let path = format!("/api/users/{}/deactivate/", account.user.id);
        let stale = admin.json("POST", &path, &[("if-match", "\"other\"")], &json!({})).await;
        assert_eq!(stale.error(), (412, "STALE_ETAG"));
        let current = format!("\"{}\"", account.user.etag);
        admin.json("POST", &path, &[("if-match", &current)], &json!({})).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_account_of_a_profile_may_change_it() {
    run(Backend::Sqlite, async |suite| {
        let (one, other) = (suite.patient().await, suite.patient().await);
        let (own, others) = (Rest::of(suite, &one), Rest::of(suite, &other));
        let change = json!({ "gender": "O" });
        let path = format!("/api/patient-profile/{}/", one.user.id);
        own.patch(&path, &change).await.ok();
        let capitals = format!("/api/patient-profile/{}/", one.user.id.to_uppercase());
        own.patch(&capitals, &change).await.ok();
        let before = others.get("/api/patient-profile/").await.ok().json;
        for refused in [others.patch(&path, &change).await, others.put(&path, &patient()).await] {
            assert_eq!(refused.error(), (404, "NOT_FOUND"));
        }
        assert_eq!(others.get("/api/patient-profile/").await.ok().json, before);
        // A `user_id` in the body must match the path.
        let mut named = patient();
        named["user_id"] = one.user.id.clone().into();
        own.put(&path, &named).await.ok();
        own.patch(&path, &named).await.ok();
        named["user_id"] = other.user.id.clone().into();
        for refused in [own.put(&path, &named).await, own.patch(&path, &named).await] {
            assert_eq!(refused.invalid_fields(), ["user_id"]);
        }
        for path in ["/api/patients/me/", "/api/patient-profile/"] {
            assert_eq!(own.patch(path, &named).await.error(), (404, "NOT_FOUND"));
            own.patch(path, &change).await.ok();
        }
        // A response can be sent back.
        let read = own.get("/api/patient-profile/").await.ok().json;
        own.patch("/api/patient-profile/", &read).await.ok();
        for id in ["me", "x"] {
            let refused = own.patch(&format!("/api/patient-profile/{id}/"), &change).await;
            assert_eq!(refused.invalid_fields(), ["user_id"], "{id}");
        }
    })
    .await;
}
