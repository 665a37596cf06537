//! Leases a pooled connection for some statements.
//!
//! sqlx's own pool pings the server each time a connection is returned. This second round trip for
//! every query costs a third of PostgreSQL's reads per second. Here, a connection is returned as it
//! is if its work is done. If its work was cancelled (the client disconnected), it is first cleaned
//! up in the background.
//!
//! Transactions begin and end by plain statements. sqlx counts open transactions, and its count is
//! wrong after SQLite rolls back by itself, as it does when the disk is full. The only connection
//! for writes would then refuse to begin another transaction.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Object};
use sqlx::{Connection, Database, Executor, FromRow, IntoArguments, query_as_with, query_with};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::{Cause, Error, ends_connection};
use crate::health::Health;
use crate::query::IntoStatement;

/// Time limit for cleaning up a connection.
pub(crate) const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The sqlx driver of a connection.
type DatabaseOf<M> = <<M as Manager>::Type as Connection>::Database;
type RowOf<M> = <DatabaseOf<M> as Database>::Row;

/// A database whose connections can be leased.
pub(crate) trait Leased: Manager<Type: Connection, Error = sqlx::Error> {
    /// Begins a transaction that may write.
    const BEGIN: &'static str;

    /// Runs a statement without arguments.
    fn run(
        connection: &mut Self::Type,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Returns the number of rows that a statement touched. sqlx has no trait for it.
    fn rows_affected(done: &<DatabaseOf<Self> as Database>::QueryResult) -> u64;
}

/// The kind of a statement, which determines what its outcome shows about the database's health.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// The heartbeat of a check. For [`Health`], it counts as a write only if it failed.
    Heartbeat,
}

/// The state of a connection, which determines what must happen before its reuse.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    /// A statement has begun, and its outcome is unknown.
    Busy,
    InTransaction,
    Broken,
}

/// A leased connection, which is returned to the pool on drop.
pub(crate) struct Lease<M: Leased + 'static> {
    /// `None` only during drop.
    connection: Option<Object<M>>,
    health: Arc<Health>,
    state: State,
    /// Whether the transaction has written.
    has_written: bool,
}

impl<M: Leased> Lease<M> {
    pub(crate) fn new(connection: Object<M>, health: Arc<Health>) -> Self {
        let state = State::Clean;
        Self { connection: Some(connection), health, state, has_written: false }
    }

    /// Returns the connection for one statement. Its outcome goes to [`Lease::finish`].
    pub(crate) fn connection(&mut self) -> Result<&mut M::Type, Error> {
        match self.state {
            State::Clean => self.state = State::Busy,
            State::Busy | State::InTransaction => {}
            // A transaction is over, and another statement would run outside of it.
            State::Broken => {
                return Err(Error::Unavailable(Cause::new("the connection has already failed")));
            }
        }
        self.connection
            .as_deref_mut()
            .ok_or(Error::Internal(Cause::new("a lease without connection")))
    }

    /// Records the outcome of a statement. Outside of a transaction, drop the lease after this: it
    /// may be the only connection for writes.
    pub(crate) fn finish<T>(
        &mut self,
        kind: Kind,
        outcome: Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let in_transaction = self.state == State::InTransaction;
        let outcome = self.note(outcome, if in_transaction { self.state } else { State::Clean });
        self.has_written |= kind == Kind::Write;
        match &outcome {
            Err(error) if kind != Kind::Read => self.health.note_write(Err(error)),
            Ok(_) if kind == Kind::Write && !in_transaction => self.health.note_write(Ok(())),
            _ => {}
        }
        outcome
    }

