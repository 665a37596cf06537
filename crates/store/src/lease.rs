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
use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::{Cause, Error};
use crate::health::Health;

/// Time limit for cleaning up a connection.
pub(crate) const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// A database whose connections can be leased.
pub(crate) trait Leased: Manager<Type: Connection, Error = sqlx::Error> {
    /// Begins a transaction that may write.
    const BEGIN: &'static str;

    fn run(
        connection: &mut Self::Type,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Whether a connection is unusable after this error of the database.
    fn breaks_connection(error: &dyn sqlx::error::DatabaseError) -> bool;
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

    /// Returns the connection for one statement. Its outcome goes to [`Lease::finish_read`] or
    /// another of the `finish_` methods.
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

    /// Records the outcome of a read outside of a transaction.
    pub(crate) fn finish_read<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        self.note(outcome, State::Clean)
    }

    /// Records the outcome of a write outside of a transaction.
    pub(crate) fn finish_write<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        let outcome = self.note(outcome, State::Clean);
        self.health.note_write(outcome.as_ref().map(drop));
        outcome
    }

    /// Records the outcome of a heartbeat. For [`Health`], it counts as a write only if it failed.
    pub(crate) fn finish_check<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        let outcome = self.note(outcome, State::Clean);
        if let Err(error) = &outcome {
            self.health.note_write(Err(error));
        }
        outcome
    }

    /// Begins a transaction. Dropping the lease without [`Lease::commit`] rolls it back.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.connection()?;
        // From here on it may be open, even if this future is cancelled.
        self.state = State::InTransaction;
        let begun = M::run(self.connection()?, M::BEGIN).await;
        self.note(begun, State::InTransaction)
    }

    /// Records the outcome of a statement within a transaction.
    pub(crate) fn finish_in_transaction<T>(
        &mut self,
        is_write: bool,
        outcome: Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let outcome = self.note(outcome, State::InTransaction);
        self.has_written |= is_write;
        if is_write && let Err(error) = &outcome {
            self.health.note_write(Err(error));
        }
        outcome
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
        let is_open = matches!(&ended, Err(error) if !self.breaks(error));
        self.note(ended, if is_open { State::InTransaction } else { State::Clean })
    }

    /// Closes the connection instead of returning it to the pool.
    pub(crate) fn discard(mut self) {
        self.state = State::Broken;
    }

    fn note<T>(&mut self, outcome: Result<T, sqlx::Error>, then: State) -> Result<T, Error> {
        let error = match outcome {
            Ok(done) => {
                self.state = then;
                return Ok(done);
            }
            Err(error) => error,
        };
        self.state = if self.breaks(&error) { State::Broken } else { then };
        Err(self.health.classify(error))
    }

    fn breaks(&self, error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(error) => M::breaks_connection(&**error),
            // After a value that cannot be encoded or decoded, the connection is usable.
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_) => false,
            _ => true,
        }
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
