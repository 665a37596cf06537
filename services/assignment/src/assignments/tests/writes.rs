//! Tests of creating assignments with request ids.

use super::*;

on_both! {
    a_retry_shows_only_what_the_caller_may_see
    a_refused_create_does_not_use_up_its_request_id
}

fn request() -> Option<Request> {
    let id = Uuid::from_u128(7).to_string();
    Request::of(Uuid::from_u128(OWNER), "CreateAssignment", &id, b"content")
}

async fn a_retry_shows_only_what_the_caller_may_see(scratch: &Scratch) {
    let make = async |by: &Principal| scratch.make(by, scratch.unmade(1, 1, request())).await;
    let made = make(&admin()).await.ok().unwrap();
    let owner = account(OWNER + 1, &[Role::Staff]);
    assert!(make(&owner).await.ok().unwrap().id == made.id);
    let other = account(OWNER, &[Role::Staff]);
    assert!(is_not_found(make(&other).await));
    let request = request().unwrap();
    let found = write::find_made::<Assignment>(&scratch.db, &request, &scope(&other)).await;
    assert!(matches!(found.err(), Some(ResourceError::NotFound)));
}

async fn a_refused_create_does_not_use_up_its_request_id(scratch: &Scratch) {
    let first = scratch.create(1, 1).await.ok().unwrap();
    let again = scratch.make(&admin(), scratch.unmade(1, 1, request())).await;
    assert!(matches!(error(again), Error::AlreadyAssigned));
    scratch.end(&first.id).await.ok().unwrap();
    let made = scratch.make(&admin(), scratch.unmade(1, 1, request())).await.ok().unwrap();
    assert_ne!(made.id, first.id);
}
