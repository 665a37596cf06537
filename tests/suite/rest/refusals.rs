//! Requests that are rejected for their token, role, path, method, headers or size, and the order of
//! these checks.

use clinic_testkit::{Backend, run};
use serde_json::json;

use super::client::JSON;
use super::{Rest, both, patient};

const LIMIT: usize = 512 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn on_known_paths_token_and_role_errors_precede_all_others() {
    run(Backend::Sqlite, async |suite| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        for (caller, challenge) in [
            (Rest::anonymous(suite), "Bearer"),
            (Rest::with_token(suite, "no.such.token"), "Bearer error=\"invalid_token\""),
        ] {
            for (headers, body) in [
                (&[JSON][..], &b"{"[..]),
                (&[JSON], b"{\"nothing\": 1}"),
                (&[JSON, ("if-match", "\"a\",\"b\"")], b"{}"),
                (&form, b"first_name=Ada"),
                (&[], b""),
            ] {
                for (method, path) in [
                    ("POST", "/api/patients/"),
                    ("PUT", "/api/patients/not-an-id/"),
                    ("PATCH", "/api/patients/%FF/?nothing=1"),
                    ("DELETE", "/api/patients/x/"),
                    ("GET", "/api/patients/?page_size=x"),
                    ("POST", "/api/admin/assign-patient/"),
                ] {
                    let refused = caller.send(method, path, headers, body).await;
                    assert_eq!(refused.error(), (401, "INVALID_TOKEN"), "{method} {path}");
                    assert_eq!(refused.header("www-authenticate"), Some(challenge));
                }
            }
        }
        let patient_account = Rest::of(suite, &suite.patient().await);
        let refused = patient_account.send("POST", "/api/patients/", &form, b"{").await;
        assert_eq!(refused.error(), (403, "ROLE_REQUIRED"));
        // The path requires ADMIN; its RPC also allows STAFF.
        let staff = Rest::of(suite, &suite.staff().await);
        let refused = staff.send("POST", "/api/admin/assign-patient/", &form, b"{").await;
        assert_eq!(refused.error(), (403, "ROLE_REQUIRED"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_accepted_only_as_bearer_in_the_authorization_header() {
    run(Backend::Sqlite, async |suite| {
        let access = suite.staff().await.tokens.access;
        let anyone = Rest::anonymous(suite);
        let cookie = format!("access={access}; authorization=Bearer {access}");
        for (path, header) in [
            (format!("/api/users/me?access_token={access}"), ("x-nothing", "")),
            ("/api/users/me".to_owned(), ("cookie", &*cookie)),
            ("/api/users/me".to_owned(), ("x-clinic-claims", &*access)),
            ("/api/users/me".to_owned(), ("authorization", &*access)),
            ("/api/users/me".to_owned(), ("authorization", "Basic YWRtaW46YWRtaW4=")),
        ] {
            let refused = anyone.send("GET", &path, &[header], b"").await;
            assert_eq!(refused.status, 401, "{}", header.0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_gets_404_in_json() {
    run(Backend::Sqlite, async |suite| {
        for caller in [Rest::anonymous(suite), Rest::of(suite, &suite.staff().await)] {
            for path in [
                "/api",
                "/api/",
                "/api/nothing",
                "/api/nothing/",
                "/api//patients",
                "/api/patients//",
                "/api/patients/0190f3c6-0000-7000-8000-00000000000a/nothing",
                "/api/patients/../patients",
                "/api/PATIENTS",
                "/api/v1/patients",
                "/api/patients%2F",
                "/auth/nothing/",
                "/auth",
            ] {
                for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
                    let refused = caller.send(method, path, &[], b"").await;
                    assert_eq!(refused.error(), (404, "UNKNOWN_METHOD"), "{method} {path}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_gets_405_with_the_allowed_methods() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        for (method, path, allow) in [
            ("DELETE", "/api/patients/", "GET, HEAD, OPTIONS, POST"),
            ("PATCH", "/api/patients/", "GET, HEAD, OPTIONS, POST"),
            ("POST", "/api/patients/x/", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("GET", "/api/auth/login/", "OPTIONS, POST"),
            ("DELETE", "/api/patient-profile/", "GET, HEAD, OPTIONS, PATCH, PUT"),
            ("POST", "/api/mappings/x/", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("POST", "/api/patients/my-doctors/", "GET, HEAD, OPTIONS"),
            ("DELETE", "/api/patients/batch/", "GET, HEAD, OPTIONS"),
            ("PATCH", "/api/users/x/roles/", "OPTIONS, PUT"),
            ("NONSENSE", "/api/users/", "GET, HEAD, OPTIONS"),
            ("TRACE", "/api/users/", "GET, HEAD, OPTIONS"),
        ] {
            for path in both(path) {
                let refused = staff.json(method, &path, &[], &json!({})).await;
                assert_eq!(refused.error(), (405, "UNKNOWN_METHOD"), "{method} {path}");
                assert_eq!(refused.header("allow"), Some(allow));
                // OPTIONS needs no token.
                let options = Rest::anonymous(suite).send("OPTIONS", &path, &[], b"").await;
                assert_eq!((options.status, options.header("allow")), (204, Some(allow)));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_declared_as_json_and_not_be_compressed() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let body = patient().to_string();
        let kind = |value| vec![("content-type", value)];
        for headers in [
            vec![],
            kind(""),
            kind("text/plain"),
            kind("text/json"),
            kind("application/x-www-form-urlencoded"),
            kind("multipart/form-data; boundary=x"),
            kind("application/jsonp"),
            kind("application/json, text/plain"),
            kind("application/json; charset=iso-8859-1"),
            kind("application/json;charset=\"utf-16\""),
            kind("application/json-patch+json"),
            vec![JSON, ("content-encoding", "gzip")],
            vec![JSON, ("content-encoding", "identity, br")],
        ] {
            let refused = staff.send("POST", "/api/patients/", &headers, body.as_bytes()).await;
            assert_eq!(refused.error(), (415, "INVALID_FIELD"), "{headers:?}");
        }
        for headers in [
            kind("application/json"),
            kind("Application/JSON"),
            kind("application/json; charset=utf-8"),
            kind("application/json;charset=\"UTF-8\"; x=y"),
            // Leading whitespace is not part of a header's value.
            kind(" application/merge-patch+json"),
            vec![JSON, ("content-encoding", "identity")],
        ] {
            let made = staff.send("POST", "/api/patients/", &headers, body.as_bytes()).await;
            assert_eq!(made.status, 201, "{headers:?}");
        }
        // The body of a GET is ignored.
        let read = staff.send("GET", "/api/patients/", &kind("text/plain"), b"<xml>").await;
        assert_eq!(read.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_have_up_to_512_kibibytes() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let mut body = patient().to_string().into_bytes();
        body.resize(LIMIT, b' ');
        assert_eq!(staff.send("POST", "/api/patients/", &[JSON], &body).await.status, 201);
        body.push(b' ');
        let refused = staff.send("POST", "/api/patients/", &[JSON], &body).await;
        assert_eq!(refused.error(), (413, "MESSAGE_TOO_LARGE"));
        // A single field over its own limit.
        let mut long = patient();
        long["medical_history"] = "x".repeat(LIMIT - 1000).into();
        assert_eq!(staff.post("/api/patients/", &long).await.invalid_fields(), ["medical_history"]);
        // The connection can still be used.
        assert_eq!(staff.get("/api/patients/").await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_headers_that_are_too_large_get_431() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        for (bytes, status) in [(15 * 1024, 200), (17 * 1024, 431)] {
            let agent = "a".repeat(bytes);
            let response =
                staff.send("GET", "/api/patients/", &[("user-agent", &agent)], b"").await;
            assert_eq!(response.status, status);
        }
        assert_eq!(staff.get("/api/patients/").await.status, 200);
    })
    .await;
}