    /// Begins a transaction. Dropping the lease without [`Lease::commit`] rolls it back.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.connection()?;
        // From here on it may be open, even if this future is cancelled.
        self.state = State::InTransaction;
        self.run_in_transaction(M::BEGIN).await
    }

    /// Runs a statement of the transaction that does not write, such as SAVEPOINT.
    pub(crate) async fn run_in_transaction(&mut self, sql: &'static str) -> Result<(), Error> {
        let done = M::run(self.connection()?, sql).await;
        self.note(done, State::InTransaction)
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let outcome = self.end().await;
        if self.has_written {
            self.health.note_write(outcome.as_ref().copied());
        }
        outcome
    }

    async fn end(&mut self) -> Result<(), Error> {
        let ended = M::run(self.connection()?, "COMMIT").await;
        // If COMMIT fails and the connection works, the transaction is still open.
        let then = if ended.is_ok() { State::Clean } else { State::InTransaction };
        self.note(ended, then)
    }

    /// Closes the connection instead of returning it to the pool.
    pub(crate) fn discard(mut self) {
        self.state = State::Broken;
    }

    /// Sets the state to `then`, unless the connection is unusable.
    fn note<T>(&mut self, outcome: Result<T, sqlx::Error>, then: State) -> Result<T, Error> {
        let is_broken = outcome.as_ref().is_err_and(ends_connection);
        self.state = if is_broken { State::Broken } else { then };
        outcome.map_err(|error| self.health.classify(error))
    }
}

impl<M: Leased> Lease<M>
where
    for<'c> &'c mut M::Type: Executor<'c, Database = DatabaseOf<M>>,
    <DatabaseOf<M> as Database>::Arguments: IntoArguments<DatabaseOf<M>>,
{
    /// Returns the first row of a SELECT outside of a transaction, if any.
    pub(crate) async fn fetch_row(
        mut self,
        query: impl IntoStatement<DatabaseOf<M>>,
    ) -> Result<Option<RowOf<M>>, Error> {
        let (sql, args) = query.into_statement()?;
        let found = query_with(sql, args).fetch_optional(self.connection()?).await;
        self.finish(Kind::Read, found)
    }

    /// Returns all rows of a SELECT, or those that a write with RETURNING touched. A write must not
    /// use `fetch_optional`: sqlx returns the first row before SQLite reaches the end of the
    /// statement, where it commits.
    pub(crate) async fn fetch_all<T: for<'r> FromRow<'r, RowOf<M>> + Send + Unpin>(
        &mut self,
        kind: Kind,
        query: impl IntoStatement<DatabaseOf<M>>,
    ) -> Result<Vec<T>, Error> {
        let (sql, args) = query.into_statement()?;
        let found = query_as_with(sql, args).fetch_all(self.connection()?).await;
        self.finish(kind, found)
    }

    /// Runs a write with RETURNING. Returns all rows touched, not yet decoded.
    pub(crate) async fn write_rows(
        &mut self,
        query: impl IntoStatement<DatabaseOf<M>>,
    ) -> Result<Vec<RowOf<M>>, Error> {
        let (sql, args) = query.into_statement()?;
        let written = query_with(sql, args).fetch_all(self.connection()?).await;
        self.finish(Kind::Write, written)
    }

    /// Runs a write without RETURNING. Returns the number of rows touched.
    pub(crate) async fn execute(
        &mut self,
        kind: Kind,
        query: impl IntoStatement<DatabaseOf<M>>,
    ) -> Result<u64, Error> {
        let (sql, args) = query.into_statement()?;
        let done = query_with(sql, args).execute(self.connection()?).await;
        Ok(M::rows_affected(&self.finish(kind, done)?))
    }
}

impl<M: Leased> Drop for Lease<M> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let in_transaction = self.state == State::InTransaction;
        match (self.state, Handle::try_current()) {
            (State::Clean, _) => drop(connection),
            (State::Broken, _) | (_, Err(_)) => drop(Object::take(connection)),
            (State::Busy | State::InTransaction, Ok(runtime)) => {
                runtime.spawn(clean_up(connection, in_transaction));
            }
        }
    }
}

/// Reads pending responses and rolls back an open transaction, and then returns the connection to
/// the pool. Closes it if that fails.
async fn clean_up<M: Leased>(mut connection: Object<M>, in_transaction: bool) {
    let work = async {
        connection.ping().await?;
        if in_transaction {
            M::run(&mut connection, "ROLLBACK").await?;
        }
        Ok::<(), sqlx::Error>(())
    };
    if !matches!(timeout(CLEAN_UP_TIMEOUT, work).await, Ok(Ok(()))) {
        drop(Object::take(connection));
    }
}
