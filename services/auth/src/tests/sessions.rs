//! Tests of signing in, listing sessions and ending them.

use clinic_proto::auth::v1::{
    ListSessionsRequest, LoginRequest, LogoutRequest, RevokeSessionRequest, Session,
};

use super::*;

on_both! {
    an_account_signs_in_by_address_or_username_whatever_the_case
    wrong_password_unknown_account_and_closed_account_get_the_same_answer
    a_username_is_never_taken_for_an_address
    a_sign_in_goes_by_what_the_account_is_at_its_end
    logging_out_ends_one_session
    logging_out_without_any_token_is_refused
    sessions_are_listed_newest_first_in_pages
    only_own_sessions_can_be_seen_and_ended
    what_ended_long_ago_is_forgotten
}

async fn list(suite: &Suite, caller: &Principal) -> Vec<Session> {
    let request = ListSessionsRequest::default();
    suite.auth.list_sessions(&suite.call(caller), request).await.unwrap().sessions
}

async fn an_account_signs_in_by_address_or_username_whatever_the_case(suite: Suite) {
    let request =
        RegisterRequest { username: "Mueller".to_owned(), ..registration("A@example.com") };
    suite.auth.register(&suite.nobody(), request).await.unwrap();
    for login in ["a@EXAMPLE.com", " A@example.com ", "Mueller", "mueller"] {
        assert!(suite.try_login(login, PASSWORD).await.is_ok(), "{login}");
    }
    let request = LoginRequest {
        email: "a@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        ..LoginRequest::default()
    };
    assert!(suite.auth.login(&suite.nobody(), request).await.is_ok());
}

async fn wrong_password_unknown_account_and_closed_account_get_the_same_answer(suite: Suite) {
    let account = suite.register("a@example.com").await;
    let wrong = seen(suite.try_login("a@example.com", "testpass124").await.unwrap_err());
    let unknown = seen(suite.try_login("b@example.com", PASSWORD).await.unwrap_err());
    let unknown_name = seen(suite.try_login("nobody", PASSWORD).await.unwrap_err());
    let close = Query::new("UPDATE users SET active = false WHERE id = $1").bind(id(&account.user));
    suite.auth.db.untracked().execute(close).await.unwrap();
    let closed = seen(suite.try_login("a@example.com", PASSWORD).await.unwrap_err());
    assert_eq!(wrong.0, Code::Unauthenticated);
    for other in [unknown, unknown_name, closed] {
        assert_eq!(other, wrong);
    }
}

async fn a_username_is_never_taken_for_an_address(suite: Suite) {
    let request = LoginRequest {
        email: "mueller".to_owned(),
        password: PASSWORD.to_owned(),
        ..LoginRequest::default()
    };
    let error = suite.auth.login(&suite.nobody(), request).await.err().unwrap();
    assert_eq!(fields(error), ["email"]);
}

async fn a_sign_in_goes_by_what_the_account_is_at_its_end(suite: Suite) {
    let account = suite.register("a@example.com").await;
    let place = suite.auth.hasher.admit(None, "a@example.com").unwrap();
    let other = place.hash("another word 77".into()).await.unwrap();
    let same = place.hash(PASSWORD.into()).await.unwrap();
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
        let (answer, ()) = tokio::join!(sign_in, async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            work.save().await.unwrap();
        });
        let answer = match answer {
            Ok((user, _)) => Ok(user),
            Err(error) => Err(status(error).code()),
        };
        assert_eq!(answer.as_ref().err().copied().unwrap_or(Code::Ok), expected);
        if let Ok(user) = answer {
            assert_eq!(user.unwrap().name, "Other");
        }
    }
    // Registration and the two successful sign-ins began one session each.
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 3);
}

