use super::*;
use crate::auth::v1::{ListUsersResponse, LoginRequest, RegisterRequest, SetUserRolesRequest};
use crate::records::v1::{
    BatchGetPatientsRequest, CreatePatientRequest, ListPatientsRequest, Patient,
    UpdatePatientRequest,
};

fn fields(message: &impl Validate) -> Vec<String> {
    let mut violations = Violations::default();
    message.check(Presence::Create, &mut violations);
    violations.into_vec().into_iter().map(|v| v.field).collect()
}

fn update(patient: Patient, paths: Option<&[&str]>) -> UpdatePatientRequest {
    UpdatePatientRequest {
        id: "me".into(),
        patient: Some(patient),
        update_mask: paths
            .map(|p| FieldMask { paths: p.iter().map(|p| (*p).to_owned()).collect() }),
    }
}

#[test]
fn all_invalid_fields_are_reported_at_once() {
    let patient = Patient {
        first_name: " ".into(),
        last_name: "a\0b".into(),
        date_of_birth: "2999-01-01".into(),
        gender: "X".into(),
        phone_number: "no".into(),
        email: "no".into(),
        address: "a".repeat(501),
        medical_history: "\u{7}".into(),
        ..Patient::default()
    };
    let request = CreatePatientRequest { patient: Some(patient), request_id: "7".into() };
    assert_eq!(
        fields(&request),
        [
            "patient.first_name",
            "patient.last_name",
            "patient.date_of_birth",
            "patient.gender",
            "patient.phone_number",
            "patient.email",
            "patient.address",
            "patient.medical_history",
            "request_id",
        ]
    );
}

#[test]
fn a_missing_required_message_is_reported() {
    assert_eq!(fields(&CreatePatientRequest::default()), ["patient"]);
}

#[test]
fn a_time_is_required_and_in_the_years_that_databases_sort() {
    let found = |value: Option<Timestamp>, required| {
        let mut violations = Violations::default();
        violations.time(Presence::Create, "at", value.as_ref(), required);
        violations.into_vec().into_iter().map(|v| v.message).collect::<Vec<_>>()
    };
    assert_eq!(found(None, Required::Always), ["is required"]);
    let far = Timestamp { seconds: i64::MAX, nanos: 0 };
    assert_eq!(found(Some(far), Required::Never), ["must be a time in the years 1 to 9999"]);
    assert!(found(None, Required::Never).is_empty());
    assert!(found(Some(Timestamp::default()), Required::Always).is_empty());
}

#[test]
fn an_update_requires_only_the_fields_in_its_mask() {
    assert!(fields(&update(Patient::default(), None)).is_empty());
    assert!(fields(&update(Patient::default(), Some(&["phone_number"]))).is_empty());
    assert_eq!(fields(&update(Patient::default(), Some(&["first_name"]))), ["patient.first_name"]);
    assert_eq!(
        fields(&update(Patient::default(), Some(&["*"]))),
        ["patient.first_name", "patient.last_name"]
    );
}

#[test]
fn a_mask_may_name_only_fields_that_can_change() {
    for path in
        ["nonsense", "id", "owner_id", "user_id", "created_at", "etag", "patient.first_name", ""]
    {
        assert_eq!(fields(&update(Patient::default(), Some(&[path]))), ["update_mask"], "{path}");
    }
    assert_eq!(fields(&update(Patient::default(), Some(&["*", "gender"]))), ["update_mask"]);
}

#[test]
fn lists_are_bounded_and_their_items_checked() {
    let ids = vec!["01890a5d-ac96-774b-bcce-b302099a8057".to_owned(); 501];
    assert_eq!(fields(&BatchGetPatientsRequest { ids, ..Default::default() }), ["ids"]);
    let ids = vec!["me".to_owned()];
    assert_eq!(fields(&BatchGetPatientsRequest { ids, ..Default::default() }), ["ids[0]"]);
    assert_eq!(fields(&BatchGetPatientsRequest::default()), ["ids"]);
    let roles = |roles: &[i32]| SetUserRolesRequest {
        id: "me".into(),
        roles: roles.to_vec(),
        ..Default::default()
    };
    assert!(fields(&roles(&[1, 2])).is_empty());
    assert_eq!(fields(&roles(&[])), ["roles"]);
    assert_eq!(fields(&roles(&[1, 1])), ["roles"]);
    assert_eq!(fields(&roles(&[5, 99])), ["roles[0]", "roles[1]"]);
}

#[test]
fn exactly_one_of_two_fields_is_required_and_other_violations_are_reported_too() {
    let login = |email: &str, username: &str, password: &str| LoginRequest {
        email: email.into(),
        username: username.into(),
        password: password.into(),
    };
    assert_eq!(fields(&login("", "", "")), ["email", "username", "password"]);
    assert_eq!(fields(&login("a@b", "ann", "x")), ["email", "username"]);
    assert_eq!(fields(&login("a@b\0", "", "x")), ["email"]);
    assert_eq!(fields(&login("", "an\0n", "x")), ["username"]);
    assert!(fields(&login(" a@b ", "", "x")).is_empty());
    assert!(fields(&login("", "ann", "x")).is_empty());
}

#[test]
fn duplicates_in_a_unique_list_are_reported() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
    let request = BatchGetPatientsRequest { ids: vec![id; 2], ..Default::default() };
    assert_eq!(fields(&request), ["ids"]);
}

#[test]
fn items_of_a_list_that_is_too_long_are_not_checked() {
    let ids = vec!["nonsense".to_owned(); 501];
    assert_eq!(fields(&BatchGetPatientsRequest { ids, ..Default::default() }), ["ids"]);
    let roles = vec![99; 5];
    assert_eq!(fields(&SetUserRolesRequest { id: "me".into(), roles, etag: "".into() }), ["roles"]);
}

#[test]
fn a_violation_never_quotes_a_path_of_the_mask() {
    let path = "x".repeat(100_000);
    let mut violations = Violations::default();
    update(Patient::default(), Some(&[&path])).check(Presence::Create, &mut violations);
    let violations = violations.into_vec();
    assert_eq!(violations.len(), 1);
    assert!(!format!("{violations:?}").contains("xx"));
}

#[test]
fn private_fields_do_not_print() {
    let request = RegisterRequest {
        email: "ann@example.com".into(),
        password: "correct horse".into(),
        name: "Ann".into(),
        ..Default::default()
    };
    let text = format!("{request:?}");
    assert!(!text.contains("ann") && !text.contains("Ann") && !text.contains("horse"), "{text}");
    let text = format!("{:?}", Patient { last_name: "Lovelace".into(), ..Default::default() });
    assert!(text.contains("last_name: [private]") && !text.contains("Lovelace"), "{text}");
    // Page tokens are encrypted, but they do not belong in a log either.
    let (page_token, next_page_token) = ("TG92ZWxhY2U".to_owned(), "TG92ZWxhY2U".to_owned());
    let request = ListPatientsRequest { page_token, ..Default::default() };
    let response = ListUsersResponse { next_page_token, ..Default::default() };
    let text = format!("{request:?} {response:?}");
    assert!(text.contains("page_token: [private]") && !text.contains("TG92"), "{text}");
}

#[test]
fn a_violation_never_quotes_the_value() {
    let request = CreatePatientRequest {
        patient: Some(Patient {
            first_name: "Secret\0".into(),
            last_name: "L".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut violations = Violations::default();
    request.check(Presence::Create, &mut violations);
    let violations = violations.into_vec();
    assert_eq!(violations.len(), 1);
    assert!(!format!("{violations:?}").contains("Secret"));
}
