//! `clinic keys …`.

use clinic_proto::auth::v1::{GetJwksRequest, GetUserRequest};

use crate::operator::{ADMIN, Operator};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_once_and_rotated_while_everything_runs() {
    let operator = Operator::with_sqlite();
    let made = operator.run(&["keys", "init", "--keys-dir", "data/keys"]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(made.stdout.lines().filter(|line| line.starts_with("made ")).count(), 5);
    let again = operator.run(&["keys", "init", "--keys-dir", "data/keys"]);
    assert_eq!(again.stdout, "nothing to do: the keys are in data/keys\n");

    let running = operator.up(&[]);
    let password = running.admin_password().to_owned();
    let before = running.access(ADMIN, &password).await;
    let rotated = operator.run(&["keys", "rotate", "--keys-dir", "data/keys"]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(rotated.stdout.lines().count(), 5, "{rotated:?}");
    let me = || GetUserRequest { id: "me".into() };
    running.clients(&before).auth.get_user(me()).await.unwrap();
    running.access(ADMIN, &password).await;
    running.kill();

    let running = operator.up(&[]);
    let keys =
        running.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys;
    assert_eq!(keys.len(), 2);
    running.clients(&before).auth.get_user(me()).await.unwrap();
    let after = running.access(ADMIN, &password).await;
    running.clients(&after).auth.get_user(me()).await.unwrap();
}

#[test]
fn there_is_nothing_to_rotate_before_there_are_keys() {
    let operator = Operator::with_sqlite();
    let refused = operator.run(&["keys", "rotate", "--keys-dir", "none"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("run `clinic keys init`"), "{refused:?}");
    let refused = operator.run(&["keys", "add-service", "Not A Name", "--keys-dir", "none"]);
    assert!(refused.stderr.contains("an issuer's name is"), "{refused:?}");
    assert!(!operator.path("none").exists());
}
