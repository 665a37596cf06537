//! Tests of signing in and of ended sessions.

use super::*;

on_both! {
    a_sign_in_depends_on_the_account_as_it_is_at_the_end
    sessions_that_ended_long_ago_are_deleted
}

async fn a_sign_in_depends_on_the_account_as_it_is_at_the_end(suite: &Suite) {
    let account = suite.register("a@example.com").await;
    let permit = suite.auth.hasher.admit(None, "a@example.com").unwrap();
    let other = permit.hash("another word 77".into()).await.unwrap();
    let same = permit.hash(PASSWORD.into()).await.unwrap();
    let changed = |sql| Query::new(sql).bind(id(&account.user));
    let renamed = "UPDATE users SET name = 'Other', version = version + 1 WHERE id = $1";
    let hashed = "UPDATE users SET password_hash = $2 WHERE id = $1";
    let closed = "UPDATE users SET active = false, version = version + 1 WHERE id = $1";
    let opened = "UPDATE users SET active = true, version = version + 1 WHERE id = $1";
    for (change, expected) in [
        (changed(renamed), Code::Ok),
        (changed(hashed).bind(same.clone()), Code::Ok),
        (changed(hashed).bind(other), Code::Unauthenticated),
        // The old password was already wrong. This restores it for the next case.
        (changed(hashed).bind(same), Code::Unauthenticated),
        (changed(closed), Code::Unauthenticated),
        (changed(opened), Code::Unauthenticated),
    ] {
        // A change that commits only after the password's hash was computed.
        let mut work = suite.auth.db.work(&Origin::operator(Clock::system().now())).await.unwrap();
        work.untracked(change).await.unwrap();
        let sign_in = suite.try_login("a@example.com", PASSWORD);
        let (response, ()) = tokio::join!(sign_in, async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            work.save().await.unwrap();
        });
        let response = match response {
            Ok((user, _)) => Ok(user),
            Err(error) => Err(status(error).code()),
        };
        assert_eq!(response.as_ref().err().copied().unwrap_or(Code::Ok), expected);
        if let Ok(user) = response {
            assert_eq!(user.unwrap().name, "Other");
        }
    }
    // Registration and the two successful sign-ins began one session each.
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 3);
}

async fn sessions_that_ended_long_ago_are_deleted(suite: &Suite) {
    let old = suite.register("a@example.com").await;
    suite.refresh(&old.tokens.refresh).await.unwrap();
    suite.advance(31 * 24 * 60 * 60);
    let young = suite.login("a@example.com").await;
    let young = suite.refresh(&young.tokens.refresh).await.unwrap();
    suite.advance(6 * 24 * 60 * 60 + 23 * 60 * 60);
    crate::sessions::delete_old(&suite.auth.db, &suite.clock).await.unwrap();
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 1);
    assert_eq!(suite.count("SELECT COUNT(*) FROM used_refresh_tokens").await, 1);
    assert!(suite.refresh(&young.refresh).await.is_ok());
}
