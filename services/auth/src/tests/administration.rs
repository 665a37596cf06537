//! Tests of the operations of administrators on accounts.

use clinic_proto::auth::v1::{
    DeactivateUserRequest, ListUsersRequest, ReactivateUserRequest, SetUserRolesRequest,
};

use super::*;

on_both! {
    accounts_are_listed_in_the_order_in_which_they_were_made
    roles_are_replaced
    the_last_administrator_stays
    of_two_administrators_that_remove_each_other_one_stays
    a_closed_account_is_out_until_it_is_opened_again
    stale_etags_and_unknown_accounts_change_nothing
    the_planner_uses_the_index_of_administrators
}

async fn set_roles(
    suite: &Suite,
    caller: &Principal,
    id: &str,
    roles: &[Role],
    etag: &str,
) -> Result<User, Error> {
    let roles = roles.iter().copied().map(i32::from).collect();
    let request = SetUserRolesRequest { id: id.to_owned(), roles, etag: etag.to_owned() };
    suite.auth.set_user_roles(&suite.call(caller), request).await.map(Into::into)
}

async fn deactivate(
    suite: &Suite,
    caller: &Principal,
    id: &str,
    etag: &str,
) -> Result<User, Error> {
    let request = DeactivateUserRequest { id: id.to_owned(), etag: etag.to_owned() };
    suite.auth.deactivate_user(&suite.call(caller), request).await.map(Into::into)
}

async fn reactivate(suite: &Suite, caller: &Principal, id: &str) -> Result<User, Error> {
    let request = ReactivateUserRequest { id: id.to_owned(), etag: String::new() };
    suite.auth.reactivate_user(&suite.call(caller), request).await.map(Into::into)
}

fn is_last_admin(error: &Error) -> bool {
    matches!(error, Error::LastAdmin)
}

