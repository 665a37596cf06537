//! Connections to PostgreSQL.
//!
//! sqlx's own pool asks the server for a sign of life each time a connection comes back: a second
//! round trip for every query, which costs a third of the reads per second. Here a
//! connection that ended its work in order goes back as it is; one whose work was given up (the
//! client went away) or failed is put in order first, in the background, as sqlx does for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, Executor as _, PgConnection, query_as_with, query_with};
use tokio::runtime::Handle;

use crate::db::Row;
use crate::error::{Cause, Error, ends_session};
use crate::gather::Gather;
use crate::query::Query;
use crate::suspicion::Suspicion;

/// How long to wait for a connection before a request fails.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// From which idle time on a connection is tested before use: a request on a busy connection pays
/// nothing, a server that was restarted is noticed.
const TRUST_IDLE: Duration = Duration::from_secs(5);
/// How old a connection may get: the memory that a session gathers at the server goes with it.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long a connection that is put in order may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool<Manager>,
    suspicion: Arc<Suspicion>,
    gather: Arc<Gather>,
}

struct Manager {
    options: PgConnectOptions,
    suspicion: Arc<Suspicion>,
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
        if metrics.age() > MAX_AGE {
            return Err(RecycleError::message("old"));
        }
        let idle = metrics.last_used();
        if idle > TRUST_IDLE || self.suspicion.covers(idle) {
            connection.ping().await?;
        }
        Ok(())
    }
}

impl Postgres {
    pub(crate) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let suspicion = Arc::<Suspicion>::default();
        let manager = Manager { options, suspicion: suspicion.clone() };
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
        Self { pool, suspicion, gather: Arc::default() }
    }

    /// The first row of a SELECT, gathered with those that ask for the same.
    pub(crate) async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        self.gather.find(self, query).await
    }

    /// The first row of a SELECT.
    pub(crate) async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        let (sql, args) = query.postgres()?;
        let mut lease = self.lease().await?;
        let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
        lease.seen(found)
    }

    /// The first row of a SELECT, for somebody else to read.
    pub(crate) async fn fetch_row(&self, query: Query) -> Result<Option<PgRow>, Error> {
        self.lease().await?.fetch_row(query).await
    }

    /// That a statement had no answer in time: the other connections are asked before they are used.
    pub(crate) fn no_answer(&self) -> Error {
        self.suspicion.raise(Error::Unavailable(Cause::new("no answer in time")))
    }

    /// A connection for some statements.
    pub(crate) async fn lease(&self) -> Result<Lease, Error> {
        self.lease_within(&self.pool.timeouts()).await
    }

    /// Whether the server answers, also while all connections are at work.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
        match self.lease_within(&at_once).await {
            Ok(mut lease) => {
                let answer = lease.connection()?.ping().await;
                lease.seen(answer)
            }
            // That it lets one more in says as much.
            Err(Error::Busy) => {
                let options = &self.pool.manager().options;
                PgConnection::connect_with(options).await?.close().await.ok();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn lease_within(&self, timeouts: &Timeouts) -> Result<Lease, Error> {
        let connection = self.pool.timeout_get(timeouts).await.map_err(|error| match error {
            PoolError::Backend(error) => self.suspicion.raise(error),
            // That others are at work says nothing against the server.
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                self.suspicion.raise(Error::Unavailable(Cause::new("no connection in time")))
            }
            PoolError::Closed => Error::from(sqlx::Error::PoolClosed),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease {
            connection: Some(connection),
            suspicion: self.suspicion.clone(),
            state: State::InOrder,
        })
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

/// What must happen to a connection before it is used again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing.
    InOrder,
    /// A statement was begun, and nobody has seen its end.
    Busy,
    /// A transaction is open.
    InTransaction,
    /// It cannot be used again.
    Broken,
}

/// A connection for the time of some statements.
pub(crate) struct Lease {
    /// Taken when it is dropped.
    connection: Option<Object<Manager>>,
    suspicion: Arc<Suspicion>,
    state: State,
}

impl Lease {
    /// The connection, for one statement, whose outcome goes to [`Lease::seen`].
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        if self.state == State::InOrder {
            self.state = State::Busy;
        }
        self.connection
            .as_deref_mut()
            .ok_or(Error::Internal(Cause::new("a lease without connection")))
    }

    /// The first row of a SELECT, for somebody else to read.
    pub(crate) async fn fetch_row(mut self, query: Query) -> Result<Option<PgRow>, Error> {
        let (sql, args) = query.postgres()?;
        let found = query_with(sql, args).fetch_optional(self.connection()?).await;
        self.seen(found)
    }

    /// Takes the outcome of a statement outside of a transaction.
    pub(crate) fn seen<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        self.note(&outcome, State::InOrder);
        outcome.map_err(|error| self.suspicion.raise(error))
    }

    /// Begins a transaction, which ends by [`Lease::end`] or is rolled back when this is dropped.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        // From here on it may be open, also when this is given up half-way.
        self.state = State::InTransaction;
        let begun = self.connection()?.execute("BEGIN").await;
        self.note(&begun, State::InTransaction);
        begun.map(drop).map_err(|error| self.suspicion.raise(error))
    }

    /// Takes the outcome of a statement within a transaction.
    pub(crate) fn seen_within<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        self.note(&outcome, State::InTransaction);
        outcome.map_err(|error| self.suspicion.raise(error))
    }

    /// Ends the transaction by COMMIT or ROLLBACK.
    pub(crate) async fn end(mut self, how: &'static str) -> Result<(), Error> {
        let ended = self.connection()?.execute(how).await;
        self.seen(ended).map(drop)
    }

    /// Closes the connection.
    pub(crate) fn discard(mut self) {
        self.state = State::Broken;
    }

    fn note<T>(&mut self, outcome: &Result<T, sqlx::Error>, then: State) {
        self.state = match outcome {
            Err(sqlx::Error::Database(error)) if ends_session(&**error) => State::Broken,
            // What the server refuses, or what cannot be read, ends in order too.
            Ok(_)
            | Err(
                sqlx::Error::Database(_)
                | sqlx::Error::RowNotFound
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_),
            ) => then,
            Err(_) => State::Broken,
        };
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let in_transaction = self.state == State::InTransaction;
        match (self.state, Handle::try_current()) {
            (State::InOrder, _) => drop(connection),
            (State::Broken, _) | (_, Err(_)) => drop(Object::take(connection)),
            (State::Busy | State::InTransaction, Ok(runtime)) => {
                runtime.spawn(put_in_order(connection, in_transaction));
            }
        }
    }
}

/// Reads what is still to come, and ends what is still open. Until then nobody else gets it.
async fn put_in_order(mut connection: Object<Manager>, in_transaction: bool) {
    let work = async {
        connection.ping().await?;
        if in_transaction {
            connection.execute("ROLLBACK").await?;
        }
        Ok::<(), sqlx::Error>(())
    };
    if !matches!(tokio::time::timeout(CLEAN_UP_TIMEOUT, work).await, Ok(Ok(()))) {
        drop(Object::take(connection));
    }
}
