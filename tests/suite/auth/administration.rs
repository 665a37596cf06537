//! UserAdminService: roles, deactivation, and the list of accounts.

use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{
    ChangePasswordRequest, DeactivateUserRequest, GetUserRequest, ListUsersRequest,
    ReactivateUserRequest, SetUserRolesRequest, UpdateUserRequest, User,
};
use clinic_testkit::{Account, PASSWORD, Suite, failure, invalid_fields, on_both};
use tonic::Code;

use super::{login, refresh};

fn roles(account: &Account, roles: &[Role]) -> SetUserRolesRequest {
    SetUserRolesRequest {
        id: account.user.id.clone(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..Default::default()
    }
}

fn deactivate(account: &Account) -> DeactivateUserRequest {
    DeactivateUserRequest { id: account.user.id.clone(), ..Default::default() }
}

fn get(account: &Account) -> GetUserRequest {
    GetUserRequest { id: account.user.id.clone() }
}

fn rename(account: &Account) -> UpdateUserRequest {
    let user = Some(User { name: "Somebody Else".into(), ..Default::default() });
    UpdateUserRequest { id: account.user.id.clone(), user, update_mask: None }
}

async fn second_admin(suite: &Suite) -> Account {
    let account = suite.staff().await;
    suite.give_roles(&account, &[Role::Admin]).await
}

on_both! {
    async fn new_roles_take_effect_at_the_next_refresh(suite: &Suite) {
        let account = suite.staff().await;
        let mut users = account.clients.users.clone();
        let list = ListUsersRequest::default();
        assert_eq!(failure(users.list_users(list.clone()).await).reason, "ROLE_REQUIRED");

        let admin = suite.admin().await;
        let wanted = roles(&account, &[Role::Staff, Role::Admin]);
        let changed = admin.clients.users.clone().set_user_roles(wanted).await.unwrap().into_inner();
        assert_eq!(changed.roles, [Role::Admin, Role::Staff].map(i32::from));
        assert_ne!(changed.etag, account.user.etag);
        let tokens = refresh(suite, &account.tokens.refresh).await.unwrap();
        suite.with_token(&tokens.access).users.list_users(list).await.unwrap();
    }

    async fn roles_that_no_account_can_have_are_refused(suite: &Suite) {
        let account = suite.staff().await;
        let mut users = suite.admin().await.clients.users;
        for bad in [&[][..], &[Role::Service], &[Role::Unspecified], &[Role::Staff, Role::Staff]] {
            let named = invalid_fields(users.set_user_roles(roles(&account, bad)).await);
            assert!(named[0].starts_with("roles"), "{named:?}");
        }
    }

    async fn the_last_active_administrator_cannot_be_removed(suite: &Suite) {
        let admin = suite.admin().await;
        let mut users = admin.clients.users.clone();
        let demoted = failure(users.set_user_roles(roles(&admin, &[Role::Staff])).await);
        assert_eq!((demoted.code, demoted.reason.as_str()), (Code::FailedPrecondition, "LAST_ADMIN"));
        let myself = DeactivateUserRequest { id: "me".into(), ..Default::default() };
        assert_eq!(failure(users.deactivate_user(myself).await), demoted);

        // With a second administrator the first can go. Then the second is the last, because a
        // deactivated administrator does not count.
        let second = second_admin(suite).await;
        users.deactivate_user(deactivate(&admin)).await.unwrap();
        let mut users = second.clients.users.clone();
        assert_eq!(failure(users.deactivate_user(deactivate(&second)).await), demoted);
        users.set_user_roles(roles(&second, &[Role::Admin, Role::Staff])).await.unwrap();
        users.set_user_roles(roles(&admin, &[Role::Staff])).await.unwrap();
    }

    async fn of_two_administrators_who_remove_each_other_at_once_one_remains(suite: &Suite) {
        let (one, two) = (suite.admin().await, second_admin(suite).await);
        let (mut by_one, mut by_two) = (one.clients.users.clone(), two.clients.users.clone());
        let (first, second) = tokio::join!(
            by_one.deactivate_user(deactivate(&two)),
            by_two.set_user_roles(roles(&one, &[Role::Staff])),
        );
        assert_ne!(first.is_ok(), second.is_ok(), "exactly one must fail");
        let refused = if first.is_ok() { failure(second) } else { failure(first) };
        assert_eq!(refused.reason, "ROLE_REQUIRED");
    }

    async fn an_old_access_token_of_a_former_administrator_has_no_admin_rights(suite: &Suite) {
        let mut users = suite.admin().await.clients.users;
        for deactivates in [false, true] {
            let former = second_admin(suite).await;
            let changed = match deactivates {
                false => users.set_user_roles(roles(&former, &[Role::Staff])).await,
                true => users.deactivate_user(deactivate(&former)).await,
            };
            let changed = changed.unwrap().into_inner();
            let victim = suite.staff().await;
            let id = former.user.id.clone();
            let reopen = ReactivateUserRequest { id: id.clone(), ..Default::default() };
            let mut old = former.clients.users.clone();
            for refused in [
                failure(old.set_user_roles(roles(&former, &[Role::Admin])).await),
                failure(old.set_user_roles(roles(&victim, &[Role::Admin])).await),
                failure(old.reactivate_user(reopen).await),
                failure(old.deactivate_user(deactivate(&victim)).await),
                failure(old.list_users(ListUsersRequest::default()).await),
            ] {
                assert_eq!(refused.code, Code::PermissionDenied);
                assert_eq!(refused.reason, "ROLE_REQUIRED");
            }
            // AuthService does not let them read or rename other accounts either.
            let code = if deactivates { Code::Unauthenticated } else { Code::NotFound };
            let mut auth = former.clients.auth.clone();
            assert_eq!(failure(auth.get_user(get(&victim)).await).code, code);
            assert_eq!(failure(auth.update_user(rename(&victim)).await).code, code);
            // Neither account has changed.
            let admin = suite.admin().await.clients.auth;
            for (account, expected) in [(&former, &changed), (&victim, &victim.user)] {
                assert_eq!(admin.clone().get_user(get(account)).await.unwrap().get_ref(), expected);
            }
        }
    }

    async fn an_old_access_token_of_a_deactivated_account_is_refused(suite: &Suite) {
        let account = suite.staff().await;
        let mut admin = suite.admin().await.clients;
        let deactivated = admin.users.deactivate_user(deactivate(&account)).await.unwrap().into_inner();
        let password = ChangePasswordRequest {
            current_password: PASSWORD.into(),
            new_password: "another-word-77".into(),
        };
        let mut auth = account.clients.auth.clone();
        for refused in [
            failure(auth.get_user(get(&account)).await),
            failure(auth.update_user(rename(&account)).await),
            failure(auth.change_password(password).await),
        ] {
            assert_eq!(refused.code, Code::Unauthenticated);
            assert_eq!(refused.reason, "INVALID_TOKEN");
        }
        assert_eq!(admin.auth.get_user(get(&account)).await.unwrap().into_inner(), deactivated);
        let reopen = ReactivateUserRequest { id: deactivated.id, ..Default::default() };
        admin.users.reactivate_user(reopen).await.unwrap();
        login(suite, &account.user.email, PASSWORD).await.unwrap();
    }

    async fn a_deactivated_account_cannot_sign_in_until_reactivated(suite: &Suite) {
        let account = suite.staff().await;
        let mut users = suite.admin().await.clients.users;
        let deactivated = users.deactivate_user(deactivate(&account)).await.unwrap().into_inner();
        assert!(!deactivated.active);
        let again = users.deactivate_user(deactivate(&account)).await.unwrap().into_inner();
        assert_eq!(again, deactivated);
        assert!(refresh(suite, &account.tokens.refresh).await.is_err());
        assert!(login(suite, &account.user.email, PASSWORD).await.is_err());

        let request = ReactivateUserRequest { id: account.user.id.clone(), ..Default::default() };
        assert!(users.reactivate_user(request).await.unwrap().into_inner().active);
        let again = login(suite, &account.user.email, PASSWORD).await.unwrap();
        refresh(suite, &again.tokens.refresh).await.unwrap();
        // Sessions from before the deactivation stay ended.
        assert!(refresh(suite, &account.tokens.refresh).await.is_err());
    }

    async fn administrative_changes_with_a_stale_etag_are_refused(suite: &Suite) {
        let account = suite.staff().await;
        let mut users = suite.admin().await.clients.users;
        let etag = account.user.etag.clone();
        let request = SetUserRolesRequest { etag: etag.clone(), ..roles(&account, &[Role::Doctor]) };
        users.set_user_roles(request.clone()).await.unwrap();
        let again = SetUserRolesRequest { etag: etag.clone(), ..roles(&account, &[Role::Staff]) };
        assert_eq!(failure(users.set_user_roles(again).await).reason, "STALE_ETAG");
        let request = DeactivateUserRequest { etag: etag.clone(), ..deactivate(&account) };
        assert_eq!(failure(users.deactivate_user(request).await).reason, "STALE_ETAG");
        let request = ReactivateUserRequest { id: account.user.id.clone(), etag };
        assert_eq!(failure(users.reactivate_user(request).await).reason, "STALE_ETAG");
    }

    async fn administrative_changes_of_an_unknown_account_are_not_found(suite: &Suite) {
        let mut users = suite.admin().await.clients.users;
        let id = suite.clock.new_id().to_string();
        let (roles, etag) = (vec![Role::Staff.into()], String::new());
        for refused in [
            failure(users.set_user_roles(SetUserRolesRequest { id: id.clone(), roles, etag: etag.clone() }).await),
            failure(users.deactivate_user(DeactivateUserRequest { id: id.clone(), etag: etag.clone() }).await),
            failure(users.reactivate_user(ReactivateUserRequest { id, etag }).await),
        ] {
            assert_eq!(refused.code, Code::NotFound);
        }
    }

    async fn accounts_are_listed_page_by_page_in_order_of_creation(suite: &Suite) {
        let mut made = vec![suite.admin().await.user.id];
        for _ in 0..4 {
            made.push(suite.staff().await.user.id);
        }
        let mut users = suite.admin().await.clients.users;
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListUsersRequest { page_size: 2, page_token, include_total_size: true };
            let page = users.list_users(request).await.unwrap().into_inner();
            assert_eq!(page.total_size, Some(5));
            assert!(page.users.len() <= 2);
            seen.extend(page.users.into_iter().map(|user| user.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, made);
        let bad = ListUsersRequest { page_size: 501, ..Default::default() };
        assert_eq!(invalid_fields(users.list_users(bad).await), ["page_size"]);
        let bad = ListUsersRequest { page_token: "nonsense".into(), ..Default::default() };
        assert_eq!(failure(users.list_users(bad).await).reason, "INVALID_PAGE_TOKEN");
    }
}
