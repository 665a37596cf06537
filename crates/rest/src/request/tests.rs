use std::sync::LazyLock;

use clinic_proto::assignment::v1::CreateAssignmentRequest;
use clinic_proto::auth::v1::{RegisterRequest, SetUserRolesRequest, UpdateUserRequest};
use clinic_proto::records::v1::{
    BatchGetPatientsRequest, DeletePatientRequest, GetPatientRequest, ListDoctorsRequest,
    ListPatientsRequest, UpdateDoctorRequest, UpdatePatientRequest,
};
use http::Method;

use super::*;
use crate::routes::{self, Routes};

static ROUTES: LazyLock<Routes> =
    LazyLock::new(|| Routes::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET).unwrap());

fn request((method, target): (Method, &str), input: &Input<'_>) -> Result<Vec<u8>, Vec<Violation>> {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let routes::Route::Found(matched) = ROUTES.find(&method, path) else { panic!("{target}") };
    matched.request(&Input { query, ..*input })
}

/// Returns the message of a request that can be read.
fn message<M: prost::Message + Default>(method: Method, target: &str, input: &Input<'_>) -> M {
    M::decode(&*request((method, target), input).unwrap()).unwrap()
}

fn body(json: &str) -> Input<'_> {
    Input { body: json.as_bytes(), ..Input::default() }
}

/// Returns the fields that a refusal names.
fn fields(method: Method, target: &str, input: &Input<'_>) -> Vec<String> {
    let violations = request((method, target), input).unwrap_err();
    violations.into_iter().map(|violation| violation.field).collect()
}

fn paths(mask: Option<FieldMask>) -> Vec<String> {
    mask.unwrap_or_default().paths
}

