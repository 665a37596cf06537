//! Connections to PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, Executor as _, PgConnection, query_as_with, query_with};

use crate::db::Row;
use crate::error::{Cause, Error, ends_session};
use crate::gather::Gather;
use crate::lease::{CLEAN_UP_TIMEOUT, Lease, Leased};
use crate::query::Query;
use crate::signs::Signs;

/// How long to wait for a connection before a request fails.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// From which idle time on a connection is tested before use: a request on a busy connection pays
/// nothing, a server that was restarted is noticed.
const TRUST_IDLE: Duration = Duration::from_secs(5);
/// How old a connection may get: the memory that a session gathers at the server goes with it.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The connections. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool<Manager>,
    signs: Arc<Signs>,
    gather: Arc<Gather>,
}

pub(crate) struct Manager {
    options: PgConnectOptions,
    signs: Arc<Signs>,
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
        if metrics.age() > MAX_AGE || self.signs.is_stale(metrics.age()) {
            return Err(RecycleError::message("old"));
        }
        let idle = metrics.last_used();
        if idle > TRUST_IDLE || self.signs.doubts(idle) {
            connection.ping().await?;
        }
        Ok(())
    }
}

impl Postgres {
    pub(crate) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let signs = Arc::<Signs>::default();
        let manager = Manager { options, signs: signs.clone() };
        let size = usize::try_from(max_connections.max(1)).unwrap_or(usize::MAX);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .recycle_timeout(Some(ACQUIRE_TIMEOUT))
            // The connections used last are used again: the others may sleep.
            .queue_mode(managed::QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        // Only timeouts without a runtime cannot be built.
        #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
        let pool = pool.expect("a pool with a runtime");
        Self { pool, signs, gather: Arc::default() }
    }

    /// The first row of a SELECT, gathered with those that ask for the same.
    pub(crate) async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        self.gather.find(self, query).await
    }

    /// Runs the small write of a check, also while all connections are at work.
    pub(crate) async fn beat(&self, query: &Query) -> Result<u64, Error> {
        match self.lease_now().await {
            Ok(lease) => lease.beat(query).await,
            Err(Error::Busy) => {
                let (sql, args) = query.postgres()?;
                let mut connection = self.connect().await?;
                let done = query_with(sql, args).execute(&mut connection).await;
                connection.close().await.ok();
                Ok(done.map_err(|error| self.signs.raise(error))?.rows_affected())
            }
            Err(error) => Err(error),
        }
    }

    /// A connection outside of the pool.
    async fn connect(&self) -> Result<PgConnection, Error> {
        let options = &self.pool.manager().options;
        PgConnection::connect_with(options).await.map_err(Error::of_connecting)
    }

    /// Begins a transaction, over another connection if the first one is broken.
    pub(crate) async fn begin(&self) -> Result<Lease<Manager>, Error> {
        let mut lease = self.lease().await?;
        if let Err(error) = lease.begin().await {
            if !error.is_of_connection() {
                return Err(error);
            }
            lease = self.lease().await?;
            lease.begin().await?;
        }
        Ok(lease)
    }

    /// Makes a read, and once more over another connection if its own broke.
    pub(crate) async fn read<T, F>(&self, attempt: impl Fn(Lease<Manager>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match attempt(self.lease().await?).await {
            Err(error) if error.is_of_connection() => attempt(self.lease().await?).await,
            done => done,
        }
    }

    /// That a statement had no answer in time: the other connections are asked before they are used.
    pub(crate) fn no_answer(&self) -> Error {
        self.signs.doubt(Error::Unavailable(Cause::of_connection("no answer in time")))
    }

    /// What statements have shown lately.
    pub(crate) fn signs(&self) -> &Signs {
        &self.signs
    }

    /// A connection that is free now.
    pub(crate) async fn lease_now(&self) -> Result<Lease<Manager>, Error> {
        self.lease_within(&Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() }).await
    }

    /// A connection for some statements.
    pub(crate) async fn lease(&self) -> Result<Lease<Manager>, Error> {
        self.lease_within(&self.pool.timeouts()).await
    }

    /// Whether the server answers, also while all connections are at work.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        match self.lease_now().await {
            Ok(mut lease) => {
                let answer = lease.connection()?.ping().await;
                lease.seen(answer)
            }
            // That it lets one more in says as much.
            Err(Error::Busy) => {
                self.connect().await?.close().await.ok();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn lease_within(&self, timeouts: &Timeouts) -> Result<Lease<Manager>, Error> {
        let connection = self.pool.timeout_get(timeouts).await.map_err(|error| match error {
            PoolError::Backend(error) => self.signs.doubt(Error::of_connecting(error)),
            // That others are at work says nothing against the server.
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                self.signs.doubt(Error::Unavailable(Cause::new("no connection in time")))
            }
            PoolError::Closed => Error::from(sqlx::Error::PoolClosed),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease::new(connection, self.signs.clone()))
    }

    /// Waits until all connections are back, for a bounded time, and closes them.
    pub(crate) async fn close(&self) {
        let until = Instant::now() + CLEAN_UP_TIMEOUT;
        let at_work =
            || self.pool.status().size > self.pool.status().available || !self.gather.is_idle();
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
    /// The first row of a SELECT.
    pub(crate) async fn fetch_optional<T: Row>(
        mut self,
        query: &Query,
    ) -> Result<Option<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_optional(self.connection()?).await;
        self.seen(found)
    }

    /// All rows of a SELECT.
    pub(crate) async fn fetch_all<T: Row>(mut self, query: &Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.seen(found)
    }

    /// The first row of a SELECT, not read into a type yet.
    pub(crate) async fn fetch_row(mut self, query: &Query) -> Result<Option<PgRow>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_with(sql, args).fetch_optional(self.connection()?).await;
        self.seen(found)
    }

    /// All rows that a write with RETURNING touched.
    pub(crate) async fn write_all<T: Row>(mut self, query: &Query) -> Result<Vec<T>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.written(found)
    }

    /// Runs the small write of a check.
    pub(crate) async fn beat(mut self, query: &Query) -> Result<u64, Error> {
        let (sql, args) = query.postgres()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.beaten(done)?.rows_affected())
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub(crate) async fn execute(mut self, query: &Query) -> Result<u64, Error> {
        let (sql, args) = query.postgres()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(self.written(done)?.rows_affected())
    }
}

impl Leased for Manager {
    const BEGIN: &'static str = "BEGIN";

    async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn is_last(error: &dyn DatabaseError) -> bool {
        ends_session(error)
    }
}
