//! SQLite readers whose caller is cancelled. In a separate program, because an endless read runs
//! until the program ends.

use std::time::Duration;

use clinic_store::{Db, Options, Query};
use tokio::time::timeout;

const ENDLESS: &str = "SELECT * FROM (WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
     SELECT COUNT(*) FROM n) AS one";

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn a_cancelled_read_does_not_block_later_reads() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("test.db").display());
        let options = Options { max_connections: 2, ..Options::new(url) };
        let db = Db::connect(&options).await.unwrap();
        let read = async || db.fetch_one::<(i64,)>(Query::new("SELECT 1")).await.unwrap();
        read().await;
        let endless = db.fetch_one::<(i64,)>(Query::new(ENDLESS));
        assert!(timeout(Duration::from_millis(200), endless).await.is_err(), "an endless read");
        // Each time the pool returns the reader that was used last, if it is free.
        for _ in 0..3 {
            timeout(Duration::from_secs(30), read()).await.unwrap();
        }
    }
}
