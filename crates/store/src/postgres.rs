//! Connections to PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, Executor as _, PgConnection, query_as_with, query_with};

use crate::error::{Cause, Error, ends_session};
use crate::health::Health;
use crate::lease::{CLEAN_UP_TIMEOUT, Lease, Leased};
use crate::query::Query;
use crate::row::Row;

/// How long to wait for a connection before a request fails.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that were idle for longer are tested before use. This detects a restarted server,
/// and costs nothing on a busy connection.
const MAX_UNTESTED_IDLE: Duration = Duration::from_secs(5);
/// Maximum age of a connection. Closing it frees the memory that its session gathers in the server.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The connections. Clones are cheap and share them.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool<Manager>,
    health: Arc<Health>,
}

pub(crate) struct Manager {
    options: PgConnectOptions,
    health: Arc<Health>,
}

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    async fn recycle(
        &self,
        connection: &mut PgConnection,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if metrics.age() > MAX_AGE || self.health.is_stale(metrics.age()) {
            return Err(RecycleError::message("old"));
        }
        let idle = metrics.last_used();
        if idle > MAX_UNTESTED_IDLE || self.health.must_test(idle) {
            connection.ping().await?;
        }
        Ok(())
    }
}

impl Postgres {
    pub(crate) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let health = Arc::<Health>::default();
        let manager = Manager { options, health: health.clone() };
        let size = usize::try_from(max_connections.max(1)).unwrap_or(usize::MAX);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .recycle_timeout(Some(ACQUIRE_TIMEOUT))
            // Reuses the most recent connections, so the others can stay idle.
            .queue_mode(managed::QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        // Building fails only for timeouts without a runtime.
        #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
        let pool = pool.expect("a pool with a runtime");
        Self { pool, health }
    }

    pub(crate) fn max_size(&self) -> usize {
        self.pool.status().max_size
    }

    /// Runs the heartbeat of a check, even if all connections are in use.
    pub(crate) async fn heartbeat(&self, query: &Query) -> Result<u64, Error> {
        match self.lease_now().await {
            Ok(lease) => lease.heartbeat(query).await,
            Err(Error::Busy) => {
                let (sql, args) = query.postgres()?;
                let mut connection = self.connect().await?;
                let done = query_with(sql, args).execute(&mut connection).await;
                connection.close().await.ok();
                Ok(done.map_err(|error| self.health.classify(error))?.rows_affected())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a connection outside of the pool.
    async fn connect(&self) -> Result<PgConnection, Error> {
        let options = &self.pool.manager().options;
        PgConnection::connect_with(options).await.map_err(Error::from_connecting)
    }

    /// Begins a transaction. Uses another connection if the first one is broken.
    pub(crate) async fn begin(&self) -> Result<Lease<Manager>, Error> {
        let mut lease = self.lease().await?;
        if let Err(error) = lease.begin().await {
            if !error.is_connection_error() {
                return Err(error);
            }
            lease = self.lease().await?;
            lease.begin().await?;
        }
        Ok(lease)
    }

    /// Makes a read. Retries once over another connection if the first one breaks.
    pub(crate) async fn read<T, F>(&self, attempt: impl Fn(Lease<Manager>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match attempt(self.lease().await?).await {
            Err(error) if error.is_connection_error() => attempt(self.lease().await?).await,
            done => done,
        }
    }

    /// Returns the error of a statement that timed out, and has idle connections tested before use.
    pub(crate) fn no_answer(&self) -> Error {
        self.health.note_failure(Error::Unavailable(Cause::connection("no answer in time")))
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Leases a connection if one is free now.
    pub(crate) async fn lease_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease_within(&Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() }).await
    }

    /// Leases a connection.
    pub(crate) async fn lease(&self) -> Result<Lease<Manager>, Error> {
        self.lease_within(&self.pool.timeouts()).await
    }

    /// Checks that the server answers, even if all connections are in use.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        match self.lease_now().await {
            Ok(mut lease) => {
                let answer = lease.connection()?.ping().await;
                lease.finish_read(answer)
            }
            // A new connection proves as much.
            Err(Error::Busy) => {
                self.connect().await?.close().await.ok();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn lease_within(&self, timeouts: &Timeouts) -> Result<Lease<Manager>, Error> {
        let connection = self.pool.timeout_get(timeouts).await.map_err(|error| match error {
            PoolError::Backend(error) => self.health.note_failure(Error::from_connecting(error)),
            // Connections in use say nothing about the server.
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                self.health.note_failure(Error::Unavailable(Cause::new("no connection in time")))
            }
            PoolError::Closed => Error::from(sqlx::Error::PoolClosed),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease::new(connection, self.health.clone()))
    }

    /// Waits a bounded time until no connection is in use and `is_idle`, and closes all of them.
    pub(crate) async fn close(&self, is_idle: impl Fn() -> bool) {
        let until = Instant::now() + CLEAN_UP_TIMEOUT;
        let at_work = || self.pool.status().size > self.pool.status().available || !is_idle();
        while at_work() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for connection in self.pool.retain(|_, _| false).removed {
            connection.close().await.ok();
        }
        self.pool.close();
    }
}

impl Lease<Manager> {
    /// Returns the first row of a SELECT, if any.
    pub(crate) async fn fetch_optional<T: Row>(
        mut self,
        query: &Query,
    ) -> Result<Option<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_optional(self.connection()?).await;
        self.finish_read(found)
    }

    /// Returns all rows of a SELECT.
    pub(crate) async fn fetch_all<T: Row>(mut self, query: &Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.finish_read(found)
    }

    /// Returns the first row of a SELECT, not yet decoded.
    pub(crate) async fn fetch_row(mut self, query: &Query) -> Result<Option<PgRow>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_with(sql, args).fetch_optional(self.connection()?).await;
        self.finish_read(found)
    }

    /// Runs a write with RETURNING. Returns all rows touched.
    pub(crate) async fn write_all<T: Row>(mut self, query: &Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.finish_write(found)
    }

    /// Runs the heartbeat of a check.
    pub(crate) async fn heartbeat(mut self, query: &Query) -> Result<u64, Error> {
        let (sql, args) = query.postgres()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.finish_check(done)?.rows_affected())
    }

    /// Runs a write without RETURNING. Returns the number of rows touched.
    pub(crate) async fn execute(mut self, query: &Query) -> Result<u64, Error> {
        let (sql, args) = query.postgres()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.finish_write(done)?.rows_affected())
    }
}

impl Leased for Manager {
    const BEGIN: &'static str = "BEGIN";

    async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn breaks_connection(error: &dyn DatabaseError) -> bool {
        ends_session(error)
    }
}
