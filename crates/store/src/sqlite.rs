//! Connections to an SQLite file.
//!
//! SQLite lets many read while one writes. With a single connection for writing, writers queue here, in
//! order, instead of polling for the file's lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Pool, PoolError, QueueMode, RecycleResult, Timeouts, WeakPool,
};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, SqliteConnection, query_as_with, query_with};

use crate::db::Row;
use crate::error::{Cause, Error, ends_connection};
use crate::lease::{CLEAN_UP_TIMEOUT, Lease, Leased};
use crate::query::Query;
use crate::signs::Signs;

/// How long a statement waits for a connection. Longer than for PostgreSQL, because all writes queue for
/// one.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
const NOW: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };
/// How long a reader is kept that nobody uses: each is a thread with a page cache.
const KEEP: Duration = Duration::from_secs(60);

/// The connections. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(crate) struct Sqlite {
    readers: Pool<Manager>,
    writer: Pool<Manager>,
    signs: Arc<Signs>,
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
    /// Opens the file for writing, and for at most so many readers at once.
    pub(crate) async fn open(
        reading: SqliteConnectOptions,
        writing: SqliteConnectOptions,
        most_readers: u32,
    ) -> Result<Self, sqlx::Error> {
        let most_readers = usize::try_from(most_readers.max(1)).unwrap_or(usize::MAX);
        let this = Self {
            readers: pool(reading, most_readers),
            writer: pool(writing, 1),
            signs: Arc::default(),
        };
        tokio::spawn(give_back(this.readers.weak()));
        // Open from now on, because that keeps the WAL there that readers need.
        match this.writer.get().await {
            Err(PoolError::Backend(error)) => Err(error),
            Ok(_) | Err(_) => Ok(this),
        }
    }

    /// A connection that can only read.
    pub(crate) async fn reader(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.readers, &self.readers.timeouts()).await
    }

    /// The connection that can write.
    pub(crate) async fn writer(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.writer, &self.writer.timeouts()).await
    }

    /// A connection that can only read, if one is free now.
    pub(crate) async fn reader_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.readers, &NOW).await
    }

    /// The connection that can write, if it is free now.
    pub(crate) async fn writer_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease(&self.writer, &NOW).await
    }

    /// What statements have shown lately.
    pub(crate) fn signs(&self) -> &Signs {
        &self.signs
    }

    /// Waits until the statements under way are done, for a bounded time, and closes all connections.
    /// The writer last: only it may write, and the connection that is closed last folds the WAL back
    /// into the file.
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
            PoolError::Backend(error) => Error::of_connecting(error),
            PoolError::Timeout(_) => Error::Busy,
            PoolError::Closed => sqlx::Error::PoolClosed.into(),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease::new(connection, self.signs.clone()))
    }
}

fn pool(options: SqliteConnectOptions, most: usize) -> Pool<Manager> {
    let pool = Pool::builder(Manager(options))
        .max_size(most)
        .wait_timeout(Some(QUEUE_TIMEOUT))
        // The connections used last are used again: the others may be given back.
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .build();
    // Only timeouts without a runtime cannot be built.
    #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
    pool.expect("a pool with a runtime")
}

impl Lease<Manager> {
    /// The first row of a SELECT, if any.
    pub(crate) async fn fetch_optional<T: Row>(mut self, query: Query) -> Result<Option<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_optional(self.connection()?).await;
        self.seen(found)
    }

    /// All rows of a SELECT.
    pub(crate) async fn fetch_all<T: Row>(mut self, query: Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.seen(found)
    }

    /// All rows that a write with RETURNING touched. Never `fetch_optional`: sqlx hands out the first
    /// row before SQLite has stepped to the end of the statement, which is where it commits.
    pub(crate) async fn write_all<T: Row>(mut self, query: Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.written(found)
    }

    /// Runs the small write of a check.
    pub(crate) async fn beat(mut self, query: Query) -> Result<u64, Error> {
        let (sql, args) = query.sqlite()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.beaten(done)?.rows_affected())
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub(crate) async fn execute(mut self, query: Query) -> Result<u64, Error> {
        let (sql, args) = query.sqlite()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.written(done)?.rows_affected())
    }
}

impl Leased for Manager {
    // A deferred transaction that reads first and writes later fails at once with SQLITE_BUSY when
    // another process wrote in between; an immediate one waits its turn.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn is_last(error: &dyn DatabaseError) -> bool {
        ends_connection(error)
    }
}

/// Closes readers that nobody uses, as long as there is a pool.
async fn give_back(pool: WeakPool<Manager>) {
    loop {
        tokio::time::sleep(KEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let idle = pool.retain(|_, metrics| metrics.last_used() < KEEP).removed;
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

    /// A database of at most so many pages, which is full then as on a full disk.
    async fn small(folder: &tempfile::TempDir, pages: &'static str) -> Db {
        let options = SqliteConnectOptions::new().filename(folder.path().join("small.db"));
        let options = options.create_if_missing(true);
        let writing = options.clone().journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let writing = writing.pragma("max_page_count", pages);
        let db = Db::from(Pools::Sqlite(Sqlite::open(options, writing, 2).await.unwrap()));
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
    async fn a_full_disk_ends_one_write_and_not_all_that_follow() {
        let folder = tempfile::tempdir().unwrap();
        let db = small(&folder, "20").await;
        for _ in 0..3 {
            let mut work = db.work(&operator()).await.unwrap();
            work.untracked(insert(1)).await.unwrap();
            let refused = work.untracked(insert(1_000_000)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            // The transaction is over: this must not run outside of it.
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
    async fn reads_are_answered_after_the_connection_for_writing_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clinic.db");
        let options = crate::Options::new(format!("sqlite:{}", file.display()));
        let db = Db::connect(&options).await.unwrap();
        db.untracked()
            .execute(Query::new("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
            .await
            .unwrap();
        let Pools::Sqlite(pool) = &db.pools else { unreachable!() };
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
        let Pools::Sqlite(pool) = &db.pools else { unreachable!() };
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
