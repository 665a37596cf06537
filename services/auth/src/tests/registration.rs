//! Tests of registration.

use clinic_net::{Error as Answer, status};
use clinic_proto::access::v1::{ErrorReason, Role};
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::records::v1::{Doctor, Patient};
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
    an_answer_that_is_lost_leaves_nothing_and_the_same_request_succeeds
    what_a_dead_process_left_is_swept_up
    what_was_taken_back_but_not_forgotten_stands_in_nobodys_way
    who_finds_his_profile_taken_back_may_try_again
    a_registration_that_is_done_is_never_taken_back
    an_account_is_not_made_once_its_profile_is_taken_back
    a_closed_role_is_refused
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
        let error = status(register(&suite, request).await.err().unwrap());
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
    // A registration without a profile does not need records.
    suite.register("staff@example.com").await;
}

async fn what_records_refuses_is_passed_on(suite: Suite) {
    let violations = vec![Violation::new("doctor.license_number", "is required")];
    suite.records.refuse(Answer::invalid_fields(violations).into());
    let error = register(&suite, doctor("doctor@example.com")).await.err().unwrap();
    assert_eq!(fields(error), ["doctor.license_number"]);
    suite.records.refuse(Answer::already_exists("license_number", "taken").into());
    let error = status(register(&suite, doctor("doctor@example.com")).await.err().unwrap());
    assert_eq!(error.code(), Code::AlreadyExists);
    let info = error.get_details_error_info().unwrap();
    let field = info.metadata.get("field").map(String::as_str);
    assert_eq!(field, Some("doctor.license_number"));
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
}

async fn a_refusal_of_auth_itself_is_not_shown(suite: Suite) {
    for refusal in [Answer::role_required(), Answer::invalid_token()] {
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
    // The second may also find the first in progress and delete its profile.
    assert!(matches!(codes, [Code::Ok, Code::AlreadyExists | Code::Aborted]), "{codes:?}");
    sweep(&suite).await;
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
async fn an_answer_that_is_lost_leaves_nothing_and_the_same_request_succeeds(suite: Suite) {
    for (n, lost) in [
        Answer::unavailable("gone", "test").into(),
        Answer::deadline_exceeded().into(),
        Status::unavailable("the connection broke"),
        Status::unknown("the connection broke"),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("doctor{n}@example.com");
        let before = suite.records.left();
        suite.records.lose_answers(Some(lost));
        assert!(register(&suite, doctor(&email)).await.is_err());
        sweep(&suite).await;
        assert_eq!(pending(&suite).await, 1, "the registration stays while records is unavailable");
        suite.records.lose_answers(None);
        // Succeeds at once, and the license number is free again.
        let made = register(&suite, doctor(&email)).await.unwrap();
        assert_eq!(suite.records.left().len(), before.len() + 1);
        assert!(suite.records.left().contains(&made.user.id));
        assert_eq!(pending(&suite).await, 0);
        // Make room for the next one's license number.
        let mut kept = suite.records.kept.lock().unwrap();
        let id = kept.doctors.last().unwrap().id.clone();
        kept.deleted.push(id);
    }
}

async fn what_a_dead_process_left_is_swept_up(suite: Suite) {
    suite.records.lose_answers(Some(Answer::unavailable("gone", "test").into()));
    assert_eq!(code(register(&suite, doctor("d@example.com")).await), Code::Unavailable);
    assert_eq!(code(register(&suite, patient("p@example.com")).await), Code::Unavailable);
    assert_eq!((suite.records.left().len(), pending(&suite).await), (2, 2));
    suite.records.lose_answers(None);
    sweep(&suite).await;
    assert!(suite.records.left().is_empty());
    assert_eq!(pending(&suite).await, 0);
    sweep(&suite).await;
    assert_eq!(suite.count("SELECT COUNT(*) FROM users").await, 0);
}

/// The response to the deletion is lost, or the process dies after it.
async fn what_was_taken_back_but_not_forgotten_stands_in_nobodys_way(suite: Suite) {
    suite.records.lose_answers(Some(Answer::unavailable("gone", "test").into()));
    for request in [doctor("d@example.com"), patient("p@example.com"), patient("q@example.com")] {
        assert_eq!(code(register(&suite, request).await), Code::Unavailable);
    }
    let made = suite.records.left();
    assert_eq!((made.len(), pending(&suite).await), (3, 3));
    {
        let mut kept = suite.records.kept.lock().unwrap();
        kept.deleted = made;
        kept.lost = None;
    }
    register(&suite, doctor("d@example.com")).await.unwrap();
    register(&suite, patient("p@example.com")).await.unwrap();
    sweep(&suite).await;
    assert_eq!((suite.records.left().len(), pending(&suite).await), (2, 0));
}

async fn who_finds_his_profile_taken_back_may_try_again(suite: Suite) {
    suite.records.refuse(Answer::not_found().into());
    assert_eq!(code(register(&suite, patient("p@example.com")).await), Code::Aborted);
    suite.records.kept.lock().unwrap().refusal = None;
    register(&suite, patient("p@example.com")).await.unwrap();
    sweep(&suite).await;
    assert_eq!((suite.records.left().len(), pending(&suite).await), (1, 0));
}

/// The response to the commit is lost: the database tells whether the account exists.
async fn a_registration_that_is_done_is_never_taken_back(suite: Suite) {
    let made = register(&suite, doctor("d@example.com")).await.unwrap();
    suite.auth.spawn_withdraw(id(&made.user));
    sweep(&suite).await;
    assert_eq!(suite.records.left(), [made.user.id]);
}

async fn an_account_is_not_made_once_its_profile_is_taken_back(suite: Suite) {
    let user_id = suite.clock.new_id();
    let row = Query::new(
        "INSERT INTO registrations (user_id, email_key, kind, profile, abandoned, created_at) \
         VALUES ($1, 'p@example.com', 'patient', $2, FALSE, $3)",
    );
    let profile = Patient { first_name: "A".into(), last_name: "B".into(), ..Patient::default() };
    let profile = prost::Message::encode_to_vec(&profile);
    let row = row.bind(user_id).bind(profile).bind(suite.clock.now());
    suite.auth.db.untracked().execute(row).await.unwrap();
    suite.records.lose_answers(Some(Answer::unavailable("gone", "test").into()));
    sweep(&suite).await;
    // The profile could not be deleted yet, but the registration is marked.
    let mut work = suite.auth.db.work(&Origin::operator(Clock::system().now())).await.unwrap();
    assert_eq!(code(users::settle(&mut work, user_id).await), Code::Aborted);
}

async fn a_closed_role_is_refused(mut suite: Suite) {
    Arc::get_mut(&mut suite.auth).unwrap().settings.registration_roles = vec![Role::Patient];
    let error = status(register(&suite, registration("s@example.com")).await.err().unwrap());
    assert_eq!(error.code(), Code::PermissionDenied);
    let reason = error.get_details_error_info().unwrap().reason;
    assert_eq!(reason, status::reason_text(ErrorReason::RegistrationClosed));
    register(&suite, patient("p@example.com")).await.unwrap();
}
