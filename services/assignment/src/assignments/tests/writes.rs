//! Making, changing and ending assignments.

use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{self as proto, AssignmentStatus, CreateAssignmentRequest};
use uuid::Uuid;

use super::super::model::{Assignment, Changes};
use super::super::store;
use super::*;
use clinic_store::etag::etag;
use clinic_store::idempotency::Request;
use prost::Message as _;

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

fn request(scratch: &Scratch, request_id: u128, doctor: u128) -> (Option<Request>, New) {
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
    (request, scratch.unmade(1, doctor))
}

fn notes(text: &str) -> Changes {
    Changes { reason_for_visit: None, notes: Some(text.to_owned()) }
}

async fn there_is_one_assignment_in_force_per_patient_and_doctor(scratch: &Scratch) {
    let first = scratch.create(1, 1).await.ok().unwrap();
    assert!(matches!(error(scratch.create(1, 1).await), Error::AlreadyAssigned));
    scratch.create(1, 2).await.ok().unwrap();
    scratch.create(2, 1).await.ok().unwrap();
    scratch.end(first.id).await;
    scratch.create(1, 1).await.ok().unwrap();
    assert!(matches!(error(scratch.create(1, 1).await), Error::AlreadyAssigned));
    assert_eq!(scratch.count().await, 4);
}

async fn of_concurrent_creates_of_a_pair_one_is_made(scratch: &Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (db, origin) = (scratch.db.clone(), scratch.origin());
            let new = scratch.unmade(1, 1);
            // With and without a request id.
            let request = if n % 2 == 0 { None } else { request(scratch, n, 1).0 };
            tokio::spawn(async move { store::create(&db, &origin, request, &admin(), new).await })
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
            let (db, origin) = (scratch.db.clone(), scratch.origin());
            let (request, new) = request(scratch, 7, 1);
            tokio::spawn(async move { store::create(&db, &origin, request, &admin(), new).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().ok().unwrap().into_proto());
    }
    assert_eq!(scratch.count().await, 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let (request, new) = request(scratch, 7, 2);
    let reused = store::create(&scratch.db, &scratch.origin(), request, &admin(), new).await;
    assert!(matches!(error(reused), Error::RequestIdReused));
}

async fn a_request_sent_twice_shows_no_more_than_may_be_seen(scratch: &Scratch) {
    let make = async |scope: &Scope| {
        let (request, new) = request(scratch, 7, 1);
        store::create(&scratch.db, &scratch.origin(), request, scope, new).await
    };
    let made = make(&admin()).await.ok().unwrap();
    let owner = scope(OWNER + 1, Role::Staff);
    assert!(make(&owner).await.ok().unwrap().id == made.id);
    let other = scope(OWNER, Role::Staff);
    assert!(matches!(error(make(&other).await), Error::NotFound));
    let request = request(scratch, 7, 1).0.unwrap();
    let found = store::find_made_by(&scratch.db, &request, &other).await;
    assert!(matches!(error(found), Error::NotFound));
}

async fn a_refused_create_does_not_use_up_its_request_id(scratch: &Scratch) {
    let first = scratch.create(1, 1).await.ok().unwrap();
    let (again, new) = request(scratch, 7, 1);
    assert!(matches!(
        error(store::create(&scratch.db, &scratch.origin(), again, &admin(), new).await),
        Error::AlreadyAssigned
    ));
    scratch.end(first.id).await;
    let (again, new) = request(scratch, 7, 1);
    let made =
        store::create(&scratch.db, &scratch.origin(), again, &admin(), new).await.ok().unwrap();
    assert_ne!(made.id, first.id);
}

async fn who_may_not_see_an_assignment_does_not_find_it(scratch: &Scratch) {
    let id = scratch.create(3, 5).await.ok().unwrap().id;
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
        match store::get(&scratch.db, id, &scope(user, role)).await {
            Ok(row) => assert!(sees && row.id == id, "{user} {role:?}"),
            Err(error) => assert!(!sees && matches!(error, Error::NotFound), "{user} {role:?}"),
        }
    }
    let nobody = Scope::see(&Principal::Anonymous);
    assert!(matches!(error(store::get(&scratch.db, id, &nobody).await), Error::NotFound));
    let never = store::get(&scratch.db, Uuid::from_u128(9), &admin()).await;
    assert!(matches!(error(never), Error::NotFound));
}

