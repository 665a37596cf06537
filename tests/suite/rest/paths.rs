//! Every path, with and without its trailing slash.

use clinic_testkit::{Account, PASSWORD, Suite, email, on_both};
use serde_json::{Value, json};

use super::{Reply, Rest, assert_contains, both, doctor, patient};

fn registration() -> Value {
    json!({ "email": email(), "name": "Robin Miller", "password": PASSWORD })
}

/// Asserts that a registration created the account, and that its tokens work.
async fn assert_registered(suite: &Suite, reply: &Reply, sent: &Value, role: &str) {
    assert_eq!(reply.status, 201, "{reply:?}");
    let (user, tokens) = (&reply.json["user"], &reply.json["tokens"]);
    assert_eq!((&user["email"], &user["name"]), (&sent["email"], &sent["name"]));
    assert_eq!(user["roles"], json!([role]));
    assert_eq!((&user["active"], &user["email_verified"]), (&json!(true), &json!(false)));
    let location = format!("/api/users/{}/", user["id"].as_str().unwrap());
    assert_eq!(reply.header("location"), Some(&*location));
    for name in ["refresh", "access_expires_at", "refresh_expires_at"] {
        assert!(tokens[name].is_string(), "{name}");
    }
    let own = Rest::with_token(suite, tokens["access"].as_str().unwrap());
    assert_eq!(own.get(&location).await.json, *user);
}

async fn create_patient(of: &Rest) -> String {
    of.post("/api/patients/", &patient()).await.ok().id().to_owned()
}

async fn create_doctor(of: &Rest) -> String {
    of.post("/api/doctors/", &doctor()).await.ok().id().to_owned()
}

/// Returns the ids in a list.
fn ids<'a>(reply: &'a Reply, list: &str) -> Vec<&'a str> {
    let list = reply.json[list].as_array().unwrap();
    list.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

