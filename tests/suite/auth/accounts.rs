//! Reading and updating accounts.

use chrono::TimeDelta;
use clinic_proto::auth::v1::{
    GetUserRequest, ReactivateUserRequest, SetUserRolesRequest, UpdateUserRequest, User,
};
use clinic_testkit::{Suite, failure, invalid_fields, mask, on_both, visible_error};
use tonic::Code;

fn rename(id: &str, name: &str, etag: &str) -> UpdateUserRequest {
    let user = User { name: name.to_owned(), etag: etag.to_owned(), ..User::default() };
    UpdateUserRequest { id: id.to_owned(), user: Some(user), update_mask: None }
}

on_both! {
    async fn an_account_is_visible_only_to_its_owner_and_administrators(suite: &Suite) {
        let (mine, other, admin) = (suite.staff().await, suite.staff().await, suite.admin().await);
        let request = GetUserRequest { id: mine.user.id.clone() };
        for account in [&mine, &admin] {
            let seen = account.clients.auth.clone().get_user(request.clone()).await.unwrap();
            assert_eq!(seen.into_inner(), mine.user);
        }
        let mut auth = other.clients.auth.clone();
        let foreign = visible_error(auth.get_user(request).await);
        let request = GetUserRequest { id: suite.clock.new_id().to_string() };
        let never = visible_error(auth.get_user(request.clone()).await);
        assert_eq!(foreign.0, Code::NotFound);
        assert_eq!(foreign, never);
        assert_eq!(visible_error(admin.clients.auth.clone().get_user(request).await), never);
    }

    async fn only_the_owner_and_administrators_may_rename_an_account(suite: &Suite) {
        let (mine, other, admin) = (suite.staff().await, suite.staff().await, suite.admin().await);
        let mut auth = mine.clients.auth.clone();
        suite.clock.advance(TimeDelta::seconds(1));
        let changed = auth.update_user(rename("me", " New Name ", "")).await.unwrap().into_inner();
        assert_eq!(changed.name, "New Name");
        assert_ne!(changed.etag, mine.user.etag);
        assert_ne!(changed.updated_at, mine.user.updated_at);
        assert_eq!(User { name: mine.user.name.clone(), etag: mine.user.etag.clone(),
            updated_at: mine.user.updated_at, ..changed.clone() }, mine.user);

        let by_admin = rename(&mine.user.id, "Given Name", &changed.etag);
        let changed = admin.clients.auth.clone().update_user(by_admin).await.unwrap().into_inner();
        assert_eq!(changed.name, "Given Name");

        let never = rename(&suite.clock.new_id().to_string(), "x", "");
        let not_found = visible_error(admin.clients.auth.clone().update_user(never.clone()).await);
        assert_eq!(not_found.0, Code::NotFound);
        for request in [never, rename(&mine.user.id, "x", ""), rename(&mine.user.id, "x", "v99")] {
            assert_eq!(visible_error(other.clients.auth.clone().update_user(request).await), not_found);
        }
    }

    async fn an_update_that_changes_nothing_writes_nothing(suite: &Suite) {
        let (account, admin) = (suite.staff().await, suite.admin().await);
        let (mut auth, mut users) = (account.clients.auth.clone(), admin.clients.users);
        suite.clock.advance(TimeDelta::minutes(1));
        let (id, roles) = (account.user.id.clone(), account.user.roles.clone());
        for etag in [String::new(), account.user.etag.clone()] {
            let spaced = format!(" {} ", account.user.name);
            let named = auth.update_user(rename("me", &spaced, etag.as_str())).await.unwrap();
            let id = || id.clone();
            let request = SetUserRolesRequest { id: id(), roles: roles.clone(), etag: etag.clone() };
            let given = users.set_user_roles(request).await.unwrap();
            let request = ReactivateUserRequest { id: id(), etag };
            let opened = users.reactivate_user(request).await.unwrap();
            for same in [named, given, opened] {
                assert_eq!(same.into_inner(), account.user);
            }
        }
        let stale = failure(auth.update_user(rename("me", &account.user.name, "v77")).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        let request = SetUserRolesRequest { id, roles, etag: "v77".into() };
        assert_eq!(failure(users.set_user_roles(request).await), stale);
    }

    async fn an_account_update_with_a_stale_etag_is_refused(suite: &Suite) {
        let account = suite.staff().await;
        let mut auth = account.clients.auth.clone();
        auth.update_user(rename("me", "First", &account.user.etag)).await.unwrap();
        for etag in [&*account.user.etag, "2", "v02", "x"] {
            let stale = failure(auth.update_user(rename("me", "Second", etag)).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
        let now = auth.get_user(GetUserRequest { id: "me".into() }).await.unwrap().into_inner();
        assert_eq!(now.name, "First");
    }

    async fn of_two_concurrent_account_updates_with_one_etag_one_wins(suite: &Suite) {
        let account = suite.staff().await;
        let (mut one, mut two) = (account.clients.auth.clone(), account.clients.auth.clone());
        let (one, two) = tokio::join!(
            one.update_user(rename("me", "One", &account.user.etag)),
            two.update_user(rename("me", "Two", &account.user.etag)),
        );
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        won.unwrap();
        assert_eq!(failure(lost).code, Code::Aborted);
    }

    async fn the_update_mask_selects_the_fields_that_change(suite: &Suite) {
        let mut auth = suite.staff().await.clients.auth;
        let with = |paths: &[&str], name: &str| UpdateUserRequest {
            update_mask: mask(paths),
            ..rename("me", name, "")
        };
        let changed = auth.update_user(with(&["name"], "By Mask")).await.unwrap().into_inner();
        assert_eq!(changed.name, "By Mask");
        let changed = auth.update_user(with(&["*"], "By Star")).await.unwrap().into_inner();
        assert_eq!(changed.name, "By Star");
        let nothing = auth.update_user(rename("me", "", "")).await.unwrap().into_inner();
        assert_eq!(nothing, changed);
        // Unknown and output-only paths, empty and malformed names, and malformed ids are refused.
        assert_eq!(invalid_fields(auth.update_user(with(&["nonsense"], "x")).await), ["update_mask"]);
        assert_eq!(invalid_fields(auth.update_user(with(&["roles"], "x")).await), ["update_mask"]);
        assert_eq!(invalid_fields(auth.update_user(with(&["name"], "")).await), ["user.name"]);
        assert_eq!(invalid_fields(auth.update_user(rename("me", "a\u{0}b", "")).await), ["user.name"]);
        assert_eq!(invalid_fields(auth.update_user(rename("you", "x", "")).await), ["id"]);
    }
}
