//! Connections to PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult, Timeouts};
use sqlx::postgres::{PgConnectOptions, PgQueryResult};
use sqlx::{Connection as _, Executor as _, PgConnection, query_with};

use crate::error::Error;
use crate::health::Health;
use crate::lease::{Kind, Lease, Leased};
use crate::pool::LeasePool;
use crate::query::{IntoStatement as _, Query};

/// How long to wait for a connection before a request, or the start of a service, fails.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that were idle for longer are tested before use. This detects a restarted server,
/// and costs nothing on a busy connection.
const MAX_UNTESTED_IDLE: Duration = Duration::from_secs(5);
/// Maximum age of a connection. Closing it frees the memory that its session gathers in the server.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The connections. Clones are cheap and share them.
pub(crate) type Postgres = LeasePool<Manager>;

#[derive(Clone)]
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
    pub(crate) fn open(options: PgConnectOptions, max_connections: u32) -> Self {
        let health = Arc::<Health>::default();
        let manager = Manager { options, health: health.clone() };
        let limit = Some(ACQUIRE_TIMEOUT);
        let timeouts = Timeouts { wait: limit, create: limit, recycle: limit };
        Self::new(manager, health, max_connections, timeouts)
    }

    /// Runs the heartbeat of a check, even if all connections are in use.
    pub(crate) async fn heartbeat(&self, query: &Query) -> Result<u64, Error> {
        match self.lease_now().await {
            Ok(mut lease) => lease.execute(Kind::Heartbeat, query).await,
            Err(Error::Busy) => {
                let (sql, args) = query.into_statement()?;
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
        let options = &self.connections.manager().options;
        PgConnection::connect_with(options).await.map_err(Error::from_connecting)
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Lease<Manager>, Error> {
        let begin = |mut lease: Lease<_>| async move { lease.begin().await.map(|()| lease) };
        self.retry(begin).await
    }

    /// Makes a read or begins a transaction. Retries once over another connection if the first one
    /// breaks.
    pub(crate) async fn retry<T, F>(
        &self,
        attempt: impl Fn(Lease<Manager>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match attempt(self.lease().await?).await {
            Err(error) if error.is_connection_error() => attempt(self.lease().await?).await,
            done => done,
        }
    }

    /// Checks that the server answers, even if all connections are in use.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        match self.lease_now().await {
            Ok(mut lease) => {
                let response = lease.connection()?.ping().await;
                lease.finish(Kind::Read, response)
            }
            // A new connection proves as much.
            Err(Error::Busy) => {
                self.connect().await?.close().await.ok();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Leased for Manager {
    const BEGIN: &'static str = "BEGIN";

    async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        connection.execute(sql).await.map(drop)
    }

    fn rows_affected(done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }
}
