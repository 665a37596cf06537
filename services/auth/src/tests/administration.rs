//! Tests of administrators.

use clinic_proto::auth::v1::{DeactivateUserRequest, SetUserRolesRequest};

use super::*;

on_both! {
    operators_make_administrators
    no_account_gets_the_role_service
    of_two_administrators_who_remove_each_other_one_remains
    the_planner_uses_the_index_of_administrators
}

async fn set_roles(
    suite: &Suite,
    by: &Account,
    of: &Account,
    roles: &[Role],
) -> Result<User, Error> {
    let roles = roles.iter().copied().map(i32::from).collect();
    let request = SetUserRolesRequest { id: of.user.id.clone(), roles, etag: String::new() };
    suite.auth.set_user_roles(&suite.call(&by.caller), request).await.map(Into::into)
}

async fn operators_make_administrators(suite: &Suite) {
    let db = &suite.auth.db;
    assert!(!crate::admins_exist(db).await.unwrap());
    let admin = suite.admin("admin@clinic.local").await;
    assert!(admin.caller.has(Role::Admin) && admin.user.email_verified);
    assert!(crate::admins_exist(db).await.unwrap());
    let make = async |email: &str, password: &str| {
        let password = SecretString::from(password.to_owned());
        let made = crate::create_admin(db, &suite.clock, email, "Root", &password).await;
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(make("ADMIN@clinic.local", PASSWORD).await.contains("already exists"));
    assert!(make("no address", "12345678").await.contains("the email must"));
    assert!(make("root@clinic.local", "12345678").await.contains("the password must not be"));
}

/// The contract refuses SERVICE too, so such a request does not reach the handler.
async fn no_account_gets_the_role_service(suite: &Suite) {
    let admin = suite.admin("admin@example.com").await;
    let account = suite.register("a@example.com").await;
    let roles = [Role::Service, Role::Staff];
    let updated = set_roles(suite, &admin, &account, &roles).await.unwrap();
    assert_eq!(updated.roles, [i32::from(Role::Staff)]);
}

async fn of_two_administrators_who_remove_each_other_one_remains(suite: &Suite) {
    for deactivating in [false, true] {
        let one = suite.admin(&format!("one{deactivating}@example.com")).await;
        let two = suite.admin(&format!("two{deactivating}@example.com")).await;
        let remove = async |by: &Account, other: &Account| match deactivating {
            false => set_roles(suite, by, other, &[Role::Staff]).await,
            true => {
                let (id, etag) = (other.user.id.clone(), String::new());
                let request = DeactivateUserRequest { id, etag };
                let call = suite.call(&by.caller);
                suite.auth.deactivate_user(&call, request).await.map(Into::into)
            }
        };
        let (first, second) = tokio::join!(remove(&one, &two), remove(&two, &one));
        assert_eq!([&first, &second].iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(code(first.and(second)), Code::PermissionDenied);
        let clear = Query::new("UPDATE users SET roles = 4");
        suite.auth.db.untracked().execute(clear).await.unwrap();
    }
}

async fn the_planner_uses_the_index_of_administrators(suite: &Suite) {
    suite
        .plans_with(
            "EXPLAIN QUERY PLAN SELECT id FROM users WHERE active AND (roles & 2) <> 0 LIMIT 1",
            "users_admins_idx",
        )
        .await;
}
