//! `clinic admin create`.

use clinic_proto::auth::v1::ListUsersRequest;
use clinic_testdb::on_both;

use crate::operator::{Operator, run_to_end};

on_both! {
    async fn an_administrator_made_by_the_command_signs_in(operator: &Operator) {
        let migrated = operator.run(&["migrate"]);
        assert!(migrated.status.success(), "{migrated:?}");
        assert_eq!(migrated.stdout.lines().count(), 3, "{migrated:?}");
        let given = ["admin", "create", "--email", "boss@example.com", "--password-stdin"];
        let made = run_to_end(&mut operator.command(&given), "a-rather-long-secret\n");
        assert!(made.status.success(), "{made:?}");
        assert_eq!(made.stdout, "admin account: boss@example.com\n");
        let generated = operator.run(&["admin", "create", "--email", "vice@example.com", "--name", "Vice"]);
        let password = generated.stdout.lines().nth(1).unwrap();
        let password = password.strip_prefix("admin password: ").unwrap();

        let running = operator.up(&[]);
        assert_eq!(running.said, Vec::<String>::new(), "a second administrator was created");
        for (email, password) in [("boss@example.com", "a-rather-long-secret"), ("vice@example.com", password)] {
            let mut users = running.clients(&running.access(email, password).await).users;
            let list = users.list_users(ListUsersRequest::default()).await.unwrap().into_inner();
            assert_eq!(list.users.len(), 2);
        }
        // The same account again, while the suite runs.
        let again = run_to_end(&mut operator.command(&given), "a-rather-long-secret\n");
        assert_eq!(again.status.code(), Some(1));
        assert!(again.stderr.contains("already exists"), "{again:?}");
        running.kill();
    }
}

mod bad_input_is_explained {
    use super::*;

    #[test]
    fn sqlite() {
        let operator = Operator::with_sqlite();
        let create = ["admin", "create", "--email", "boss@example.com", "--password-stdin"];
        let early = run_to_end(&mut operator.command(&create), "a-rather-long-secret");
        assert_eq!(early.status.code(), Some(1));
        assert!(early.stderr.contains("there is no database in ./data"), "{early:?}");
        assert!(early.stderr.contains("run `clinic migrate`"), "{early:?}");
        assert!(!operator.path("data").exists(), "the data directory was created");

        operator.run(&["migrate"]);
        let common = run_to_end(&mut operator.command(&create), "password");
        assert!(common.stderr.contains("must not be a common password"), "{common:?}");
        let empty = run_to_end(&mut operator.command(&create), "");
        assert!(empty.stderr.contains("8 to 128"), "{empty:?}");
        let nonsense = operator.run(&["admin", "create", "--email", "nonsense"]);
        assert!(nonsense.stderr.contains("the email"), "{nonsense:?}");
        for refused in [common, empty, nonsense] {
            assert_eq!(refused.status.code(), Some(1));
            assert_eq!(refused.stdout, "");
        }
    }
}
