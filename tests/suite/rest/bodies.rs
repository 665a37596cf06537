//! Bodies that are not JSON, or not JSON of the request's type. Errors name what is wrong, but do
//! not quote the request.

use clinic_testkit::{Backend, PASSWORD, Suite, email, run};
use serde_json::{Value, json};

use super::client::JSON;
use super::{Reply, Rest, doctor, patient};

/// Part of every value that errors must not quote.
const SECRET: &str = "Rumpelstiltskin";

async fn post(by: &Rest, body: &[u8]) -> Reply {
    by.send("POST", "/api/doctors/", &[JSON], body).await
}

async fn with_staff(test: impl AsyncFnOnce(&Suite, &Rest)) {
    run(Backend::Sqlite, async |suite| {
        test(suite, &Rest::of(suite, &suite.staff().await)).await;
    })
    .await;
}

/// Returns a doctor with this value of a field.
fn doctor_with(name: &str, value: Value) -> Value {
    let mut doctor = doctor();
    doctor[name] = value;
    doctor
}

fn registration(profiles: &Value) -> Value {
    let mut sent = json!({ "email": email(), "name": "Robin Miller", "password": PASSWORD });
    sent.as_object_mut().unwrap().extend(profiles.as_object().unwrap().clone());
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_json_is_refused_with_its_position() {
    with_staff(async |_, staff| {
        for body in [
            &b"{"[..],
            b"}",
            b"{\"first_name\":",
            b"{\"first_name\": \"Rumpelstiltskin\",}",
            b"{\"first_name\": \"Rumpelstiltskin",
            b"{\"first_name\" \"Rumpelstiltskin\"}",
            b"{'first_name': 'Rumpelstiltskin'}",
            b"{first_name: \"Rumpelstiltskin\"}",
            b"{\"first_name\": Rumpelstiltskin}",
            b"{} {}",
            b"{} // Rumpelstiltskin",
            b"nul",
            b"\xff",
            b"\xef\xbb\xbf{}",
            b"{\"first_name\": \"Rumpelstiltskin\xff\"}",
            b"{\"first_name\xc3\": \"Rumpelstiltskin\"}",
            b"{\"first_name\": \"Rumpelstiltskin\\ud800\"}",
            b"{\"first_name\": \"Rumpelstiltskin\\x\"}",
            b"{\"first_name\": \"Rumpelstiltskin\n\"}",
            b"{\"first_name\": \"Rumpelstiltskin\0\"}",
            b"{\"years_of_experience\": NaN}",
            b"{\"years_of_experience\": 01}",
            b"{\"years_of_experience\": +1}",
            b"{\"years_of_experience\": 1e999}",
            b"\0",
        ] {
            let refused = post(staff, body).await;
            assert_eq!(refused.invalid_fields(), ["body"], "{body:?}");
            assert!(refused.text().contains("is not valid JSON at line "), "{refused:?}");
            assert!(!refused.text().contains(SECRET), "{refused:?}");
        }
        for body in ["[]", "null", "true", "7", "7.5", "-7", "\"Rumpelstiltskin\"", "[{}]"] {
            let refused = post(staff, body.as_bytes()).await;
            assert_eq!(refused.invalid_fields(), ["body"], "{body}");
            assert!(refused.text().contains("must be a JSON object"), "{refused:?}");
        }
        // An empty body is the same as an empty object.
        for body in ["", "{}", " \n{ }\t"] {
            let refused = post(staff, body.as_bytes()).await;
            let required = ["first_name", "last_name", "specialization", "license_number"];
            assert_eq!(refused.invalid_fields(), required, "{body}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deeply_nested_json_is_refused() {
    with_staff(async |suite, staff| {
        // As deep as the size limit of bodies permits.
        for (open, close, deep) in
            [("[", "]", 200_000), ("{\"a\":", "}", 80_000), ("{\"patient\":", "}", 40_000)]
        {
            for close in ["", close] {
                let deep = format!("{}1{}", open.repeat(deep), close.repeat(deep));
                for (path, within) in [
                    ("/api/doctors/", "{\"first_name\":"),
                    ("/api/doctors/", "{\"nothing\":"),
                    ("/api/doctors/", "{\"available\":"),
                    ("/api/doctors/", ""),
                    ("/api/auth/register/", "{\"patient\":"),
                ] {
                    let end = if within.is_empty() { "" } else { "}" };
                    let body = format!("{within}{deep}{end}");
                    let refused = staff.send("POST", path, &[JSON], body.as_bytes()).await;
                    assert_eq!(refused.error(), (400, "INVALID_FIELD"), "{within}{open}");
                }
            }
        }
        suite.anonymous().tokens.get_jwks(clinic_proto::auth::v1::GetJwksRequest {}).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_the_wrong_type_are_reported() {
    with_staff(async |suite, staff| {
        let nested = json!({ "a": SECRET });
        for (name, wrong) in [
            (
                "first_name",
                vec![json!(1), json!(true), json!([SECRET]), nested.clone(), json!(1.5)],
            ),
            (
                "years_of_experience",
                vec![
                    json!(SECRET),
                    json!("1.5"),
                    json!("1 "),
                    json!(""),
                    json!(1.5),
                    json!(2_147_483_648_i64),
                    json!(-2_147_483_649_i64),
                    json!(u64::MAX),
                    json!(1e300),
                    json!(true),
                    json!([1]),
                    nested.clone(),
                ],
            ),
            ("available", vec![json!("true"), json!(1), json!([true]), nested.clone(), json!(0.0)]),
        ] {
            for wrong in wrong {
                let refused = staff.post("/api/doctors/", &doctor_with(name, wrong.clone())).await;
                assert_eq!(refused.invalid_fields(), [name], "{wrong}");
                assert!(!refused.text().contains(SECRET), "{refused:?}");
            }
        }
        let admin = Rest::of(suite, &suite.admin().await);
        let roles = format!("/api/users/{}/roles/", suite.staff().await.user.id);
        for (wrong, field) in [
            (json!("ROLE_STAFF"), "roles"),
            (json!({ "0": "ROLE_STAFF" }), "roles"),
            (json!(2), "roles"),
            (json!([SECRET]), "roles[0]"),
            (json!(["ROLE_STAFF", null]), "roles[1]"),
            (json!(["ROLE_STAFF", ["ROLE_ADMIN"]]), "roles[1]"),
            (json!(["ROLE_STAFF", 1.5]), "roles[1]"),
            (json!(["ROLE_STAFF", {}]), "roles[1]"),
            (json!(["staff"]), "roles[0]"),
            (json!(["ROLE_STAFF", 99]), "roles[1]"),
            (json!(["ROLE_STAFF", 99_999_999_999_i64]), "roles[1]"),
            (json!([]), "roles"),
            (json!(null), "roles"),
        ] {
            let refused = admin.put(&roles, &json!({ "roles": wrong })).await;
            assert_eq!(refused.invalid_fields(), [field], "{wrong}");
            assert!(!refused.text().contains(SECRET), "{refused:?}");
        }
        let anyone = Rest::anonymous(suite);
        let name = json!({ "first_name": "Ada", "last_name": "Lovelace" });
        let with = |field: &str, value: Value| {
            let mut name = name.clone();
            name[field] = value;
            json!({ "patient": name })
        };
        for (profile, field) in [
            (json!({ "patient": 5 }), "patient"),
            (json!({ "patient": [{}] }), "patient"),
            (json!({ "patient": SECRET }), "patient"),
            (with("first_name", json!(5)), "patient.first_name"),
            (with("nothing", json!(SECRET)), "patient.nothing"),
        ] {
            let refused = anyone.post("/api/auth/register/", &registration(&profile)).await;
            assert_eq!(refused.invalid_fields(), [field]);
            assert!(!refused.text().contains(SECRET), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_mapping_accepts_alternative_forms_of_values() {
    with_staff(async |suite, staff| {
        for ten in [json!(10), json!("10"), json!(10.0), json!(1e1)] {
            let made = staff.post("/api/doctors/", &doctor_with("years_of_experience", ten)).await;
            assert_eq!(made.ok().json["years_of_experience"], json!(10));
        }
        let admin = Rest::of(suite, &suite.admin().await);
        let roles = format!("/api/users/{}/roles/", suite.staff().await.user.id);
        let by_number = json!({ "roles": [2, "ROLE_DOCTOR"] });
        let changed = admin.put(&roles, &by_number).await.ok();
        assert_eq!(changed.json["roles"], json!(["ROLE_STAFF", "ROLE_DOCTOR"]));
        // Null means the default, which for `available` is true.
        let made = staff.post("/api/doctors/", &doctor_with("available", json!(null))).await.ok();
        assert_eq!(made.json["available"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_reported() {
    with_staff(async |_, staff| {
        for (name, shown) in [
            ("firstName", "firstName".to_owned()),
            ("First_name", "First_name".to_owned()),
            ("first_name ", "first_name ".to_owned()),
            ("", "\"\"".to_owned()),
            ("a\u{0}\n\u{7f}b", "a\u{fffd}\u{fffd}\u{fffd}b".to_owned()),
            ("doctor", "doctor".to_owned()),
            ("__proto__", "__proto__".to_owned()),
            (&"ü".repeat(1000), "ü".repeat(64)),
        ] {
            let refused = staff.post("/api/doctors/", &doctor_with(name, json!(SECRET))).await;
            assert_eq!(refused.invalid_fields(), [shown]);
            assert!(!refused.text().contains(SECRET), "{refused:?}");
        }
        // All errors are reported together.
        let mut wrong = doctor_with("nothing", json!(1));
        wrong["first_name"] = json!(7);
        wrong["available"] = json!("yes");
        let refused = staff.post("/api/doctors/", &wrong).await;
        let mut fields = refused.invalid_fields();
        fields.sort_unstable();
        assert_eq!(fields, ["available", "first_name", "nothing"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_mistyped_missing_and_invalid_fields_are_reported_together() {
    with_staff(async |suite, staff| {
        let wrong = json!({ "firstName": SECRET, "gender": 7, "phone_number": SECRET });
        let headers = [("if-match", "\"v1\"")];
        let refused = staff.json("POST", "/api/patients/?limit=5", &headers, &wrong).await;
        let unread = ["firstName", "gender", "limit", "If-Match"];
        let broken = ["first_name", "last_name", "phone_number"];
        assert_eq!(refused.invalid_fields(), [&unread[..], &broken[..]].concat());
        assert!(!refused.text().contains(SECRET), "{refused:?}");
        let wrong = json!({ "patient": "x", "doctor_id": "x" });
        let refused = staff.post("/api/mappings/", &wrong).await;
        assert_eq!(refused.invalid_fields(), ["patient", "patient_id", "doctor_id"]);
        // An update requires only the fields that it changes.
        let wrong = json!({ "nothing": 1, "last_name": "", "email": SECRET });
        let refused = staff.patch("/api/patients/all/", &wrong).await;
        assert_eq!(refused.invalid_fields(), ["nothing", "id", "last_name", "email"]);
        let refused = staff.get("/api/doctors/?nothing=1&page_size=501").await;
        assert_eq!(refused.invalid_fields(), ["nothing", "page_size"]);
        let wrong = json!({ "user": "ada", "password": "short" });
        let refused = Rest::anonymous(suite).post("/api/auth/register/", &wrong).await;
        assert_eq!(refused.invalid_fields(), ["user", "email", "name", "password"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_only_fields_are_ignored_whatever_their_value() {
    with_staff(async |suite, staff| {
        let doctor = staff.post("/api/doctors/", &doctor_with("verified", json!("yes"))).await.ok();
        assert_eq!(doctor.json["verified"], false);
        let mut sent = patient();
        for (name, value) in [
            ("id", json!(7)),
            ("created_at", json!("yesterday")),
            ("updated_at", json!({ "seconds": 5 })),
            ("owner_id", json!(["x"])),
            ("view", json!("everything")),
        ] {
            sent[name] = value;
        }
        let made = staff.post("/api/patients/", &sent).await.ok();
        let path = format!("/api/patients/{}/", made.id());
        for method in ["PUT", "PATCH"] {
            let changed = staff.json(method, &path, &[], &sent).await.ok();
            for name in ["id", "created_at", "owner_id", "view"] {
                assert_eq!(changed.json[name], made.json[name], "{method} {name}");
            }
        }
        let mapping = json!({
            "patient_id": made.id(),
            "doctor_id": doctor.id(),
            "status": "active",
            "started_at": "today",
            "assigned_by": null,
        });
        let assigned = staff.post("/api/mappings/", &mapping).await;
        assert_eq!(assigned.status, 201, "{assigned:?}");
        assert_eq!(assigned.json["status"], "ASSIGNMENT_STATUS_ACTIVE");
        let path = format!("/api/mappings/{}/", assigned.id());
        for method in ["PUT", "PATCH"] {
            let ended = json!({ "status": "ended", "notes": method });
            let changed = staff.json(method, &path, &[], &ended).await.ok();
            assert_eq!(changed.json["status"], "ASSIGNMENT_STATUS_ACTIVE");
            assert_eq!(changed.json["notes"], method);
        }
        let user = json!({ "name": "Robin", "roles": "admin", "active": 0, "email": 7 });
        let changed = staff.patch("/api/users/me/", &user).await.ok();
        assert_eq!(changed.json["roles"], json!(["ROLE_STAFF"]));
        let named = json!({ "first_name": "Ada", "last_name": "Lovelace", "created_at": 1 });
        let registered = registration(&json!({ "patient": named, "role": "ROLE_PATIENT" }));
        Rest::anonymous(suite).post("/api/auth/register/", &registered).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_64_invalid_fields_are_reported() {
    with_staff(async |_, staff| {
        // Four required fields of the doctor are also missing.
        for count in [59, 61, 63, 64, 65, 20_000] {
            let many: Vec<_> = (0..count).map(|n| format!("\"n{n}\": {n}")).collect();
            let refused = post(staff, format!("{{{}}}", many.join(",")).as_bytes()).await;
            assert_eq!(refused.invalid_fields().len(), (count + 4).min(64));
            assert!(refused.text().len() < 16_000, "{}", refused.text().len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_fields_are_refused() {
    with_staff(async |suite, staff| {
        for again in ["\"House\"", "\"Rumpelstiltskin\"", "null"] {
            let body = doctor().to_string();
            let body = body.replacen('{', &format!("{{\"last_name\": {again}, "), 1);
            let refused = post(staff, body.as_bytes()).await;
            assert_eq!(refused.invalid_fields(), ["last_name"], "{again}");
        }
        let anyone = Rest::anonymous(suite);
        let profiles = json!({ "patient": patient(), "doctor": doctor() });
        let refused = anyone.post("/api/auth/register/", &registration(&profiles)).await;
        let fields = refused.invalid_fields();
        assert!(fields == ["doctor"] || fields == ["patient"], "{fields:?}");
        let profiles = json!({ "patient": patient(), "doctor": null, "role": "ROLE_PATIENT" });
        anyone.post("/api/auth/register/", &registration(&profiles)).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_a_path_may_be_percent_encoded() {
    with_staff(async |_, staff| {
        let made = staff.post("/api/doctors/", &doctor()).await.ok();
        let percents: String = made.id().bytes().map(|b| format!("%{b:02x}")).collect();
        for id in [percents, made.id().replacen('-', "%2D", 1), made.id().to_uppercase()] {
            let found = staff.get(&format!("/api/doctors/{id}/")).await;
            assert_eq!(found.ok().id(), made.id(), "{id}");
        }
        for id in [
            "%FF",
            "%",
            "%0",
            "%zz",
            "%00",
            "%2F",
            "..",
            ".",
            "%2e%2e",
            "x",
            "0",
            "ü",
            "%C3%BC",
            "Rumpelstiltskin",
            "ME",
            "*",
            "{id}",
            "'%20OR%201=1",
            "me%20",
            &"x".repeat(10_000),
        ] {
            for method in ["GET", "DELETE"] {
                let refused = staff.send(method, &format!("/api/doctors/{id}/"), &[], b"").await;
                assert_eq!(refused.invalid_fields(), ["id"], "{id}");
                assert!(!refused.text().contains(SECRET), "{refused:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_id_in_a_path_is_reported_with_the_path() {
    with_staff(async |suite, staff| {
        let patient = Rest::of(suite, &suite.patient().await);
        for (by, method, path, field, shown) in [
            (staff, "GET", "/api/mappings/all/", "patient_id", "/api/mappings/{patient_id}/"),
            (staff, "PATCH", "/api/mappings/all/", "id", "/api/mappings/{id}/"),
            (staff, "DELETE", "/api/patients/all/", "id", "/api/patients/{id}/"),
            (staff, "POST", "/api/doctors/all/undelete/", "id", "/api/doctors/{id}/undelete/"),
            (
                &patient,
                "PATCH",
                "/api/patient-profile/all/",
                "user_id",
                "/api/patient-profile/{user_id}/",
            ),
        ] {
            let refused = by.json(method, path, &[], &json!({})).await;
            assert_eq!(refused.invalid_fields(), [field], "{method} {path}");
            let place = format!("(in the path {shown})");
            let message = refused.json["message"].as_str().unwrap();
            assert!(message.ends_with(&place), "{message}");
            let named = refused.detail("BadRequest")["field_violations"][0].clone();
            assert!(named["description"].as_str().unwrap().ends_with(&place), "{named}");
        }
        // An invalid query parameter is reported without a path.
        let refused = staff.get("/api/mappings/?patient_id=all").await;
        assert_eq!(refused.invalid_fields(), ["patient_id"]);
        assert!(!refused.text().contains("in the path"), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_services_do_not_quote_the_request() {
    with_staff(async |_, staff| {
        let mut private = patient();
        private["email"] = format!("{SECRET} at home").into();
        private["phone_number"] = SECRET.into();
        private["gender"] = SECRET.into();
        private["date_of_birth"] = SECRET.into();
        let refused = staff.post("/api/patients/", &private).await;
        assert_eq!(refused.invalid_fields().len(), 4, "{refused:?}");
        assert!(!refused.text().contains(SECRET), "{refused:?}");
        let given = doctor_with("license_number", SECRET.into());
        staff.post("/api/doctors/", &given).await.ok();
        let taken = staff.post("/api/doctors/", &given).await;
        assert_eq!(taken.error(), (409, "ALREADY_EXISTS"));
        assert!(!taken.text().contains(SECRET), "{taken:?}");
    })
    .await;
}
