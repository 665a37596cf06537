//! Tests of changing and rehashing passwords.

use clinic_proto::auth::v1::ChangePasswordRequest;

use futures::future::join_all;

use super::*;

on_both! {
    a_sign_in_replaces_a_hash_with_outdated_parameters
    of_two_changes_at_once_one_wins
    an_ip_address_with_too_many_concurrent_calls_is_refused_before_hashing
}

const NEW: &str = "securepassword123";

async fn change(suite: &Suite, caller: &Principal, current: &str, new: &str) -> Result<(), Error> {
    change_by(suite, &suite.call(caller), current, new).await
}

async fn change_by(suite: &Suite, ctx: &Context, current: &str, new: &str) -> Result<(), Error> {
    let request = ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: new.to_owned(),
    };
    suite.auth.change_password(ctx, request).await.map(drop)
}

async fn a_sign_in_replaces_a_hash_with_outdated_parameters(suite: &Suite) {
    use argon2::password_hash::PasswordHasher as _;
    let account = suite.register("a@example.com").await;
    let params = argon2::Params::new(8 * 1024, 1, 1, None).unwrap();
    let old = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_with_salt(PASSWORD.as_bytes(), &[1; 16])
        .unwrap()
        .to_string();
    let query = Query::new("UPDATE users SET password_hash = $1").bind(old);
    suite.auth.db.untracked().execute(query).await.unwrap();
    // Concurrent sign-ins all succeed.
    let all = (0..4).map(|_| suite.login("a@example.com"));
    assert!(join_all(all).await.iter().all(|signed_in| signed_in.user == account.user));
    let query = Query::new("SELECT password_hash FROM users");
    let (now,): (String,) = suite.auth.db.fetch_one(query).await.unwrap();
    assert!(now.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{now}");
    assert!(suite.try_login("a@example.com", PASSWORD).await.is_ok());
}

async fn of_two_changes_at_once_one_wins(suite: &Suite) {
    let account = suite.register("a@example.com").await;
    let (one, two) = tokio::join!(
        change(suite, &account.caller, PASSWORD, NEW),
        change(suite, &account.caller, PASSWORD, "another word 77"),
    );
    let mut codes = [code(one), code(two)];
    codes.sort_by_key(|code| *code as i32);
    assert!(matches!(codes, [Code::Ok, Code::Aborted] | [Code::Ok, Code::InvalidArgument]));
}

async fn an_ip_address_with_too_many_concurrent_calls_is_refused_before_hashing(suite: &Suite) {
    let account = suite.register("a@example.com").await;
    let here = suite.nobody().client_ip();
    // As many as one address may have.
    let held: Vec<_> =
        (0..64).map(|n| suite.auth.hasher.admit(here, &n.to_string()).unwrap()).collect();
    let known = suite.try_login("a@example.com", PASSWORD).await.err().unwrap();
    let unknown = suite.try_login("b@example.com", PASSWORD).await.err().unwrap();
    let refusal = seen(known);
    assert_eq!(refusal.0, Code::ResourceExhausted);
    assert_eq!(seen(unknown), refusal);
    let register = async |email: &str, ctx: &Context| {
        suite.auth.register(ctx, registration(email)).await.err().map(seen)
    };
    assert_eq!(register("a@example.com", &suite.nobody()).await, Some(refusal.clone()));
    assert_eq!(register("b@example.com", &suite.nobody()).await, Some(refusal.clone()));
    let refused = change(suite, &account.caller, PASSWORD, NEW).await.err().unwrap();
    assert_eq!(seen(refused), refusal);

    let elsewhere = |principal| suite.call_from([192, 0, 2, 8], principal);
    assert_eq!(register("b@example.com", &elsewhere(&Principal::Anonymous)).await, None);
    change_by(suite, &elsewhere(&account.caller), PASSWORD, NEW).await.unwrap();
    drop(held);
    suite.try_login("a@example.com", NEW).await.unwrap();
}
