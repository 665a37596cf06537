use std::collections::BTreeSet;

use clinic_proto::DOCUMENTED_FILE_DESCRIPTOR_SET as CONTRACT;
use clinic_proto::assignment::v1::CreateAssignmentRequest;
use clinic_proto::auth::v1::{LoginRequest, RegisterRequest};
use clinic_proto::records::v1::{CreateDoctorRequest, CreatePatientRequest, UpdatePatientRequest};
use clinic_proto::validation::{Presence, Validate, Violations};
use http::Method;
use prost::Message;
use serde_json::Value;

use crate::{Input, Route, Routes};

fn document() -> Value {
    super::document(CONTRACT).unwrap()
}

fn each(value: &Value, look: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            look(name, value);
            each(value, look);
        }),
        Value::Array(items) => items.iter().for_each(|item| each(item, look)),
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(&str, Method, &Value)> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((path.as_str(), method, operation));
        }
    }
    operations
}

/// Returns the path with a value for each parameter.
fn filled(path: &str) -> String {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    path.split('/').map(|s| if s.starts_with('{') { id } else { s }).collect::<Vec<_>>().join("/")
}

#[test]
fn every_path_is_described_and_every_description_leads_to_a_path() {
    let (document, routes) = (document(), Routes::from_descriptors(CONTRACT).unwrap());
    let operations = operations(&document);
    assert_eq!(operations.len(), routes.bindings().count());
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id}");
        let asked = filled(path);
        let Route::Found(found) = routes.find(&method, &asked) else {
            panic!("{method} {path} is not there")
        };
        let rpc = found.binding.rpc.path().rsplit('/').next().unwrap();
        assert!(id == rpc || id.starts_with(&format!("{rpc}_")), "{id} is {rpc}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
        let parameters = operation["parameters"].as_array();
        for parameter in parameters.into_iter().flatten().filter(|p| p["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            assert!(found.binding.in_query(found.schema, name).is_some(), "{id}: {name}");
        }
        assert_eq!(operation["requestBody"].is_object(), found.binding.has_body(), "{id}");
    }
    assert_eq!(document["paths"]["/api/patients/{id}/"]["put"]["operationId"], "UpdatePatient");
    assert_eq!(
        document["paths"]["/api/patients/{id}/"]["patch"]["operationId"],
        "UpdatePatient_patch"
    );
    let profile = &document["paths"]["/api/patient-profile/{user_id}/"];
    assert_eq!(profile["put"]["operationId"], "UpdatePatient_patient_profile_by_user_id");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    each(&document, &mut |name, value| {
        if name == "$ref" {
            let pointer = value.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{pointer}");
            used.insert(pointer.to_owned());
        }
    });
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "{kind} {name}");
        }
    }
}

#[test]
fn who_may_call_is_said() {
    let document = document();
    assert_eq!(document["security"][0]["bearerAuth"], serde_json::json!([]));
    let operation = |path: &str, method: &str| document["paths"][path][method].clone();
    let login = operation("/api/auth/login/", "post");
    assert_eq!(login["security"], serde_json::json!([]));
    assert!(login["responses"]["401"].is_object());
    assert!(login["responses"]["403"].is_null());
    let list = operation("/api/patients/", "get");
    assert!(list["security"].is_null());
    let about = list["description"].as_str().unwrap();
    assert!(about.ends_with("For the roles ADMIN, STAFF, DOCTOR, PATIENT."), "{about}");
    assert!(list["responses"]["403"].is_object());
    let assign = operation("/api/admin/assign-patient/", "post");
    assert!(assign["description"].as_str().unwrap().ends_with("For the roles ADMIN."));
}

