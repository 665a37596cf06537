//! Tests of creating, changing and ending assignments.

use clinic_proto::assignment::v1::{AssignmentStatus, CreateAssignmentRequest};
use prost::Message as _;

use super::*;

on_both! {
    there_is_one_assignment_in_force_per_patient_and_doctor
    of_concurrent_creates_of_a_pair_one_is_made
    a_request_sent_twice_makes_one_row_and_has_one_answer
    a_request_sent_twice_shows_no_more_than_may_be_seen
    a_refused_create_does_not_use_up_its_request_id
    who_may_not_see_an_assignment_does_not_find_it
    an_update_changes_what_it_names_and_the_etag
    of_concurrent_updates_with_one_etag_one_wins
    an_update_that_changes_nothing_writes_nothing
    an_ended_assignment_does_not_change
    ending_twice_is_ending_once
    only_who_owns_the_patient_changes_an_assignment
}

/// Returns a request with this id that contains only the doctor.
fn request(request_id: u128, doctor: u128) -> Option<Request> {
    let content = CreateAssignmentRequest {
        assignment: Some(proto::Assignment {
            doctor_id: Uuid::from_u128(doctor).to_string(),
            ..proto::Assignment::default()
        }),
        request_id: String::new(),
    };
    let request_id = Uuid::from_u128(request_id).to_string();
    let caller = Uuid::from_u128(OWNER);
    let request = Request::of(caller, "CreateAssignment", &request_id, &content.encode_to_vec());
    assert!(request.is_some());
    request
}

fn notes(etag: &str, text: &str) -> proto::Assignment {
    let (etag, notes) = (etag.to_owned(), text.to_owned());
    proto::Assignment { etag, notes, ..proto::Assignment::default() }
}

async fn there_is_one_assignment_in_force_per_patient_and_doctor(scratch: &Scratch) {
    let first = scratch.create(1, 1).await.ok().unwrap();
    assert!(matches!(error(scratch.create(1, 1).await), Error::AlreadyAssigned));
    scratch.create(1, 2).await.ok().unwrap();
    scratch.create(2, 1).await.ok().unwrap();
    scratch.end(&admin(), &first.id, "").await.ok().unwrap();
    scratch.create(1, 1).await.ok().unwrap();
    assert!(matches!(error(scratch.create(1, 1).await), Error::AlreadyAssigned));
    assert_eq!(scratch.count().await, 4);
}

async fn of_concurrent_creates_of_a_pair_one_is_made(scratch: &Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            // Half of them have a request id.
            let request = if n % 2 == 0 { None } else { request(n, 1) };
            let (scratch, new) = (scratch.clone(), scratch.unmade(1, 1, request));
            tokio::spawn(async move { scratch.make(&admin(), new).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, Error::AlreadyAssigned), "{error:?}"),
        }
    }
    assert_eq!((made, scratch.count().await), (1, 1));
}