async fn accounts_are_listed_in_the_order_in_which_they_were_made(suite: Suite) {
    let admin = suite.admin("admin@example.com").await;
    suite.advance(1);
    let mut expected = vec![admin.user.clone()];
    for n in 0..4 {
        expected.push(suite.register(&format!("u{n}@example.com")).await.user);
        suite.advance(1);
    }
    let mut request =
        ListUsersRequest { page_size: 2, include_total_size: true, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page =
            suite.auth.list_users(&suite.call(&admin.caller), request.clone()).await.unwrap();
        assert_eq!(page.total_size, Some(5));
        found.extend(page.users);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(found, expected);
    let all = suite
        .auth
        .list_users(&suite.call(&admin.caller), ListUsersRequest::default())
        .await
        .unwrap();
    assert_eq!((all.users.len(), all.total_size), (5, None));
    let mangled = ListUsersRequest { page_token: "x".to_owned(), ..Default::default() };
    assert_eq!(
        code(suite.auth.list_users(&suite.call(&admin.caller), mangled).await),
        Code::InvalidArgument
    );
}

async fn roles_are_replaced(suite: Suite) {
    let (admin, account) =
        (suite.admin("admin@example.com").await, suite.register("a@example.com").await);
    let roles = [Role::Admin, Role::Doctor];
    let updated = set_roles(&suite, &admin.caller, &account.user.id, &roles, "v1").await.unwrap();
    assert_eq!(updated.roles, [i32::from(Role::Admin), i32::from(Role::Doctor)]);
    assert_eq!(updated.etag, "v2");
    // The same again changes nothing, not even the etag.
    let again = set_roles(&suite, &admin.caller, &account.user.id, &roles, "v2").await.unwrap();
    assert_eq!(again, updated);
    // No account can have SERVICE, even if the contract accepted it.
    let roles = [Role::Service, Role::Staff];
    let updated = set_roles(&suite, &admin.caller, &account.user.id, &roles, "").await.unwrap();
    assert_eq!(updated.roles, [i32::from(Role::Staff)]);
}

async fn the_last_administrator_stays(suite: Suite) {
    let admin = suite.admin("admin@example.com").await;
    suite.register("a@example.com").await;
    let removed = set_roles(&suite, &admin.caller, "me", &[Role::Staff], "").await;
    assert!(is_last_admin(&removed.unwrap_err()));
    assert!(is_last_admin(&deactivate(&suite, &admin.caller, "me", "").await.unwrap_err()));
    let both = [Role::Admin, Role::Staff];
    assert!(set_roles(&suite, &admin.caller, "me", &both, "").await.is_ok());
    // A closed account does not count.
    let second = suite.admin("second@example.com").await;
    deactivate(&suite, &admin.caller, &second.user.id, "").await.unwrap();
    assert!(is_last_admin(&deactivate(&suite, &admin.caller, "me", "").await.unwrap_err()));
    assert!(set_roles(&suite, &admin.caller, &second.user.id, &[Role::Staff], "").await.is_ok());
    assert!(suite.refresh(&admin.tokens.refresh).await.is_ok());
}

async fn of_two_administrators_that_remove_each_other_one_stays(suite: Suite) {
    for deactivating in [false, true] {
        let one = suite.admin(&format!("one{deactivating}@example.com")).await;
        let two = suite.admin(&format!("two{deactivating}@example.com")).await;
        let remove = async |by: &Account, other: &Account| match deactivating {
            false => set_roles(&suite, &by.caller, &other.user.id, &[Role::Staff], "").await,
            true => deactivate(&suite, &by.caller, &other.user.id, "").await,
        };
        let (first, second) = tokio::join!(remove(&one, &two), remove(&two, &one));
        assert_eq!([&first, &second].iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(code(first.and(second)), Code::PermissionDenied);
        let clear = Query::new("UPDATE users SET roles = 4");
        suite.auth.db.untracked().execute(clear).await.unwrap();
    }
}

async fn a_closed_account_is_out_until_it_is_opened_again(suite: Suite) {
    let (admin, account) =
        (suite.admin("admin@example.com").await, suite.register("a@example.com").await);
    let closed = deactivate(&suite, &admin.caller, &account.user.id, "v1").await.unwrap();
    assert!(!closed.active);
    assert_eq!(deactivate(&suite, &admin.caller, &account.user.id, "").await.unwrap(), closed);
    assert_eq!(code(suite.try_login("a@example.com", PASSWORD).await), Code::Unauthenticated);
    let opened = reactivate(&suite, &admin.caller, &account.user.id).await.unwrap();
    assert!(opened.active);
    // Opening the account again does not restore its sessions.
    assert_eq!(code(suite.refresh(&account.tokens.refresh).await), Code::Unauthenticated);
    assert!(suite.try_login("a@example.com", PASSWORD).await.is_ok());
}

async fn stale_etags_and_unknown_accounts_change_nothing(suite: Suite) {
    let (admin, account) =
        (suite.admin("admin@example.com").await, suite.register("a@example.com").await);
    let stale = set_roles(&suite, &admin.caller, &account.user.id, &[Role::Admin], "7").await;
    assert_eq!(code(stale), Code::Aborted);
    let stale = deactivate(&suite, &admin.caller, &account.user.id, "v7").await;
    assert_eq!(code(stale), Code::Aborted);
    let never = suite.clock.new_id().to_string();
    assert_eq!(code(deactivate(&suite, &admin.caller, &never, "").await), Code::NotFound);
    assert_eq!(code(reactivate(&suite, &admin.caller, &never).await), Code::NotFound);
    assert!(suite.refresh(&account.tokens.refresh).await.is_ok());
}

async fn the_planner_uses_the_index_of_administrators(suite: Suite) {
    suite
        .plans_with(
            "EXPLAIN QUERY PLAN SELECT id FROM users WHERE active AND (roles & 2) <> 0 LIMIT 1",
            "users_admins_idx",
        )
        .await;
}