async fn an_update_changes_what_it_names_and_the_etag(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    let (id, before) = (made.id, made.into_proto());
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    let scope = scope(OWNER, Role::Staff);
    let change = scratch.change(id, &scope, &before.etag);
    let after = change.update(&scratch.db, &notes("BP <120")).await.ok().unwrap().into_proto();
    assert_eq!((after.reason_for_visit.as_str(), after.notes.as_str()), ("Fever", "BP <120"));
    assert!(after.etag != before.etag && after.updated_at != before.updated_at);
    assert_eq!(after.created_at, before.created_at);
    let stale = scratch.change(id, &scope, &before.etag);
    for changes in [notes("lost"), Changes { reason_for_visit: None, notes: None }] {
        assert!(matches!(error(stale.update(&scratch.db, &changes).await), Error::Stale));
    }
    let mangled = scratch.change(id, &scope, "x");
    assert!(matches!(error(mangled.update(&scratch.db, &notes("lost")).await), Error::Stale));
    let read = store::get(&scratch.db, id, &scope).await.ok().unwrap().into_proto();
    assert_eq!(read, after);
}

async fn of_concurrent_updates_with_one_etag_one_wins(scratch: &Scratch) {
    let row = scratch.create(3, 5).await.ok().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (db, origin, etag) = (scratch.db.clone(), scratch.origin(), etag(row.version));
            let id = row.id;
            tokio::spawn(async move {
                let change =
                    Change { id, scope: &admin(), etag: &etag, about: About::default(), origin };
                change.update(&db, &notes(&n.to_string())).await
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, Error::Stale), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
}

async fn an_update_that_changes_nothing_writes_nothing(scratch: &Scratch) {
    let made = scratch.create(3, 5).await.ok().unwrap();
    let (id, before) = (made.id, made.into_proto());
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    for etag in ["", &before.etag] {
        for changes in [
            Changes { reason_for_visit: None, notes: None },
            Changes { reason_for_visit: Some("Fever".into()), notes: Some(String::new()) },
        ] {
            let change = scratch.change(id, &admin(), etag).update(&scratch.db, &changes).await;
            assert_eq!(change.ok().unwrap().into_proto(), before);
        }
    }
    let stale = scratch.change(id, &admin(), "v9").update(&scratch.db, &notes("")).await;
    assert!(matches!(error(stale), Error::Stale));
}

async fn an_ended_assignment_does_not_change(scratch: &Scratch) {
    let row = scratch.create(3, 5).await.ok().unwrap();
    let (before, ended) = (etag(row.version), scratch.end(row.id).await);
    for etag in ["", &before, &etag(ended.version)] {
        let refused = scratch.change(row.id, &admin(), etag).update(&scratch.db, &notes("x")).await;
        assert!(matches!(error(refused), Error::Ended), "{etag}");
    }
    let read = store::get(&scratch.db, row.id, &admin()).await.ok().unwrap();
    assert_eq!(read.into_proto(), ended.into_proto());
}

async fn ending_twice_is_ending_once(scratch: &Scratch) {
    let row = scratch.create(3, 5).await.ok().unwrap();
    let stale = scratch.change(row.id, &admin(), "v2").end(&scratch.db).await;
    assert!(matches!(error(stale), Error::Stale));
    let ended = scratch.change(row.id, &admin(), "v1").end(&scratch.db).await.ok().unwrap();
    let ended = ended.into_proto();
    assert_eq!(ended.status(), AssignmentStatus::Ended);
    assert_eq!((ended.ended_at, ended.etag.as_str()), (ended.updated_at, "v2"));
    scratch.clock.advance(chrono::TimeDelta::seconds(5));
    for etag in ["", "v2"] {
        let again = scratch.change(row.id, &admin(), etag).end(&scratch.db).await.ok().unwrap();
        assert_eq!(again.into_proto(), ended);
    }
    let stale = scratch.change(row.id, &admin(), "v1").end(&scratch.db).await;
    assert!(matches!(error(stale), Error::Stale));
}

async fn only_who_owns_the_patient_changes_an_assignment(scratch: &Scratch) {
    let Assignment { id, .. } = scratch.create(3, 5).await.ok().unwrap();
    for (user, role) in [
        (OWNER + 1, Role::Staff),
        (OWNER, Role::Doctor),
        (PATIENT_USER + 3, Role::Patient),
        (DOCTOR_USER + 5, Role::Doctor),
    ] {
        let scope = Scope::change(&account(user, &[role]));
        // Whatever the etag: a right one is no different from a wrong one.
        for etag in ["", "v1", "v9"] {
            let change = scratch.change(id, &scope, etag);
            let update = change.update(&scratch.db, &notes("x")).await;
            assert!(matches!(error(update), Error::NotFound), "{user} {role:?}");
            assert!(matches!(error(change.end(&scratch.db).await), Error::NotFound));
        }
    }
    let owner = Scope::change(&account(OWNER, &[Role::Staff]));
    scratch.change(id, &owner, "v1").end(&scratch.db).await.ok().unwrap();
}
