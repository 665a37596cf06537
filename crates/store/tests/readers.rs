//! Readers of SQLite whose caller goes away. In a program of its own, because a read without end goes
//! on until that ends.

use std::time::Duration;

use clinic_store::{Db, Options, Query};
use tokio::time::timeout;

const ENDLESS: &str = "SELECT * FROM (WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
     SELECT COUNT(*) FROM n) AS one";

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_behind_a_read_that_was_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("test.db").display());
        let options = Options { max_connections: 2, ..Options::new(url) };
        let db = Db::connect(&options).await.unwrap();
        let read = async || db.fetch_one::<(i64,)>(Query::new("SELECT 1")).await.unwrap();
        read().await;
        let endless = db.fetch_one::<(i64,)>(Query::new(ENDLESS));
        assert!(timeout(Duration::from_millis(200), endless).await.is_err(), "it has no end");
        // Each time the reader that was used last, if it is free.
        for _ in 0..3 {
            timeout(Duration::from_secs(30), read()).await.unwrap();
        }
    }
}
