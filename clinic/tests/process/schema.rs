//! A database that a later version of Clinic has migrated.

use clinic_store::Query;
use clinic_testdb::on_both;

use crate::operator::{Ended, Operator};

fn assert_newer(refused: &Ended) {
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert!(refused.stderr.starts_with("error: "), "{refused:?}");
    assert!(refused.stderr.contains("newer than this program: upgrade Clinic"), "{refused:?}");
}

on_both! {
    async fn a_newer_schema_is_left_alone(operator: &Operator) {
        operator.up(&[]).kill();
        for service in ["auth", "records", "assignment"] {
            let db = operator.databases().open(service).await.unwrap();
            let later = "INSERT INTO _sqlx_migrations \
                         (version, description, success, checksum, execution_time) \
                         SELECT 9000, description, success, checksum, execution_time \
                         FROM _sqlx_migrations WHERE version = 1";
            assert_eq!(db.untracked().execute(Query::new(later)).await.unwrap(), 1);
            let up = operator.run(&["up", "--listen", "127.0.0.1:0"]);
            assert_newer(&up);
            assert!(up.stderr.contains(service), "{up:?}");
            assert_newer(&operator.run(&["migrate"]));
            let back = "DELETE FROM _sqlx_migrations WHERE version = 9000";
            db.untracked().execute(Query::new(back)).await.unwrap();
            db.close().await;
        }
        operator.up(&[]).kill();
    }
}
