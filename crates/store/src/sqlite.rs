//! Connections to an SQLite file: several for reads and one for writes.
//!
//! SQLite allows many readers beside one writer. With a single connection for writes, writers queue
//! here, in order, instead of polling for the file's lock.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Metrics, PoolError, RecycleResult, Timeouts, WeakPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteQueryResult};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::health::Health;
use crate::lease::Leased;
use crate::pool::LeasePool;

/// How long a statement waits for a connection. Longer than for PostgreSQL, because all writes
/// share one.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle reader is kept. Each is a thread with a page cache.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// The connections. Clones are cheap and share them.
#[derive(Clone)]
pub(crate) struct Sqlite {
    /// Connections that can only read.
    pub(crate) readers: LeasePool<Manager>,
    /// The connection that can write.
    pub(crate) writer: LeasePool<Manager>,
}

#[derive(Clone)]
pub(crate) struct Manager(SqliteConnectOptions);

impl managed::Manager for Manager {
    type Type = SqliteConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnection::connect_with(&self.0).await
    }

    async fn recycle(&self, _: &mut SqliteConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

impl Sqlite {
    /// Opens the file with one writer and at most `max_readers` readers.
    pub(crate) async fn open(
        reading: SqliteConnectOptions,
        writing: SqliteConnectOptions,
        max_readers: u32,
    ) -> Result<Self, sqlx::Error> {
        let health = Arc::<Health>::default();
        let timeouts = Timeouts { wait: Some(QUEUE_TIMEOUT), ..Timeouts::default() };
        let readers = LeasePool::new(Manager(reading), health.clone(), max_readers, timeouts);
        let writer = LeasePool::new(Manager(writing), health, 1, timeouts);
        tokio::spawn(close_idle(readers.connections.weak()));
        // Open the writer now: while it is open, the WAL that readers need exists.
        if let Err(PoolError::Backend(error)) = writer.connections.get().await {
            return Err(error);
        }
        Ok(Self { readers, writer })
    }

    /// Waits a bounded time until the statements under way are done, and closes all connections.
    /// The writer is last: the last connection to close writes the WAL back into the file, and only
    /// the writer may write.
    pub(crate) async fn close(&self) {
        self.readers.close(|| true).await;
        self.writer.close(|| true).await;
    }
}

impl Leased for Manager {
    // A deferred transaction that reads first and writes later fails at once with SQLITE_BUSY if
    // another process wrote in between. An immediate one waits its turn.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn rows_affected(done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }
}

/// Closes idle readers until the pool is dropped.
async fn close_idle(pool: WeakPool<Manager>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let idle = pool.retain(|_, metrics| metrics.last_used() < MAX_IDLE).removed;
        drop(pool);
        for reader in idle {
            reader.close().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, Pools};
    use crate::error::Error;
    use crate::query::Query;
    use crate::write::Origin;

    /// Opens a database of at most `pages` pages, which then fails like a full disk.
    async fn small(folder: &tempfile::TempDir, pages: &'static str) -> Db {
        let options = SqliteConnectOptions::new().filename(folder.path().join("small.db"));
        let options = options.create_if_missing(true);
        let writing = options.clone().journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let writing = writing.pragma("max_page_count", pages);
        let sqlite = Sqlite::open(options, writing, 2).await.unwrap();
        let db = Db::new(Pools::Sqlite(sqlite, Arc::default()));
        let table =
            "CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY, data blob NOT NULL)";
        db.untracked().execute(Query::new(table)).await.unwrap();
        db
    }

    fn operator() -> Origin {
        Origin::operator(clinic_clock::Clock::system().now())
    }

    fn insert(bytes: usize) -> Query {
        Query::new("INSERT INTO things (data) VALUES ($1)").bind(vec![7; bytes])
    }

    #[tokio::test]
    async fn writes_succeed_again_after_the_disk_was_full() {
        let folder = tempfile::tempdir().unwrap();
        let db = small(&folder, "20").await;
        for _ in 0..3 {
            let mut work = db.work(&operator()).await.unwrap();
            work.untracked(insert(1)).await.unwrap();
            let refused = work.untracked(insert(1_000_000)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            // The transaction is over, and this must not run outside of it.
            work.untracked(insert(1)).await.unwrap_err();
            work.save().await.unwrap_err();
            let refused = db.untracked().execute(insert(1_000_000)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        }
        let mut work = db.work(&operator()).await.unwrap();
        work.untracked(insert(1)).await.unwrap();
        work.save().await.unwrap();
        let (kept,): (i64,) =
            db.fetch_one(Query::new("SELECT COUNT(*) FROM things")).await.unwrap();
        assert_eq!(kept, 1);
    }

    #[tokio::test]
    async fn reads_succeed_after_the_write_connection_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clinic.db");
        let options = crate::Options::new(format!("sqlite:{}", file.display()));
        let db = Db::connect(&options).await.unwrap();
        db.untracked()
            .execute(Query::new("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
            .await
            .unwrap();
        let Pools::Sqlite(pool, _) = &db.pools else { unreachable!() };
        pool.writer.lease().await.unwrap().discard();
        while folder.path().join("clinic.db-wal").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let found: (i64,) = db.fetch_one(Query::new("SELECT COUNT(*) FROM things")).await.unwrap();
        assert_eq!(found.0, 0);
    }

    #[tokio::test]
    async fn the_wal_shrinks_again_after_a_long_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clinic.db");
        let options = crate::Options::new(format!("sqlite:{}", file.display()));
        let db = Db::connect(&options).await.unwrap();
        let table = "CREATE TABLE things (id INTEGER PRIMARY KEY, data blob NOT NULL)";
        db.untracked().execute(Query::new(table)).await.unwrap();
        let Pools::Sqlite(pool, _) = &db.pools else { unreachable!() };
        let mut reader = pool.readers.lease().await.unwrap();
        let connection = reader.connection().unwrap();
        connection.execute("BEGIN; SELECT COUNT(*) FROM things").await.unwrap();
        for _ in 0..40 {
            db.untracked().execute(insert(1_000_000)).await.unwrap();
            db.untracked().execute(Query::new("DELETE FROM things")).await.unwrap();
        }
        let wal = folder.path().join("clinic.db-wal");
        let len = || std::fs::metadata(&wal).unwrap().len();
        assert!(len() > 30_000_000, "{}", len());
        reader.connection().unwrap().execute("COMMIT").await.unwrap();
        drop(reader);
        for _ in 0..3 {
            db.untracked().execute(insert(1)).await.unwrap();
        }
        assert!(len() <= 17_000_000, "{}", len());
    }
}