async fn logging_out_ends_one_session(suite: Suite) {
    let first = suite.register("a@example.com").await;
    let second = suite.login("a@example.com").await;
    let third = suite.login("a@example.com").await;
    let by_refresh = LogoutRequest { refresh: first.tokens.refresh.clone() };
    suite.auth.logout(&suite.nobody(), by_refresh.clone()).await.unwrap();
    suite.auth.logout(&suite.nobody(), by_refresh).await.unwrap();
    suite.auth.logout(&suite.call(&second.caller), LogoutRequest::default()).await.unwrap();
    for ended in [&first, &second] {
        assert_eq!(code(suite.refresh(&ended.tokens.refresh).await), Code::Unauthenticated);
    }
    for unknown in ["x", &crate::tokens::RefreshToken::generate().text()] {
        let request = LogoutRequest { refresh: unknown.to_owned() };
        suite.auth.logout(&suite.call(&third.caller), request).await.unwrap();
    }
    assert!(suite.refresh(&third.tokens.refresh).await.is_ok());
}

async fn logging_out_without_any_token_is_refused(suite: Suite) {
    let answer = suite.auth.logout(&suite.nobody(), LogoutRequest::default()).await;
    assert_eq!(code(answer), Code::Unauthenticated);
}

async fn sessions_are_listed_newest_first_in_pages(suite: Suite) {
    let first = suite.register("a@example.com").await;
    let mut expected = vec![first.caller.session_id().unwrap().to_string()];
    for _ in 0..4 {
        suite.advance(1);
        let account = suite.login("a@example.com").await;
        expected.insert(0, account.caller.session_id().unwrap().to_string());
    }
    let mut request = ListSessionsRequest { page_size: 2, page_token: String::new() };
    let mut found = Vec::new();
    loop {
        let page =
            suite.auth.list_sessions(&suite.call(&first.caller), request.clone()).await.unwrap();
        assert!(page.sessions.len() <= 2);
        found.extend(page.sessions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(found.iter().map(|session| session.id.clone()).collect::<Vec<_>>(), expected);
    let current: Vec<_> = found.iter().map(|session| session.current).collect();
    assert_eq!(current, [false, false, false, false, true]);
    assert_eq!(found[0].client_ip, "192.0.2.7");
    // A page token belongs to one caller's list.
    let other = suite.register("b@example.com").await;
    let answer = suite.auth.list_sessions(&suite.call(&other.caller), request).await;
    assert_eq!(code(answer), Code::InvalidArgument);
}

async fn only_own_sessions_can_be_seen_and_ended(suite: Suite) {
    let (mine, other) =
        (suite.register("a@example.com").await, suite.register("b@example.com").await);
    let revoke = async |id: String| {
        suite.auth.revoke_session(&suite.call(&mine.caller), RevokeSessionRequest { id }).await
    };
    let theirs = other.caller.session_id().unwrap().to_string();
    let never = suite.clock.new_id().to_string();
    let (theirs, never) = (revoke(theirs).await.unwrap_err(), revoke(never).await.unwrap_err());
    let theirs = seen(theirs);
    assert_eq!((theirs.0, &theirs), (Code::NotFound, &seen(never)));
    assert_eq!(list(&suite, &mine.caller).await.len(), 1);
    let own = mine.caller.session_id().unwrap().to_string();
    let ended = revoke(own.clone()).await.unwrap();
    assert!(ended.revoked_at.is_some() && ended.current);
    suite.advance(1);
    assert_eq!(revoke(own).await.unwrap(), ended);
    assert!(list(&suite, &mine.caller).await.is_empty());
    assert_eq!(code(suite.refresh(&mine.tokens.refresh).await), Code::Unauthenticated);
    assert!(suite.refresh(&other.tokens.refresh).await.is_ok());
}

async fn what_ended_long_ago_is_forgotten(suite: Suite) {
    let old = suite.register("a@example.com").await;
    suite.refresh(&old.tokens.refresh).await.unwrap();
    suite.advance(31 * 24 * 60 * 60);
    let young = suite.login("a@example.com").await;
    let young = suite.refresh(&young.tokens.refresh).await.unwrap();
    suite.advance(6 * 24 * 60 * 60 + 23 * 60 * 60);
    crate::sessions::forget(&suite.auth.db, &suite.clock).await.unwrap();
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 1);
    assert_eq!(suite.count("SELECT COUNT(*) FROM used_refresh_tokens").await, 1);
    assert!(suite.refresh(&young.refresh).await.is_ok());
}
