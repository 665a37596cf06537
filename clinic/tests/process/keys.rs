//! `clinic keys …`.

use clinic_proto::auth::v1::{GetJwksRequest, GetUserRequest};

use crate::operator::{ADMIN, Operator, Running, run_to_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_once_and_rotated_while_everything_runs() {
    let operator = Operator::with_sqlite();
    let made = operator.run(&["keys", "init", "--keys-dir", "data/keys"]);
    assert!(made.status.success(), "{made:?}");
    let files: Vec<_> =
        made.stdout.lines().map(|line| line.strip_prefix("wrote ").unwrap()).collect();
    assert_eq!(files.len(), 9, "{made:?}");
    assert!(files.iter().all(|file| operator.path(file).is_file()), "{made:?}");
    let again = operator.run(&["keys", "init", "--keys-dir", "data/keys"]);
    assert_eq!(again.stdout, "nothing to do: the keys are in data/keys\n");

    let running = operator.up(&[]);
    let password = running.admin_password().to_owned();
    let before = running.access(ADMIN, &password).await;
    let rotated = operator.run(&["keys", "rotate", "--keys-dir", "data/keys"]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(rotated.stdout.lines().count(), 9, "{rotated:?}");
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

#[test]
fn without_a_folder_they_are_the_keys_of_clinic_up() {
    let operator = Operator::with_sqlite();
    let up =
        Running::start(&mut operator.command(&["--data-dir", "mine", "--listen", "127.0.0.1:0"]));
    up.kill();
    let by_flag = operator.run(&["keys", "init", "--data-dir", "mine"]);
    assert_eq!(by_flag.stdout, "nothing to do: the keys are in mine/keys\n");
    let mut command = operator.command(&["keys", "rotate"]);
    let by_environment = run_to_end(command.env("CLINIC_DATA_DIR", "mine"), "");
    assert!(by_environment.status.success(), "{by_environment:?}");
    assert!(by_environment.stdout.contains("wrote mine/keys/access/"), "{by_environment:?}");
    let mut command = operator.command(&["keys", "init"]);
    let elsewhere =
        run_to_end(command.env("CLINIC_DATA_DIR", "mine").env("CLINIC_KEYS_DIR", "other"), "");
    assert!(elsewhere.stdout.starts_with("wrote other/access/"), "{elsewhere:?}");
}

#[test]
fn no_service_gets_the_name_of_one_of_the_suites() {
    let operator = Operator::with_sqlite();
    for name in ["gateway", "auth", "records", "assignment"] {
        let refused = operator.run(&["keys", "add-service", name]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains("`clinic keys init`"), "{refused:?}");
    }
    assert!(!operator.path("data").exists());
    let made = operator.run(&["keys", "add-service", "billing"]);
    assert!(made.stdout.starts_with("wrote ./data/keys/trusted/billing.json\nwrote "), "{made:?}");
}
