//! Connections to an SQLite file: several for reads and one for writes.
//!
//! SQLite allows many readers beside one writer. With a single connection for writes, writers queue
//! here, in order, instead of polling for the file's lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Pool, PoolError, QueueMode, RecycleResult, Timeouts, WeakPool,
};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, SqliteConnection, query_as_with, query_with};

use crate::error::{Cause, Error, ends_connection};
use crate::health::Health;
use crate::lease::{CLEAN_UP_TIMEOUT, Lease, Leased};
use crate::query::Query;
use crate::row::Row;

/// How long a statement waits for a connection. Longer than for PostgreSQL, because all writes
/// share one.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
const NO_WAIT: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };
/// How long an idle reader is kept. Each is a thread with a page cache.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// The connections. Clones are cheap and share them.
#[derive(Clone)]
pub(crate) struct Sqlite {
    readers: Pool<Manager>,
    writer: Pool<Manager>,
    health: Arc<Health>,
}

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
        let max_readers = usize::try_from(max_readers.max(1)).unwrap_or(usize::MAX);
        let this = Self {
            readers: pool(reading, max_readers),
            writer: pool(writing, 1),
            health: Arc::default(),
        };
        tokio::spawn(close_idle(this.readers.weak()));
        // Open the writer now: while it is open, the WAL that readers need exists.
        match this.writer.get().await {
            Err(PoolError::Backend(error)) => Err(error),
            Ok(_) | Err(_) => Ok(this),
        }
    }

    /// Leases a connection that can only read.
    pub(crate) async fn reader(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.readers, &self.readers.timeouts()).await
    }

    /// Leases the connection that can write.
    pub(crate) async fn writer(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.writer, &self.writer.timeouts()).await
    }

    pub(crate) fn max_readers(&self) -> usize {
        self.readers.status().max_size
    }

    /// Leases a connection that can only read, if one is free now.
    pub(crate) async fn reader_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.readers, &NO_WAIT).await
    }

    /// Leases the connection that can write, if it is free now.
    pub(crate) async fn writer_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.writer, &NO_WAIT).await
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Waits a bounded time until the statements under way are done, and closes all connections.
    /// The writer is last: the last connection to close writes the WAL back into the file, and only
    /// the writer may write.
    pub(crate) async fn close(&self) {
        for pool in [&self.readers, &self.writer] {
            let until = Instant::now() + CLEAN_UP_TIMEOUT;
            while pool.status().size > pool.status().available && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for connection in pool.retain(|_, _| false).removed {
                connection.close().await.ok();
            }
            pool.close();
        }
    }

    async fn lease(
        &self,
        pool: &Pool<Manager>,
        timeouts: &Timeouts,
    ) -> Result<Lease<Manager>, Error> {
        let connection = pool.timeout_get(timeouts).await.map_err(|error| match error {
            PoolError::Backend(error) => Error::from_connecting(error),
            PoolError::Timeout(_) => Error::Busy,
            PoolError::Closed => sqlx::Error::PoolClosed.into(),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease::new(connection, self.health.clone()))
    }
}

fn pool(options: SqliteConnectOptions, max_size: usize) -> Pool<Manager> {
    let pool = Pool::builder(Manager(options))
        .max_size(max_size)
        .wait_timeout(Some(QUEUE_TIMEOUT))
        // Reuses the most recent connections, so the others can be closed.
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .build();
    // Building fails only for timeouts without a runtime.
    #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
    pool.expect("a pool with a runtime")
}

impl Lease<Manager> {
    /// Returns the first row of a SELECT, if any.
    pub(crate) async fn fetch_optional<T: Row>(mut self, query: Query) -> Result<Option<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_optional(self.connection()?).await;
        self.finish_read(found)
    }

    /// Returns all rows of a SELECT.
    pub(crate) async fn fetch_all<T: Row>(mut self, query: Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.finish_read(found)
    }

    /// Runs a write with RETURNING. Returns all rows touched. Not by `fetch_optional`: sqlx returns
    /// the first row before SQLite reaches the end of the statement, where it commits.
    pub(crate) async fn write_all<T: Row>(mut self, query: Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.finish_write(found)
    }

    /// Runs the heartbeat of a check.
    pub(crate) async fn heartbeat(mut self, query: Query) -> Result<u64, Error> {
        let (sql, args) = query.sqlite()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.finish_check(done)?.rows_affected())
    }

    /// Runs a write without RETURNING. Returns the number of rows touched.
    pub(crate) async fn execute(mut self, query: Query) -> Result<u64, Error> {
        let (sql, args) = query.sqlite()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.finish_write(done)?.rows_affected())
    }
}

impl Leased for Manager {
    // A deferred transaction that reads first and writes later fails at once with SQLITE_BUSY if
    // another process wrote in between. An immediate one waits its turn.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn breaks_connection(error: &dyn DatabaseError) -> bool {
        ends_connection(error)
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
    use crate::write::Origin;

    /// Opens a database of at most `pages` pages, which then fails like a full disk.
    async fn small(folder: &tempfile::TempDir, pages: &'static str) -> Db {
        let options = SqliteConnectOptions::new().filename(folder.path().join("small.db"));
        let options = options.create_if_missing(true);
        let writing = options.clone().journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let writing = writing.pragma("max_page_count", pages);
        let db = Db::from(Sqlite::open(options, writing, 2).await.unwrap());
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
        pool.writer().await.unwrap().discard();
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
        let mut reader = pool.reader().await.unwrap();
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
