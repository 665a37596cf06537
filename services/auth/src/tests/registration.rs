//! Signing up.

use clinic_proto::access::v1::{ErrorReason, Role};
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::records::v1::{Doctor, Patient};
use clinic_proto::status;
use clinic_proto::validation::Violation;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::*;

on_both! {
    registering_signs_in
    addresses_and_usernames_are_unique_without_regard_to_case
    a_patient_gets_a_record
    a_doctor_gets_a_record
    without_records_no_profile_and_no_account
    what_records_refuses_is_passed_on
    a_refusal_of_auth_itself_is_not_shown
    of_two_that_register_one_address_one_wins_and_leaves_no_second_record
    a_closed_role_is_refused
}

async fn register(suite: &Suite, request: RegisterRequest) -> Result<Account, Error> {
    let made = suite.auth.register(&nobody(), Client::default(), request).await?;
    Ok(suite.account(made.user, made.tokens))
}

fn patient(email: &str) -> RegisterRequest {
    RegisterRequest { role: i32::from(Role::Patient), ..registration(email) }
}

fn doctor(email: &str) -> RegisterRequest {
    let doctor = Doctor {
        first_name: "Greg".to_owned(),
        last_name: "House".to_owned(),
        specialization: "Diagnostics".to_owned(),
        license_number: "L-1".to_owned(),
        user_id: "somebody else".to_owned(),
        ..Doctor::default()
    };
    let profile = Some(Profile::Doctor(doctor));
    RegisterRequest { role: i32::from(Role::Doctor), profile, ..registration(email) }
}

async fn registering_signs_in(suite: Suite) {
    let account = suite.register("Test@Example.com").await;
    let User { email, name, roles, active, email_verified, etag, .. } = account.user.clone();
    assert_eq!((email.as_str(), name.as_str()), ("Test@Example.com", "Test User"));
    assert_eq!((roles, active, email_verified), (vec![i32::from(Role::Staff)], true, false));
    assert_eq!(etag, "v1");
    assert_eq!(account.caller.user_id(), Some(id(&account.user)));
    assert!(account.caller.has(Role::Staff));
    assert!(suite.refresh(&account.tokens.refresh).await.is_ok());
    assert_eq!(suite.login("test@example.com").await.user, account.user);
    assert!(suite.records.kept.lock().unwrap().patients.is_empty());
}

async fn addresses_and_usernames_are_unique_without_regard_to_case(suite: Suite) {
    let request =
        RegisterRequest { username: "Mueller".to_owned(), ..registration("a@example.com") };
    register(&suite, request).await.unwrap();
    for (email, username, field) in
        [("A@Example.COM", "", "email"), ("b@example.com", "mUELLER", "username")]
    {
        let request = RegisterRequest {
            username: username.to_owned(),
            role: i32::from(Role::Patient),
            ..registration(email)
        };
        let error = Status::from(register(&suite, request).await.err().unwrap());
        assert_eq!(error.code(), Code::AlreadyExists);
        let info = error.get_details_error_info().unwrap();
        assert_eq!(info.metadata.get("field").map(String::as_str), Some(field));
    }
    assert!(suite.records.kept.lock().unwrap().patients.is_empty());
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 1);
}

async fn a_patient_gets_a_record(suite: Suite) {
    let account = register(&suite, patient("plain@example.com")).await.unwrap();
    let given = Patient {
        first_name: "Ada".to_owned(),
        last_name: "King".to_owned(),
        user_id: "somebody else".to_owned(),
        ..Patient::default()
    };
    let profile = Some(Profile::Patient(given));
    let request = RegisterRequest { profile, ..patient("full@example.com") };
    let full = register(&suite, request).await.unwrap();
    let kept = suite.records.kept.lock().unwrap();
    let made: Vec<_> = kept
        .patients
        .iter()
        .map(|p| [&p.user_id, &p.first_name, &p.last_name, &p.email].map(String::as_str))
        .collect();
    assert_eq!(
        made,
        [
            [account.user.id.as_str(), "Test", "User", "plain@example.com"],
            [full.user.id.as_str(), "Ada", "King", ""]
        ]
    );
}

async fn a_doctor_gets_a_record(suite: Suite) {
    let account = register(&suite, doctor("doctor@example.com")).await.unwrap();
    assert!(account.caller.has(Role::Doctor));
    let kept = suite.records.kept.lock().unwrap();
    assert_eq!(kept.doctors.len(), 1);
    assert_eq!(kept.doctors[0].user_id, account.user.id);
}

async fn without_records_no_profile_and_no_account(mut suite: Suite) {
    suite.records.stop().await;
    let request = patient("patient@example.com");
    assert_eq!(code(register(&suite, request).await), Code::Unavailable);
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 0);
    // Who brings no record does not need it.
    suite.register("staff@example.com").await;
}

async fn what_records_refuses_is_passed_on(suite: Suite) {
    let violations = vec![Violation::new("doctor.license_number", "is required")];
    suite.records.refuse(status::invalid_fields(violations));
    let error = register(&suite, doctor("doctor@example.com")).await.err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(fields(error), ["doctor.license_number"]);
    suite.records.refuse(Error::already_exists("license_number", "taken").into());
    let error = Status::from(register(&suite, doctor("doctor@example.com")).await.err().unwrap());
    assert_eq!(error.code(), Code::AlreadyExists);
    let info = error.get_details_error_info().unwrap();
    let field = info.metadata.get("field").map(String::as_str);
    assert_eq!(field, Some("doctor.license_number"));
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
}

async fn a_refusal_of_auth_itself_is_not_shown(suite: Suite) {
    for refusal in [Error::role_required(), Error::invalid_token(), Error::not_found()] {
        suite.records.refuse(refusal.into());
        assert_eq!(code(register(&suite, patient("p@example.com")).await), Code::Internal);
    }
}

async fn of_two_that_register_one_address_one_wins_and_leaves_no_second_record(suite: Suite) {
    let request = || register(&suite, patient("p@example.com"));
    let (one, two) = tokio::join!(request(), request());
    let winner = one.as_ref().or(two.as_ref()).ok().unwrap().user.id.clone();
    let mut codes = [code(one), code(two)];
    codes.sort_by_key(|code| *code as i32);
    assert_eq!(codes, [Code::Ok, Code::AlreadyExists]);
    let kept = suite.records.kept.lock().unwrap();
    let left: Vec<_> =
        kept.patients.iter().map(|p| &p.id).filter(|id| !kept.deleted.contains(id)).collect();
    assert_eq!(left, [&winner]);
}

async fn a_closed_role_is_refused(mut suite: Suite) {
    Arc::get_mut(&mut suite.auth).unwrap().settings.registration_roles = vec![Role::Patient];
    let error = Status::from(register(&suite, registration("s@example.com")).await.err().unwrap());
    assert_eq!(error.code(), Code::PermissionDenied);
    let reason = error.get_details_error_info().unwrap().reason;
    assert_eq!(reason, status::reason_text(ErrorReason::RegistrationClosed));
    register(&suite, patient("p@example.com")).await.unwrap();
}