async fn a_request_sent_twice_makes_one_row_and_has_one_answer(scratch: &Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (scratch, new) = (scratch.clone(), scratch.unmade(1, 1, request(7, 1)));
            tokio::spawn(async move { scratch.make(&admin(), new).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().ok().unwrap());
    }
    assert_eq!(scratch.count().await, 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let reused = scratch.make(&admin(), scratch.unmade(1, 2, request(7, 2))).await;
    assert!(matches!(error(reused), Error::Resource(ResourceError::RequestIdReused)));
}

async fn a_request_sent_twice_shows_no_more_than_may_be_seen(scratch: &Scratch) {
    let make = async |by: &Principal| scratch.make(by, scratch.unmade(1, 1, request(7, 1))).await;
    let made = make(&admin()).await.ok().unwrap();
    let owner = account(OWNER + 1, &[Role::Staff]);
    assert!(make(&owner).await.ok().unwrap().id == made.id);
    let other = account(OWNER, &[Role::Staff]);
    assert!(is_not_found(make(&other).await));
    let request = request(7, 1).unwrap();
    let found = write::find_made::<Assignment>(&scratch.db, &request, &scope(&other)).await;
    assert!(matches!(found.err(), Some(ResourceError::NotFound)));
}

async fn a_refused_create_does_not_use_up_its_request_id(scratch: &Scratch) {
    let first = scratch.create(1, 1).await.ok().unwrap();
    let again = scratch.make(&admin(), scratch.unmade(1, 1, request(7, 1))).await;
    assert!(matches!(error(again), Error::AlreadyAssigned));
    scratch.end(&admin(), &first.id, "").await.ok().unwrap();
    let made = scratch.make(&admin(), scratch.unmade(1, 1, request(7, 1))).await.ok().unwrap();
    assert_ne!(made.id, first.id);
}

async fn who_may_not_see_an_assignment_does_not_find_it(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    for (user, role, sees) in [
        (1, Role::Admin, true),
        (OWNER, Role::Staff, true),
        (OWNER + 1, Role::Staff, false),
        (OWNER, Role::Doctor, false),
        (OWNER, Role::Patient, false),
        (PATIENT_USER + 3, Role::Patient, true),
        (PATIENT_USER + 3, Role::Staff, false),
        (PATIENT_USER + 4, Role::Patient, false),
        (DOCTOR_USER + 5, Role::Doctor, true),
        (DOCTOR_USER + 3, Role::Doctor, false),
    ] {
        match scratch.get(&account(user, &[role]), &made.id).await {
            Ok(found) => assert!(sees && found == made, "{user} {role:?}"),
            found => assert!(!sees && is_not_found(found), "{user} {role:?}"),
        }
    }
    assert!(is_not_found(scratch.get(&Principal::Anonymous, &made.id).await));
    let never = Uuid::from_u128(9).to_string();
    assert!(is_not_found(scratch.get(&admin(), &never).await));
}

async fn an_update_changes_what_it_names_and_the_etag(scratch: &Scratch) {
    let before = scratch.create(3, 5).await.ok().unwrap();
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    let owner = account(OWNER, &[Role::Staff]);
    let update = notes(&before.etag, "BP <120");
    let after = scratch.update(&owner, &before.id, update).await.ok().unwrap();
    assert_eq!((after.reason_for_visit.as_str(), after.notes.as_str()), ("Fever", "BP <120"));
    assert!(after.etag != before.etag && after.updated_at != before.updated_at);
    assert_eq!(after.created_at, before.created_at);
    for (etag, text) in [(before.etag.as_str(), "lost"), (&before.etag, ""), ("x", "lost")] {
        assert!(is_stale(scratch.update(&owner, &before.id, notes(etag, text)).await));
    }
    assert_eq!(scratch.get(&owner, &before.id).await.ok().unwrap(), after);
}

async fn of_concurrent_updates_with_one_etag_one_wins(scratch: &Scratch) {
    let row = scratch.create(3, 5).await.ok().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (scratch, id) = (scratch.clone(), row.id.clone());
            let update = notes(&row.etag, &n.to_string());
            tokio::spawn(async move { scratch.update(&admin(), &id, update).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            lost => assert!(is_stale(lost)),
        }
    }
    assert_eq!(won, 1);
}

async fn an_update_that_changes_nothing_writes_nothing(scratch: &Scratch) {
    let before = scratch.create(3, 5).await.ok().unwrap();
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    for etag in ["", &before.etag] {
        for reason_for_visit in ["", "Fever"] {
            let reason_for_visit = reason_for_visit.to_owned();
            let same = proto::Assignment { reason_for_visit, ..notes(etag, "") };
            assert_eq!(scratch.update(&admin(), &before.id, same).await.ok().unwrap(), before);
        }
    }
    let same = proto::Assignment { reason_for_visit: "Fever".into(), ..notes("v9", "") };
    assert!(is_stale(scratch.update(&admin(), &before.id, same).await));
}

async fn an_ended_assignment_does_not_change(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    let ended = scratch.end(&admin(), &made.id, "").await.ok().unwrap();
    for etag in ["", &made.etag, &ended.etag] {
        let refused = scratch.update(&admin(), &made.id, notes(etag, "x")).await;
        assert!(matches!(error(refused), Error::Ended), "{etag}");
    }
    assert_eq!(scratch.get(&admin(), &made.id).await.ok().unwrap(), ended);
}

async fn ending_twice_is_ending_once(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    assert!(is_stale(scratch.end(&admin(), &made.id, "v2").await));
    let ended = scratch.end(&admin(), &made.id, "v1").await.ok().unwrap();
    assert_eq!(ended.status(), AssignmentStatus::Ended);
    assert_eq!((ended.ended_at, ended.etag.as_str()), (ended.updated_at, "v2"));
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    for etag in ["", "v2"] {
        assert_eq!(scratch.end(&admin(), &made.id, etag).await.ok().unwrap(), ended);
    }
    assert!(is_stale(scratch.end(&admin(), &made.id, "v1").await));
}

async fn only_who_owns_the_patient_changes_an_assignment(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    for (user, role) in [
        (OWNER + 1, Role::Staff),
        (OWNER, Role::Doctor),
        (PATIENT_USER + 3, Role::Patient),
        (DOCTOR_USER + 5, Role::Doctor),
    ] {
        let caller = account(user, &[role]);
        // The result does not depend on the etag.
        for etag in ["", "v1", "v9"] {
            let update = scratch.update(&caller, &made.id, notes(etag, "x")).await;
            assert!(is_not_found(update), "{user} {role:?}");
            assert!(is_not_found(scratch.end(&caller, &made.id, etag).await));
        }
    }
    let owner = account(OWNER, &[Role::Staff]);
    scratch.end(&owner, &made.id, "v1").await.ok().unwrap();
}