on_both! {
    async fn registration_paths_create_accounts(suite: &Suite) {
        let anyone = Rest::anonymous(suite);
        for path in ["/api/auth/register", "/auth/register"].into_iter().flat_map(both) {
            let sent = registration();
            let reply = anyone.post(&path, &sent).await;
            assert_registered(suite, &reply, &sent, "ROLE_STAFF").await;
            assert_eq!(anyone.post(&path, &sent).await.error(), (409, "ALREADY_EXISTS"));
        }
        for path in both("/api/auth/register/patient") {
            let mut sent = registration();
            sent["patient"] = patient();
            let reply = anyone.post(&path, &sent).await;
            assert_registered(suite, &reply, &sent, "ROLE_PATIENT").await;
            let own = Rest::with_token(suite, text(&reply.json["tokens"]["access"]));
            assert_contains(&own.get("/api/patient-profile/").await.ok().json, &patient());
        }
        for path in both("/api/auth/register/doctor") {
            let (mut sent, given) = (registration(), doctor());
            sent["doctor"] = given.clone();
            let reply = anyone.post(&path, &sent).await;
            assert_registered(suite, &reply, &sent, "ROLE_DOCTOR").await;
            let own = Rest::with_token(suite, text(&reply.json["tokens"]["access"]));
            let record = own.get("/api/doctor-profile/").await.ok().json;
            assert_contains(&record, &given);
            assert_eq!(record["verified"], false);
        }
    }

    async fn registration_paths_of_a_role_refuse_a_role_in_the_request(suite: &Suite) {
        let anyone = Rest::anonymous(suite);
        for role in ["ROLE_ADMIN", "ROLE_STAFF", "ROLE_PATIENT"] {
            let mut sent = registration();
            sent["role"] = role.into();
            for path in ["/api/auth/register/patient/", "/api/auth/register/doctor/"] {
                assert_eq!(anyone.post(path, &sent).await.invalid_fields(), ["role"], "{role}");
                let query = format!("{path}?role={role}");
                assert_eq!(anyone.post(&query, &registration()).await.invalid_fields(), ["role"]);
            }
        }
    }

    async fn login_refresh_and_logout_paths_work(suite: &Suite) {
        let anyone = Rest::anonymous(suite);
        let mut sent = registration();
        sent["username"] = "robin.miller".into();
        anyone.post("/api/auth/register/", &sent).await.ok();
        for path in ["/api/auth/login", "/auth/login"].into_iter().flat_map(both) {
            for (by, name) in
                [("email", &sent["email"]), ("username", &sent["username"]), ("username", &sent["email"])]
            {
                let reply = anyone.post(&path, &json!({ by: name, "password": PASSWORD })).await;
                assert_eq!((reply.status, &reply.json["user"]["email"]), (200, &sent["email"]));
                assert_eq!(reply.header("location"), None);
                let wrong = anyone.post(&path, &json!({ by: name, "password": "wrong" })).await;
                assert_eq!(wrong.error(), (401, "INVALID_CREDENTIALS"));
            }
        }
        for (refresh, logout) in
            both("/api/auth/token/refresh").into_iter().zip(both("/api/auth/logout"))
        {
            let login = json!({ "email": sent["email"], "password": PASSWORD });
            let signed_in = anyone.post("/api/auth/login/", &login).await.ok();
            let token = json!({ "refresh": signed_in.json["tokens"]["refresh"] });
            let reply = anyone.post(&refresh, &token).await;
            assert_eq!(reply.status, 200);
            for name in ["access", "refresh", "access_expires_at", "refresh_expires_at"] {
                assert!(reply.json[name].is_string(), "{name}: {reply:?}");
            }
            Rest::with_token(suite, text(&reply.json["access"])).get("/api/users/me").await.ok();
            let token = json!({ "refresh": reply.json["refresh"] });
            let ended = anyone.post(&logout, &token).await;
            assert_eq!((ended.status, &ended.json), (200, &json!({})));
            assert_eq!(anyone.post(&refresh, &token).await.status, 401);
        }
    }

    async fn patient_paths_work(suite: &Suite) {
        let staff = Rest::of(suite, &suite.staff().await);
        for list in both("/api/patients") {
            let made = staff.post(&list, &patient()).await;
            assert_eq!(made.status, 201);
            assert_contains(&made.json, &patient());
            assert_eq!(made.json["view"], "PATIENT_VIEW_FULL");
            let location = format!("/api/patients/{}/", made.id());
            assert_eq!(made.header("location"), Some(&*location));
            assert_eq!(staff.get(&location).await.json, made.json);
            for one in both(&location) {
                assert_contains(&staff.get(&one).await.ok().json, &patient());
                let new = json!({ "first_name": "Augusta", "last_name": "King" });
                let put = staff.put(&one, &new).await;
                assert_eq!(put.status, 200);
                assert_contains(&put.json, &new);
                assert_eq!(put.json.get("medical_history"), None);
                let patched = staff.patch(&one, &json!({ "gender": "O" })).await.ok().json;
                assert_eq!((&patched["gender"], &patched["first_name"]), (&json!("O"), &json!("Augusta")));
                assert!(ids(&staff.get(&list).await.ok(), "patients").contains(&made.id()));
                let gone = staff.delete(&one).await;
                assert_eq!(gone.status, 204);
                assert_eq!(staff.get(&one).await.error(), (404, "NOT_FOUND"));
                let back = format!("/api/patients/{}/undelete", made.id());
                for back in both(&back) {
                    assert_eq!(staff.post(&back, &json!({})).await.ok().id(), made.id());
                    assert_eq!(staff.delete(&one).await.status, 204);
                }
                // An action needs no body.
                staff.send("POST", &back, &[], b"").await.ok();
                staff.put(&one, &patient()).await.ok();
            }
        }
        let some = [create_patient(&staff).await, create_patient(&staff).await];
        for batch in both("/api/patients/batch") {
            let reply = staff.get(&format!("{batch}?ids={}&ids={}", some[1], some[0])).await.ok();
            assert_eq!(ids(&reply, "patients"), [&*some[1], &*some[0]]);
        }
    }

    async fn doctor_paths_work(suite: &Suite) {
        let staff = Rest::of(suite, &suite.staff().await);
        let admin = Rest::of(suite, &suite.admin().await);
        for list in both("/api/doctors") {
            let given = doctor();
            let made = staff.post(&list, &given).await;
            assert_eq!(made.status, 201);
            assert_contains(&made.json, &given);
            let location = format!("/api/doctors/{}/", made.id());
            assert_eq!(made.header("location"), Some(&*location));
            for one in both(&location) {
                assert_eq!(staff.get(&one).await.ok().id(), made.id());
                let new = json!({
                    "first_name": "Lisa",
                    "last_name": "Cuddy",
                    "specialization": "Oncology",
                    "license_number": given["license_number"],
                });
                let put = staff.put(&one, &new).await.ok().json;
                assert_contains(&put, &new);
                assert_eq!((put.get("email"), &put["years_of_experience"]), (None, &json!(0)));
                let patched = staff.patch(&one, &json!({ "available": false })).await.ok().json;
                assert_eq!((&patched["available"], &patched["last_name"]), (&json!(false), &json!("Cuddy")));
                assert_eq!(staff.delete(&one).await.status, 204);
                for back in both(&format!("{location}undelete")) {
                    assert_eq!(staff.get(&one).await.status, 404);
                    staff.post(&back, &json!({})).await.ok();
                    assert_eq!(staff.delete(&one).await.status, 204);
                }
                staff.post(&format!("{location}undelete/"), &json!({})).await.ok();
            }
            for verify in both(&format!("{location}verify")) {
                assert_eq!(staff.post(&verify, &json!({})).await.error(), (403, "ROLE_REQUIRED"));
                assert_eq!(admin.post(&verify, &json!({})).await.ok().json["verified"], true);
            }
            let mut cardiologist = doctor();
            cardiologist["specialization"] = "Cardio & Co".into();
            let cardiologist = staff.post(&list, &cardiologist).await.ok();
            let found = staff.get(&format!("{list}?specialization=cardio+%26%20co")).await.ok();
            assert_eq!(ids(&found, "doctors"), [cardiologist.id()]);
            let found = staff.get(&format!("{list}?available=true&page_size=500")).await.ok();
            let found = ids(&found, "doctors");
            assert!(found.contains(&cardiologist.id()) && !found.contains(&made.id()));
            let batch = format!("?ids={}&ids={}", made.id(), cardiologist.id());
            for path in both("/api/doctors/batch") {
                let batch = staff.get(&format!("{path}{batch}")).await.ok();
                assert_eq!(ids(&batch, "doctors"), [made.id(), cardiologist.id()]);
            }
            assert_eq!(staff.delete(&format!("/api/doctors/{}/", cardiologist.id())).await.status, 204);
        }
    }

    async fn assignment_paths_work(suite: &Suite) {
        let staff = Rest::of(suite, &suite.staff().await);
        let doctor = create_doctor(&staff).await;
        for list in both("/api/mappings") {
            let patient = create_patient(&staff).await;
            let sent = json!({
                "patient_id": patient,
                "doctor_id": doctor,
                "reason_for_visit": "Regular checkup",
                "notes": "fasting",
            });
            let made = staff.post(&list, &sent).await;
            assert_eq!(made.status, 201);
            assert_contains(&made.json, &sent);
            assert_eq!(made.json["status"], "ASSIGNMENT_STATUS_ACTIVE");
            let location = format!("/api/assignments/{}/", made.id());
            assert_eq!(made.header("location"), Some(&*location));
            for one in both(&location) {
                assert_eq!(staff.get(&one).await.ok().json, made.json);
            }
            assert_eq!(staff.post(&list, &sent).await.error(), (409, "ALREADY_EXISTS"));
            assert!(ids(&staff.get(&list).await.ok(), "assignments").contains(&made.id()));
            let of_patient = [format!("/api/mappings/patient/{patient}"), format!("/api/mappings/{patient}")];
            for path in of_patient.iter().flat_map(|path| both(path)) {
                let reply = staff.get(&path).await.ok().json;
                assert_eq!(reply["doctors"].as_array().unwrap().len(), 1, "{reply}");
                assert_eq!(reply["doctors"][0]["doctor"]["id"], *doctor);
                assert_eq!(reply["doctors"][0]["assignment"]["id"], made.id());
            }
            for path in both(&format!("/api/doctors/{doctor}/patients")) {
                let reply = staff.get(&path).await.ok().json;
                let of_doctor = reply["patients"].as_array().unwrap();
                assert!(of_doctor.iter().any(|one| one["patient"]["id"] == *patient), "{reply}");
            }
            for one in both(&format!("/api/mappings/{}", made.id())) {
                let put = staff.put(&one, &json!({ "notes": "not fasting" })).await.ok().json;
                assert_eq!((&put["notes"], put.get("reason_for_visit")), (&json!("not fasting"), None));
                let patched = staff.patch(&one, &json!({ "reason_for_visit": "pain" })).await.ok();
                assert_contains(&patched.json, &json!({ "notes": "not fasting", "reason_for_visit": "pain" }));
            }
            for one in both(&format!("/api/mappings/{}", made.id())) {
                // The second time, it has already ended.
                assert_eq!(staff.delete(&one).await.status, 204);
                assert_eq!(staff.get(&location).await.ok().json["status"], "ASSIGNMENT_STATUS_ENDED");
            }
        }
    }

    async fn patient_profile_paths_work(suite: &Suite) {
        let account: Account = suite.patient().await;
        let (own, admin) = (Rest::of(suite, &account), Rest::of(suite, &suite.admin().await));
        let doctor = create_doctor(&admin).await;
        let sent = json!({ "patient_id": account.profile_id, "doctor_id": doctor });
        admin.post("/api/mappings/", &sent).await.ok();
        for path in both("/api/patient-profile") {
            assert_eq!(own.get(&path).await.ok().id(), account.profile_id);
            assert_eq!(admin.get(&path).await.error(), (404, "NOT_FOUND"));
            let path = format!("{}/{}", path.trim_end_matches('/'), account.user.id);
            for path in both(&path) {
                let put = own.put(&path, &patient()).await;
                assert_eq!(put.status, 200);
                assert_contains(&put.json, &patient());
                let patched = own.patch(&path, &json!({ "gender": "O" })).await.ok().json;
                assert_eq!((&patched["gender"], &patched["email"]), (&json!("O"), &patient()["email"]));
            }
        }
        for path in both("/api/patients/my-doctors") {
            let reply = own.get(&path).await.ok().json;
            assert_eq!(reply["doctors"][0]["doctor"]["id"], *doctor);
            assert_eq!(admin.get(&path).await.status, 404);
        }
    }

    async fn doctor_profile_paths_work(suite: &Suite) {
        let account: Account = suite.verified_doctor().await;
        let (own, staff) = (Rest::of(suite, &account), Rest::of(suite, &suite.staff().await));
        let patient = create_patient(&staff).await;
        let sent = json!({ "patient_id": patient, "doctor_id": account.profile_id });
        staff.post("/api/mappings/", &sent).await.ok();
        for path in both("/api/doctors/all-patients") {
            let reply = own.get(&path).await.ok();
            assert_eq!(ids(&reply, "patients"), [&*patient]);
            // Fields that the view hides are absent, not empty.
            assert_eq!(reply.json["patients"][0]["view"], "PATIENT_VIEW_BASIC");
            assert_eq!(reply.json["patients"][0].get("medical_history"), None);
        }
        for path in both("/api/doctors/my-patients") {
            let reply = own.get(&path).await.ok().json;
            assert_eq!(reply["patients"][0]["patient"]["id"], *patient);
        }
        for path in both("/api/doctor-profile") {
            let record = own.get(&path).await.ok();
            assert_eq!((record.id(), &record.json["verified"]), (&*account.profile_id, &json!(true)));
            assert_eq!(staff.get(&path).await.error(), (404, "NOT_FOUND"));
            let by_id = format!("{}/{}", path.trim_end_matches('/'), account.user.id);
            for path in [both(&path), both(&by_id)].concat() {
                let patched = own.patch(&path, &json!({ "available": false })).await.ok().json;
                assert_eq!((&patched["available"], &patched["verified"]), (&json!(false), &json!(true)));
                let mut new = doctor_of(&record);
                new["qualifications"] = "MD, PhD".into();
                let put = own.put(&path, &new).await;
                assert_eq!(put.status, 200);
                assert_contains(&put.json, &new);
            }
        }
    }

    async fn account_and_session_paths_work(suite: &Suite) {
        let (account, admin) = (suite.staff().await, Rest::of(suite, &suite.admin().await));
        let own = Rest::of(suite, &account);
        let id = account.user.id.as_str();
        for path in both("/api/users") {
            assert!(ids(&admin.get(&path).await.ok(), "users").contains(&id));
            assert_eq!(own.get(&path).await.error(), (403, "ROLE_REQUIRED"));
        }
        for path in ["/api/users/me".to_owned(), format!("/api/users/{id}")].iter().flat_map(|path| both(path)) {
            let name = format!("Robin {}", path.len());
            assert_eq!(own.get(&path).await.ok().id(), id);
            assert_eq!(own.put(&path, &json!({ "name": name })).await.ok().json["name"], *name);
            assert_eq!(own.patch(&path, &json!({ "name": "R" })).await.ok().json["name"], "R");
        }
        let roles = json!({ "roles": ["ROLE_STAFF", "ROLE_DOCTOR"] });
        for path in both(&format!("/api/users/{id}/roles")) {
            assert_eq!(own.put(&path, &roles).await.error(), (403, "ROLE_REQUIRED"));
            assert_eq!(admin.put(&path, &roles).await.ok().json["roles"], roles["roles"]);
        }
        for (off, on) in both(&format!("/api/users/{id}/deactivate"))
            .iter()
            .zip(both(&format!("/api/users/{id}/reactivate")))
        {
            assert_eq!(admin.post(off, &json!({})).await.ok().json["active"], false);
            assert_eq!(admin.post(&on, &json!({})).await.ok().json["active"], true);
        }

        let account = suite.staff().await;
        let own = Rest::of(suite, &account);
        let login = json!({ "email": account.user.email, "password": PASSWORD });
        for path in both("/api/auth/sessions") {
            Rest::anonymous(suite).post("/api/auth/login/", &login).await.ok();
            let sessions = own.get(&path).await.ok();
            assert_eq!(ids(&sessions, "sessions").len(), 2);
            let list = sessions.json["sessions"].as_array().unwrap();
            let other = list.iter().find(|session| session["current"] == false).unwrap();
            let one = format!("{}/{}", path.trim_end_matches('/'), text(&other["id"]));
            assert_eq!(own.delete(&one).await.status, 204);
            assert_eq!(ids(&own.get(&path).await.ok(), "sessions").len(), 1);
        }
        for path in both("/api/auth/password/change") {
            let passwords = json!({ "current_password": PASSWORD, "new_password": PASSWORD });
            assert_eq!(own.post(&path, &passwords).await.ok().json, json!({}));
        }
    }
}

/// Returns the body of a PUT from the response of a GET.
fn doctor_of(reply: &Reply) -> Value {
    let mut given = doctor();
    for (name, value) in given.as_object_mut().unwrap() {
        *value = reply.json[name].clone();
    }
    given
}
