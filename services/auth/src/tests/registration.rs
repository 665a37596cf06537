//! Tests of registration.

use clinic_net::Error as ErrorResponse;
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::records::v1::{Doctor, Patient};
use clinic_proto::validation::Violation;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::*;

on_both! {
    refusals_by_records_are_passed_on
    a_refusal_of_auth_as_the_caller_is_an_internal_error
    of_two_registrations_with_one_email_one_succeeds_and_leaves_one_record
    a_lost_response_leaves_nothing_and_the_same_request_succeeds
    registrations_of_a_dead_process_are_withdrawn
    a_withdrawn_profile_whose_registration_remains_blocks_no_other
    a_registration_whose_profile_was_withdrawn_can_be_repeated
    a_completed_registration_is_never_withdrawn
    no_account_is_created_after_its_profile_was_withdrawn
}

async fn register(suite: &Suite, request: RegisterRequest) -> Result<Account, Error> {
    let made = suite.auth.register(&suite.nobody(), request).await?;
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

async fn refusals_by_records_are_passed_on(suite: &Suite) {
    let violations = vec![Violation::new("doctor.license_number", "is required")];
    suite.records.refuse(ErrorResponse::invalid_fields(violations).into());
    let error = register(suite, doctor("doctor@example.com")).await.err().unwrap();
    assert_eq!(fields(error), ["doctor.license_number"]);
    suite.records.refuse(ErrorResponse::already_exists("license_number", "taken").into());
    let error = status(register(suite, doctor("doctor@example.com")).await.err().unwrap());
    assert_eq!(error.code(), Code::AlreadyExists);
    let info = error.get_details_error_info().unwrap();
    let field = info.metadata.get("field").map(String::as_str);
    assert_eq!(field, Some("doctor.license_number"));
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
}

async fn a_refusal_of_auth_as_the_caller_is_an_internal_error(suite: &Suite) {
    for error in [ErrorResponse::role_required(), ErrorResponse::invalid_token()] {
        suite.records.refuse(error.into());
        assert_eq!(code(register(suite, patient("p@example.com")).await), Code::Internal);
    }
}

async fn of_two_registrations_with_one_email_one_succeeds_and_leaves_one_record(suite: &Suite) {
    let request = || register(suite, patient("p@example.com"));
    let (one, two) = tokio::join!(request(), request());
    let winner = one.as_ref().or(two.as_ref()).ok().unwrap().user.id.clone();
    let mut codes = [code(one), code(two)];
    codes.sort_by_key(|code| *code as i32);
    // The second may also find the first in progress and delete its profile.
    assert!(matches!(codes, [Code::Ok, Code::AlreadyExists | Code::Aborted]), "{codes:?}");
    sweep(suite).await;
    assert_eq!(suite.records.left(), [winner]);
}

/// Does what the background task does after a while.
async fn sweep(suite: &Suite) {
    suite.auth.withdraw_all_before(suite.clock.now() + TimeDelta::seconds(1)).await;
}

async fn pending(suite: &Suite) -> i64 {
    suite.count("SELECT COUNT(*) FROM registrations").await
}

/// Records creates the profile, and the response is lost.
async fn a_lost_response_leaves_nothing_and_the_same_request_succeeds(suite: &Suite) {
    for (n, lost) in [
        ErrorResponse::unavailable("gone", "test").into(),
        ErrorResponse::deadline_exceeded().into(),
        Status::unavailable("the connection broke"),
        Status::unknown("the connection broke"),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("doctor{n}@example.com");
        let before = suite.records.left();
        suite.records.lose_answers(Some(lost));
        assert!(register(suite, doctor(&email)).await.is_err());
        sweep(suite).await;
        assert_eq!(pending(suite).await, 1, "the registration stays while records is unavailable");
        suite.records.lose_answers(None);
        // Succeeds at once, and the license number is free again.
        let made = register(suite, doctor(&email)).await.unwrap();
        assert_eq!(suite.records.left().len(), before.len() + 1);
        assert!(suite.records.left().contains(&made.user.id));
        assert_eq!(pending(suite).await, 0);
        // Make room for the next one's license number.
        let mut kept = suite.records.kept.lock().unwrap();
        let id = kept.doctors.last().unwrap().id.clone();
        kept.deleted.push(id);
    }
}

async fn registrations_of_a_dead_process_are_withdrawn(suite: &Suite) {
    suite.records.lose_answers(Some(ErrorResponse::unavailable("gone", "test").into()));
    assert_eq!(code(register(suite, doctor("d@example.com")).await), Code::Unavailable);
    assert_eq!(code(register(suite, patient("p@example.com")).await), Code::Unavailable);
    assert_eq!((suite.records.left().len(), pending(suite).await), (2, 2));
    suite.records.lose_answers(None);
    sweep(suite).await;
    assert!(suite.records.left().is_empty());
    assert_eq!(pending(suite).await, 0);
    sweep(suite).await;
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
}

/// The response to the deletion is lost, or the process dies after it.
async fn a_withdrawn_profile_whose_registration_remains_blocks_no_other(suite: &Suite) {
    suite.records.lose_answers(Some(ErrorResponse::unavailable("gone", "test").into()));
    for request in [doctor("d@example.com"), patient("p@example.com"), patient("q@example.com")] {
        assert_eq!(code(register(suite, request).await), Code::Unavailable);
    }
    let made = suite.records.left();
    assert_eq!((made.len(), pending(suite).await), (3, 3));
    {
        let mut kept = suite.records.kept.lock().unwrap();
        kept.deleted = made;
        kept.lost = None;
    }
    register(suite, doctor("d@example.com")).await.unwrap();
    register(suite, patient("p@example.com")).await.unwrap();
    sweep(suite).await;
    assert_eq!((suite.records.left().len(), pending(suite).await), (2, 0));
}

async fn a_registration_whose_profile_was_withdrawn_can_be_repeated(suite: &Suite) {
    suite.records.refuse(ErrorResponse::not_found().into());
    assert_eq!(code(register(suite, patient("p@example.com")).await), Code::Aborted);
    suite.records.kept.lock().unwrap().error = None;
    register(suite, patient("p@example.com")).await.unwrap();
    sweep(suite).await;
    assert_eq!((suite.records.left().len(), pending(suite).await), (1, 0));
}

/// The response to the commit is lost: the database tells whether the account exists.
async fn a_completed_registration_is_never_withdrawn(suite: &Suite) {
    let made = register(suite, doctor("d@example.com")).await.unwrap();
    suite.auth.spawn_withdraw(id(&made.user));
    sweep(suite).await;
    assert_eq!(suite.records.left(), [made.user.id]);
}

async fn no_account_is_created_after_its_profile_was_withdrawn(suite: &Suite) {
    let user_id = suite.clock.new_id();
    let row = Query::new(
        "INSERT INTO registrations (user_id, email_key, kind, profile, abandoned, created_at) \
         VALUES ($1, 'p@example.com', 'patient', $2, FALSE, $3)",
    );
    let profile = Patient { first_name: "A".into(), last_name: "B".into(), ..Patient::default() };
    let profile = prost::Message::encode_to_vec(&profile);
    let row = row.bind(user_id).bind(profile).bind(suite.clock.now());
    suite.auth.db.untracked().execute(row).await.unwrap();
    suite.records.lose_answers(Some(ErrorResponse::unavailable("gone", "test").into()));
    sweep(suite).await;
    // The profile could not be deleted yet, but the registration is marked.
    let mut work = suite.auth.db.work(&Origin::operator(Clock::system().now())).await.unwrap();
    assert_eq!(code(users::complete_registration(&mut work, user_id).await), Code::Aborted);
}