#[test]
fn answers_say_what_comes_with_them() {
    let document = document();
    let made = &document["paths"]["/api/patients/"]["post"]["responses"]["201"];
    assert_eq!(
        made["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Patient"
    );
    assert!(made["headers"]["Location"].is_object() && made["headers"]["ETag"].is_object());
    let page = &document["paths"]["/api/patients/"]["get"]["responses"]["200"];
    assert!(page["headers"]["Link"].is_object() && page["headers"]["ETag"].is_null());
    let ended = &document["paths"]["/api/mappings/{id}/"]["delete"]["responses"];
    assert!(ended["204"].is_object() && ended["204"]["content"].is_null());
    assert!(ended["412"].is_object() && ended["200"].is_null());
    assert!(ended["204"]["headers"]["ETag"].is_null() && ended["415"].is_null());
    assert!(document["components"]["responses"]["UriTooLong"]["content"].is_null());
    let refreshed = &document["paths"]["/api/auth/token/refresh/"]["post"]["responses"]["200"];
    assert_eq!(
        refreshed["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Tokens"
    );
}

#[test]
fn each_way_to_send_a_message_asks_for_what_it_needs() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let required = |name: &str| {
        let names = schemas[name]["required"].as_array().cloned().unwrap_or_default();
        names.iter().map(|n| n.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(required("PatientCreate"), ["first_name", "last_name"]);
    assert_eq!(required("PatientReplace"), ["first_name", "last_name"]);
    assert!(required("PatientPatch").is_empty());
    assert_eq!(required("AssignmentCreate"), ["patient_id", "doctor_id"]);
    assert!(required("AssignmentReplace").is_empty());
    assert_eq!(required("Patient"), ["view"]);
    assert_eq!(required("RegisterRequest"), ["email", "name", "password"]);
    for name in ["PatientCreate", "PatientPatch", "RegisterRequest", "UndeletePatientRequest"] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
    assert!(schemas["Patient"]["additionalProperties"].is_null());

    let of = |schema: &str, field: &str| schemas[schema]["properties"][field].clone();
    assert_eq!(of("Patient", "id")["readOnly"], true);
    assert_eq!(of("PatientCreate", "created_at")["readOnly"], true);
    assert!(of("Patient", "first_name")["readOnly"].is_null());
    let first_name = of("PatientPatch", "first_name");
    assert_eq!((&first_name["type"], &first_name["minLength"]), (&"string".into(), &1.into()));
    assert!(
        of("PatientPatch", "user_id").is_object() && of("PatientReplace", "user_id").is_object()
    );
    assert_eq!(of("PatientPatch", "address")["type"], serde_json::json!(["string", "null"]));
    assert_eq!(of("PatientCreate", "gender")["enum"], serde_json::json!(["M", "F", "O", "", null]));
    assert_eq!(of("Patient", "date_of_birth")["format"], "date");
    let born = of("PatientCreate", "date_of_birth")["anyOf"].clone();
    assert_eq!((&born[0]["format"], &born[1]["const"]), (&"date".into(), &"".into()));
    assert_eq!(born[2]["type"], "null");
    let email = of("RegisterRequest", "email");
    assert!(email["format"].is_null() && email["pattern"].is_string(), "{email}");
    assert_eq!(of("DoctorCreate", "years_of_experience")["maximum"], 80);
    assert_eq!(of("ListPatientsResponse", "total_size")["format"], "int64");
}

#[test]
fn what_a_path_says_is_not_in_its_body() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas["RegisterRequest"]["properties"]["role"].is_object());
    assert!(schemas["RegisterRequestPatient"]["properties"]["role"].is_null());
    assert!(schemas["UndeletePatientRequest"]["properties"]["id"].is_null());
    assert_eq!(
        schemas["RegisterRequest"]["properties"]["role"]["enum"],
        serde_json::json!(["ROLE_UNSPECIFIED", "ROLE_STAFF", "ROLE_DOCTOR", "ROLE_PATIENT", null])
    );
}

/// Returns the rules of the request that the example of a path breaks.
fn wrong<M: Message + Default + Validate>(document: &Value, method: &Method, path: &str) -> String {
    let routes = Routes::from_descriptors(CONTRACT).unwrap();
    let operation = &document["paths"][path][method.as_str().to_lowercase()];
    let body = operation["requestBody"]["content"]["application/json"]["example"].to_string();
    let path = filled(path);
    let Route::Found(found) = routes.find(method, &path) else { panic!("{path}") };
    let message = found.request(&Input { body: body.as_bytes(), ..Input::default() }).unwrap();
    let mut violations = Violations::default();
    M::decode(&*message).unwrap().check(Presence::Create, &mut violations);
    format!("{:?}", violations.into_vec())
}

#[test]
fn examples_are_accepted() {
    let document = document();
    for path in ["/api/auth/register/", "/api/auth/register/doctor/", "/auth/register/"] {
        assert_eq!(wrong::<RegisterRequest>(&document, &Method::POST, path), "[]");
    }
    let doctor = &document["paths"]["/api/auth/register/doctor/"]["post"]["requestBody"];
    assert!(doctor["content"]["application/json"]["example"]["doctor"].is_object());
    assert_eq!(wrong::<LoginRequest>(&document, &Method::POST, "/api/auth/login/"), "[]");
    assert_eq!(wrong::<CreatePatientRequest>(&document, &Method::POST, "/api/patients/"), "[]");
    assert_eq!(wrong::<CreateDoctorRequest>(&document, &Method::POST, "/api/doctors/"), "[]");
    assert_eq!(wrong::<CreateAssignmentRequest>(&document, &Method::POST, "/api/mappings/"), "[]");
    for method in [Method::PUT, Method::PATCH] {
        let wrong = wrong::<UpdatePatientRequest>(&document, &method, "/api/patients/{id}/");
        assert_eq!(wrong, "[]");
    }
}

#[test]
fn the_same_contract_gives_the_same_document() {
    assert_eq!(document().to_string(), document().to_string());
}
