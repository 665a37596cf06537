//! Readers of an SQLite file.
//!
//! As on PostgreSQL, sqlx's own pool asks each connection for a sign of life when it comes back.
//! Here that is a task and a message to the connection's thread and back, for a file that cannot go
//! away: as much work as the read itself. So only a reader whose read was given up is asked: its
//! thread goes on with that read until it has found a row, and nobody should wait behind it.

use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Object, Pool, PoolError, QueueMode, RecycleResult, WeakPool,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection, query_as_with};
use tokio::runtime::Handle;

use crate::db::Row;
use crate::error::{Cause, Error};
use crate::query::Query;

/// How long a reader is kept that nobody uses: each is a thread with a page cache.
const KEEP: Duration = Duration::from_secs(60);
/// How long [`Readers::close`] waits for reads.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The connections. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(crate) struct Readers(Pool<Manager>);

struct Manager(SqliteConnectOptions);

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

impl Readers {
    /// At most so many at once; who has to wait longer than `patience` for one is told
    /// [`Error::Busy`].
    pub(crate) fn new(options: SqliteConnectOptions, most: u32, patience: Duration) -> Self {
        let pool = Pool::builder(Manager(options))
            .max_size(usize::try_from(most.max(1)).unwrap_or(usize::MAX))
            .wait_timeout(Some(patience))
            // The connections used last are used again: the others may be given back.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        // Only timeouts without a runtime cannot be built.
        #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
        let pool = pool.expect("a pool with a runtime");
        tokio::spawn(give_back(pool.weak()));
        Self(pool)
    }

    /// The first row of a SELECT, if any.
    pub(crate) async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let mut reading = self.reading().await?;
        let found = query_as_with(sql, args).fetch_optional(reading.connection()?).await;
        reading.seen(found)
    }

    /// All rows of a SELECT.
    pub(crate) async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.sqlite()?;
        let mut reading = self.reading().await?;
        let found = query_as_with(sql, args).fetch_all(reading.connection()?).await;
        reading.seen(found)
    }

    /// Waits until the reads under way are done, for a bounded time, and closes all connections.
    pub(crate) async fn close(&self) {
        let until = Instant::now() + CLOSE_PATIENCE;
        while self.0.status().size > self.0.status().available && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for reader in self.0.retain(|_, _| false).removed {
            reader.close().await.ok();
        }
        self.0.close();
    }

    async fn reading(&self) -> Result<Reading, Error> {
        let reader = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Error::Busy,
            PoolError::Closed => sqlx::Error::PoolClosed.into(),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Reading(Some(reader)))
    }
}

/// A reader for the time of one read.
struct Reading(Option<Object<Manager>>);

impl Reading {
    fn connection(&mut self) -> Result<&mut SqliteConnection, Error> {
        self.0.as_deref_mut().ok_or(Error::Internal(Cause::new("a reading without its reader")))
    }

    /// Takes the outcome of the read, and gives the reader back unless its thread has died.
    fn seen<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        match (self.0.take(), &outcome) {
            (Some(reader), Err(sqlx::Error::WorkerCrashed)) => drop(Object::take(reader)),
            (reader, _) => drop(reader),
        }
        Ok(outcome?)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // A read that was given up: until its thread is done with it nobody else gets the reader.
        let Some(mut reader) = self.0.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if reader.ping().await.is_err() {
                    drop(Object::take(reader));
                }
            })),
            Err(_) => drop(Object::take(reader)),
        }
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
