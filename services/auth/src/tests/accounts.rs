//! Tests of reading and changing accounts.

use clinic_proto::auth::v1::{GetUserRequest, UpdateUserRequest};
use prost_types::FieldMask;

use super::*;

on_both! {
    an_account_sees_itself_and_an_administrator_all
    the_name_changes_and_the_etag_with_it
    an_update_that_changes_nothing_writes_nothing
    a_stale_etag_changes_nothing
    of_two_updates_with_one_etag_one_wins
    a_mask_says_what_changes
    operators_make_administrators
}

async fn get(suite: &Suite, caller: &Principal, id: &str) -> Result<User, Error> {
    let request = GetUserRequest { id: id.to_owned() };
    suite.auth.get_user(&suite.call(caller), request).await.map(Into::into)
}

fn rename(id: &str, name: &str, etag: &str) -> UpdateUserRequest {
    let user = User { name: name.to_owned(), etag: etag.to_owned(), ..User::default() };
    UpdateUserRequest { id: id.to_owned(), user: Some(user), update_mask: None }
}

async fn update(
    suite: &Suite,
    caller: &Principal,
    request: UpdateUserRequest,
) -> Result<User, Error> {
    suite.auth.update_user(&suite.call(caller), request).await.map(Into::into)
}

async fn an_account_sees_itself_and_an_administrator_all(suite: Suite) {
    let (a, b) = (suite.register("a@example.com").await, suite.register("b@example.com").await);
    let admin = suite.admin("admin@example.com").await;
    assert_eq!(get(&suite, &a.caller, "me").await.unwrap(), a.user);
    assert_eq!(get(&suite, &a.caller, &a.user.id).await.unwrap(), a.user);
    assert_eq!(get(&suite, &admin.caller, &a.user.id).await.unwrap(), a.user);
    let never = suite.clock.new_id().to_string();
    let answers = [
        seen(get(&suite, &a.caller, &b.user.id).await.unwrap_err()),
        seen(get(&suite, &a.caller, &never).await.unwrap_err()),
        seen(get(&suite, &admin.caller, &never).await.unwrap_err()),
        seen(update(&suite, &a.caller, rename(&b.user.id, "X", "")).await.unwrap_err()),
        seen(update(&suite, &a.caller, rename(&b.user.id, "X", "99")).await.unwrap_err()),
        seen(update(&suite, &admin.caller, rename(&never, "X", "")).await.unwrap_err()),
    ];
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(answers[0].0, Code::NotFound);
    assert_eq!(get(&suite, &b.caller, "me").await.unwrap(), b.user);
}

async fn the_name_changes_and_the_etag_with_it(suite: Suite) {
    let account = suite.register("a@example.com").await;
    suite.advance(1);
    let request = rename("me", "  BP <120  ", &account.user.etag);
    let updated = update(&suite, &account.caller, request).await.unwrap();
    assert_eq!(updated.name, "BP <120");
    assert_ne!(updated.etag, account.user.etag);
    assert_ne!(updated.updated_at, account.user.updated_at);
    assert_eq!(updated.created_at, account.user.created_at);
    assert_eq!(get(&suite, &account.caller, "me").await.unwrap(), updated);
    let admin = suite.admin("admin@example.com").await;
    let renamed = update(&suite, &admin.caller, rename(&updated.id, "New", "")).await.unwrap();
    assert_eq!(renamed.name, "New");
}

async fn an_update_that_changes_nothing_writes_nothing(suite: Suite) {
    let account = suite.register("a@example.com").await;
    suite.advance(5);
    for etag in ["", account.user.etag.as_str()] {
        let same = rename("me", &format!(" {} ", account.user.name), etag);
        assert_eq!(update(&suite, &account.caller, same).await.unwrap(), account.user);
    }
    let stale = rename("me", &account.user.name, "v9");
    assert_eq!(code(update(&suite, &account.caller, stale).await), Code::Aborted);
}

async fn a_stale_etag_changes_nothing(suite: Suite) {
    let account = suite.register("a@example.com").await;
    for etag in ["0", "2", "x", "01"] {
        let answer = update(&suite, &account.caller, rename("me", "New", etag)).await;
        assert_eq!(code(answer), Code::Aborted, "{etag}");
    }
    assert_eq!(get(&suite, &account.caller, "me").await.unwrap(), account.user);
}

async fn of_two_updates_with_one_etag_one_wins(suite: Suite) {
    let account = suite.register("a@example.com").await;
    let one = update(&suite, &account.caller, rename("me", "One", &account.user.etag));
    let two = update(&suite, &account.caller, rename("me", "Two", &account.user.etag));
    let (one, two) = tokio::join!(one, two);
    let mut codes = [code(one), code(two)];
    codes.sort_by_key(|code| *code as i32);
    assert_eq!(codes, [Code::Ok, Code::Aborted]);
}

async fn a_mask_says_what_changes(suite: Suite) {
    let account = suite.register("a@example.com").await;
    let nothing = update(&suite, &account.caller, rename("me", "", "")).await.unwrap();
    assert_eq!(nothing, account.user);
    for path in ["name", "*"] {
        let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
        let name = format!("by {path}");
        let request = UpdateUserRequest { update_mask, ..rename("me", &name, "") };
        assert_eq!(update(&suite, &account.caller, request).await.unwrap().name, name);
    }
}

async fn operators_make_administrators(suite: Suite) {
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
