//! A connection for the time of some statements.
//!
//! sqlx's own pool asks the server for a sign of life each time a connection comes back: a second
//! round trip for every query, which costs a third of PostgreSQL's reads per second. Here a connection
//! that ended its work in order goes back as it is; one whose work was given up (the client went away)
//! is put in order first, in the background.
//!
//! Transactions are begun and ended by plain statements. sqlx counts open transactions, and its count
//! is wrong after SQLite has rolled back by itself, as it does when the disk is full: the one connection
//! for writing would then refuse to begin another transaction.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Object};
use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::{Cause, Error};
use crate::signs::Signs;

/// Time for putting a connection in order.
pub(crate) const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// A database whose connections can be leased.
pub(crate) trait Leased: Manager<Type: Connection, Error = sqlx::Error> {
    /// Begins a transaction that may write.
    const BEGIN: &'static str;

    /// Runs a statement.
    fn run(
        connection: &mut Self::Type,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Whether a connection is of no use after this error of the database.
    fn is_last(error: &dyn sqlx::error::DatabaseError) -> bool;
}

/// What must happen to a connection before it is used again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing.
    InOrder,
    /// A statement was begun, and its outcome is unknown.
    Busy,
    /// A transaction is open.
    InTransaction,
    /// It cannot be used again.
    Broken,
}

/// See the module.
pub(crate) struct Lease<M: Leased + 'static> {
    /// Taken when it is dropped.
    connection: Option<Object<M>>,
    signs: Arc<Signs>,
    state: State,
    /// Whether the transaction has written.
    has_written: bool,
}

impl<M: Leased> Lease<M> {
    pub(crate) fn new(connection: Object<M>, signs: Arc<Signs>) -> Self {
        let state = State::InOrder;
        Self { connection: Some(connection), signs, state, has_written: false }
    }

    /// The connection, for one statement, whose outcome goes to [`Lease::seen`] or one of its kind.
    pub(crate) fn connection(&mut self) -> Result<&mut M::Type, Error> {
        match self.state {
            State::InOrder => self.state = State::Busy,
            State::Busy | State::InTransaction => {}
            // The transaction is over: another statement would run outside of it.
            State::Broken => {
                return Err(Error::Unavailable(Cause::new("the connection has failed before")));
            }
        }
        self.connection
            .as_deref_mut()
            .ok_or(Error::Internal(Cause::new("a lease without connection")))
    }

    /// Takes the outcome of a read outside of a transaction.
    pub(crate) fn seen<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        self.note(outcome, State::InOrder)
    }

    /// Takes the outcome of a write outside of a transaction.
    pub(crate) fn written<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        let outcome = self.note(outcome, State::InOrder);
        self.signs.note_write(outcome.as_ref().map(drop));
        outcome
    }

    /// Takes the outcome of a check's write, which only counts if it failed.
    pub(crate) fn beaten<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, Error> {
        let outcome = self.note(outcome, State::InOrder);
        if let Err(error) = &outcome {
            self.signs.note_write(Err(error));
        }
        outcome
    }

    /// Begins a transaction, which ends by [`Lease::commit`] or is rolled back when this is dropped.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.connection()?;
        // From here on it may be open, also when this is given up half-way.
        self.state = State::InTransaction;
        let begun = M::run(self.connection()?, M::BEGIN).await;
        self.note(begun, State::InTransaction)
    }

    /// Takes the outcome of a statement within a transaction.
    pub(crate) fn seen_within<T>(
        &mut self,
        is_write: bool,
        outcome: Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let outcome = self.note(outcome, State::InTransaction);
        self.has_written |= is_write;
        if is_write && let Err(error) = &outcome {
            self.signs.note_write(Err(error));
        }
        outcome
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let outcome = self.end().await;
        if self.has_written {
            self.signs.note_write(outcome.as_ref().copied());
        }
        outcome
    }

    async fn end(&mut self) -> Result<(), Error> {
        let ended = M::run(self.connection()?, "COMMIT").await;
        // A transaction that cannot be ended is still there.
        let is_open = matches!(&ended, Err(error) if !self.breaks(error));
        self.note(ended, if is_open { State::InTransaction } else { State::InOrder })
    }

    /// Closes the connection.
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
        Err(self.signs.raise(error))
    }

    fn breaks(&self, error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(error) => M::is_last(&**error),
            // What cannot be written or read as a value ends in order too.
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
            (State::InOrder, _) => drop(connection),
            (State::Broken, _) | (_, Err(_)) => drop(Object::take(connection)),
            (State::Busy | State::InTransaction, Ok(runtime)) => {
                runtime.spawn(put_in_order(connection, in_transaction));
            }
        }
    }
}

/// Reads what is still to come, and ends what is still open. It is not leased until then. A connection
/// that cannot be put in order is closed.
async fn put_in_order<M: Leased>(mut connection: Object<M>, in_transaction: bool) {
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