#[test]
fn put_changes_all_and_patch_what_is_named() {
    let json =
        body(r#"{"gender": null, "id": "x", "etag": "e", "first_name": "A", "user_id": null}"#);
    let put: UpdatePatientRequest = message(Method::PUT, "/api/patients/7/", &json);
    assert_eq!((put.id.as_str(), paths(put.update_mask)), ("7", vec!["*".to_owned()]));
    let patch: UpdatePatientRequest = message(Method::PATCH, "/api/patients/7", &json);
    assert_eq!(paths(patch.update_mask), ["gender", "first_name"]);
    let patient = patch.patient.unwrap();
    assert_eq!((patient.first_name.as_str(), patient.etag.as_str()), ("A", "e"));
    let nothing: UpdateUserRequest = message(Method::PATCH, "/api/users/me", &body(""));
    assert_eq!((nothing.id.as_str(), paths(nothing.update_mask)), ("me", vec![]));
    assert!(nothing.user.is_some());
    for method in [Method::PUT, Method::PATCH] {
        let target = "/api/patients/7?update_mask=gender,%20email,";
        let masked: UpdatePatientRequest = message(method, target, &json);
        assert_eq!(paths(masked.update_mask), ["gender", "email"]);
    }
}

#[test]
fn body_and_query_cannot_contradict_the_path() {
    let json = body(r#"{"user_id": "Of the path", "available": false}"#);
    for method in [Method::PUT, Method::PATCH] {
        let target = "/api/doctor-profile/of%20the%20path/";
        let update: UpdateDoctorRequest = message(method.clone(), target, &json);
        let doctor = update.doctor.unwrap();
        assert_eq!((doctor.user_id.as_str(), doctor.available), ("of the path", Some(false)));
        assert_eq!(update.id, "me");
        assert_eq!(fields(method, "/api/doctor-profile/of%20another", &json)[0], "user_id");
    }
    let own: GetPatientRequest = message(Method::GET, "/api/patient-profile", &body(""));
    assert_eq!(own.id, "me");
    assert_eq!(fields(Method::GET, "/api/patient-profile?id=7", &body("")), ["id"]);
    assert_eq!(fields(Method::GET, "/api/patients/7?id=8", &body("")), ["id"]);
    let json = body(r#"{"id": "8", "roles": ["ROLE_STAFF", 3]}"#);
    assert_eq!(fields(Method::PUT, "/api/users/7/roles", &json), ["id"]);
    let json = body(r#"{"roles": ["ROLE_STAFF", 3]}"#);
    let roles: SetUserRolesRequest = message(Method::PUT, "/api/users/7/roles", &json);
    assert_eq!((roles.id.as_str(), roles.roles), ("7", vec![2, 3]));
    let patient: RegisterRequest = message(Method::POST, "/api/auth/register/patient", &body("{}"));
    assert_eq!(patient.role, 4);
    let role = body(r#"{"role": 1}"#);
    assert_eq!(fields(Method::POST, "/api/auth/register/patient", &role)[0], "role");
}

#[test]
fn path_segments_are_percent_decoded() {
    let get: GetPatientRequest = message(Method::GET, "/api/patients/a%2Fb%C3%BC+%25", &body(""));
    assert_eq!(get.id, "a/bü+%");
    assert_eq!(fields(Method::GET, "/api/patients/%FF", &body("")), ["id"]);
    assert_eq!(fields(Method::PATCH, "/api/patient-profile/%C3%28", &body("{}")), ["user_id"]);
}

#[test]
fn fields_without_another_place_are_query_parameters() {
    let target = "/api/patients?page_size=7&query=O%27Brien+%C3%BC&view=PATIENT_VIEW_BASIC&show_deleted=True";
    let list: ListPatientsRequest = message(Method::GET, target, &body(""));
    assert_eq!(
        (list.page_size, list.query.as_str(), list.view, list.show_deleted),
        (7, "O'Brien ü", 1, true)
    );
    // HTML forms send empty text for inputs that are not filled in.
    let target = "/api/doctors?page_size=&query=&available=&specialization=x&";
    let list: ListDoctorsRequest = message(Method::GET, target, &body(""));
    assert_eq!((list.page_size, list.available, list.specialization.as_str()), (0, None, "x"));
    for (text, available) in [("true", true), ("1", true), ("FALSE", false), ("0", false)] {
        let target = format!("/api/doctors?available={text}");
        let list: ListDoctorsRequest = message(Method::GET, &target, &body(""));
        assert_eq!(list.available, Some(available));
    }
    let target = "/api/patients/batch?ids=a&ids=b&ids=a&view=PATIENT_VIEW_FULL";
    let batch: BatchGetPatientsRequest = message(Method::GET, target, &body(""));
    assert_eq!((batch.ids, batch.view), (vec!["a".into(), "b".into(), "a".into()], 2));
    for (target, wrong) in [
        ("/api/patients?page_size=x&nothing=1&view=2", vec!["page_size", "nothing", "view"]),
        ("/api/patients?page_size=1&page_size=2", vec!["page_size"]),
        ("/api/patients?page_size.x=1", vec!["page_size.x"]),
        ("/api/patients?=1", vec!["\"\""]),
        ("/api/doctors?available=yes", vec!["available"]),
    ] {
        assert_eq!(fields(Method::GET, target, &body("")), wrong, "{target}");
    }
    for name in ["patient", "patient.email", "patient.etag"] {
        let target = format!("/api/patients?{name}=x");
        assert_eq!(fields(Method::POST, &target, &body("{}"))[0], name);
    }
    assert_eq!(fields(Method::POST, "/api/auth/login?email=x", &body("{}"))[0], "email");
    // The body of a list request is not read.
    let list: ListPatientsRequest = message(Method::GET, "/api/patients", &body("{ no json"));
    assert_eq!(list, ListPatientsRequest::default());
}

#[test]
fn headers_become_fields() {
    let etag = Input { etag: Some("v7"), ..body("{}") };
    let update: UpdatePatientRequest = message(Method::PATCH, "/api/patients/7", &etag);
    assert_eq!(update.patient.unwrap().etag, "v7");
    let etag = Input { etag: Some("v7"), ..body(r#"{"etag": "old", "email": "a"}"#) };
    let update: UpdatePatientRequest = message(Method::PUT, "/api/patients/7", &etag);
    let patient = update.patient.unwrap();
    assert_eq!((patient.etag.as_str(), patient.email.as_str()), ("v7", "a"));
    let delete: DeletePatientRequest = message(Method::DELETE, "/api/patients/7", &etag);
    assert_eq!((delete.id.as_str(), delete.etag.as_str()), ("7", "v7"));
    assert_eq!(fields(Method::GET, "/api/patients/me", &etag), ["If-Match"]);
    let key = Input { idempotency_key: Some("k"), ..body(r#"{"notes": "n"}"#) };
    let create: CreateAssignmentRequest = message(Method::POST, "/api/mappings", &key);
    assert_eq!((create.request_id.as_str(), create.assignment.unwrap().notes.as_str()), ("k", "n"));
    let get: GetPatientRequest = message(Method::GET, "/api/patients/7", &key);
    assert_eq!(get.id, "7");
}

/// Returns the path with a value for each parameter.
fn filled(path: &str) -> String {
    let id = "0190f3c6-0000-7000-8000-00000000000a";
    path.split('/').map(|s| if s.starts_with('{') { id } else { s }).collect::<Vec<_>>().join("/")
}

/// Calls `test` for each path of the contract, with a value for each parameter.
fn each_path(mut test: impl FnMut(&Binding, &str)) {
    for binding in ROUTES.bindings() {
        test(binding, &filled(&binding.path));
    }
}

#[test]
fn one_refusal_names_what_cannot_be_read_and_what_breaks_a_rule() {
    let bad_headers = [Violation::new("Idempotency-Key", "is given twice")];
    let wrong = r#"{"nothing": 1, "patient": {"gender": 1}, "name": true, "password": "short"}"#;
    let wrong = Input { etag: Some("v"), bad_headers: &bad_headers, ..body(wrong) };
    let unread =
        ["nothing", "patient.gender", "name", "query", "If-Match", "Idempotency-Key"].as_slice();
    let broken = ["email", "password", "patient.first_name", "patient.last_name"].as_slice();
    let expected = [unread, broken].concat();
    assert_eq!(fields(Method::POST, "/api/auth/register?query=x", &wrong), expected);
    // A list that was read in part gets no more violations: the indexes of its items are shifted.
    let roles = body(r#"{"roles": ["nothing", "ROLE_UNSPECIFIED"], "more": 1}"#);
    let named = fields(Method::PUT, "/api/users/x/roles", &roles);
    assert_eq!(named, ["roles[0]", "more", "id"]);
    // A value of the wrong type counts as given, also in rules about several fields.
    let login = body(r#"{"email": 7, "password": null}"#);
    assert_eq!(fields(Method::POST, "/api/auth/login", &login), ["email", "password"]);
    let search = "/api/patients?page_size=1000&page_size.x=1&view=nothing&query=%00";
    let named = fields(Method::GET, search, &body(""));
    assert_eq!(named, ["page_size.x", "view", "page_size", "query"]);
}

#[test]
fn a_body_that_cannot_be_read_hides_nothing_but_its_own_fields() {
    for unreadable in ["{\n  \"email\": x}", "[]", "7"] {
        let refused = |target| fields(Method::PUT, target, &body(unreadable));
        assert_eq!(refused("/api/patients/x?nothing=1"), ["body", "nothing", "id"]);
        assert_eq!(refused("/api/users/x/roles"), ["body", "id"]);
    }
    let refused = request((Method::POST, "/api/auth/register"), &body("{\n  \"email\": x}"));
    let refused = refused.unwrap_err();
    assert!(refused[0].message.starts_with("is not valid JSON at line 2, "), "{refused:?}");
}

#[test]
fn an_unknown_field_hides_no_broken_rule_on_any_path() {
    let mut broken = 0;
    each_path(|binding, target| {
        let message = request((binding.method.clone(), target), &body("{}")).unwrap();
        let check = binding.check.unwrap();
        let expected = check(&message).into_iter();
        let expected =
            expected.map(|violation| binding.as_sent(violation, HeaderFields::default()));
        let mut expected: Vec<_> = expected.map(|violation| violation.field).collect();
        broken += expected.len();
        expected.insert(0, "nothing".into());
        let method = || binding.method.clone();
        let in_query = format!("{target}?nothing=1");
        assert_eq!(fields(method(), &in_query, &body("{}")), expected, "{target}");
        if binding.has_body() {
            let named = fields(method(), target, &body(r#"{"nothing": 1}"#));
            assert_eq!(named, expected, "{target}");
        }
    });
    assert!(broken > 30, "{broken}");
}

#[test]
fn output_only_fields_are_ignored_on_every_path_whatever_they_hold() {
    let mut ignored = 0;
    each_path(|binding, target| {
        let fields = |message| ROUTES.schema.message(message).fields.iter();
        let message = match &binding.body {
            Source::Nothing => return,
            Source::Everything => binding.input,
            Source::Field { message, .. } => *message,
        };
        let parts = fields(message).filter_map(|field| match field.kind {
            Type::Message(inner) => Some((field.name.as_str(), inner)),
            _ => None,
        });
        for (outer, message) in [("", message)].into_iter().chain(parts) {
            for field in fields(message).filter(|field| field.output_only) {
                let within = |field: &str| match outer {
                    "" => format!("{{{field}}}"),
                    outer => format!("{{\"{outer}\": {{{field}}}}}"),
                };
                let read = |json: &str| request((binding.method.clone(), target), &body(json));
                let without = read(&within("")).unwrap();
                for value in ["null", "1", "-1.5", "true", "\"x\"", "[{}]", "{\"a\": []}"] {
                    let given = within(&format!("\"{}\": {value}", field.name));
                    assert_eq!(read(&given).unwrap(), without, "{target} {given}");
                    ignored += 1;
                }
            }
        }
    });
    assert!(ignored > 500, "{ignored}");
}

#[test]
fn a_part_of_the_path_is_named_with_its_path() {
    let refused = |method, target| request((method, target), &body(r#"{"more": 1}"#)).unwrap_err();
    for (method, target, field, path) in [
        (Method::GET, "/api/mappings/all?more=1", "patient_id", "/api/mappings/{patient_id}/"),
        (Method::PUT, "/api/patients/all", "id", "/api/patients/{id}/"),
        (Method::PUT, "/api/users/%FF/roles", "id", "/api/users/{id}/roles/"),
        (Method::PATCH, "/api/doctor-profile/all", "user_id", "/api/doctor-profile/{user_id}/"),
    ] {
        let violations = refused(method, target);
        let of_path: Vec<_> = violations.iter().filter(|v| v.field == field).collect();
        assert_eq!(of_path.len(), 1, "{violations:?}");
        assert!(of_path[0].message.ends_with(&format!("(in the path {path})")), "{violations:?}");
        assert!(violations.iter().any(|v| v.field == "more"), "{violations:?}");
    }
}
