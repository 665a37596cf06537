//! The pools, and statements outside of transactions.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, SqlitePool, query_as_with, query_with};

use crate::error::{Cause, Error};
use crate::postgres::Postgres;
use crate::query::Query;
use crate::sqlite::Readers;
use crate::tx::{Inner, Tx};

/// A database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Db(pub(crate) Pools);

#[derive(Clone)]
pub(crate) enum Pools {
    Postgres(Postgres),
    /// SQLite lets many read while one writes. With a single connection for writing, writers queue
    /// in the pool, in order, instead of polling for the file's lock.
    Sqlite {
        read: Readers,
        write: SqlitePool,
    },
}

/// Which database it is. For what operators are told, never for choosing between two SQL texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// What rows can be read into: everything with `#[derive(sqlx::FromRow)]`, and tuples.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<T> Row for T where T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{}

/// How long [`Db::ping`] waits: shorter than any probe's own timeout.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Db {
    /// Which database it is.
    pub fn backend(&self) -> Backend {
        match self.0 {
            Pools::Postgres(_) => Backend::Postgres,
            Pools::Sqlite { .. } => Backend::Sqlite,
        }
    }

    /// The first row that a SELECT finds, if any.
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.fetch_optional(query).await,
            Pools::Sqlite { read, .. } => read.fetch_optional(query).await,
        }
    }

    /// [`Db::fetch_optional`] for what an index finds at once, and many ask for. On PostgreSQL
    /// those who ask for the same with other values at the same time share a statement, and each
    /// waits for the slowest of them.
    pub async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.find(query).await,
            Pools::Sqlite { .. } => self.fetch_optional(query).await,
        }
    }

    /// The row of a SELECT that always finds one, such as a COUNT.
    pub async fn fetch_one<T: Row>(&self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows that a SELECT finds.
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => {
                let (sql, args) = query.postgres()?;
                let mut lease = pool.lease().await?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen(found)
            }
            Pools::Sqlite { read, .. } => read.fetch_all(query).await,
        }
    }

    /// The row that an INSERT, UPDATE or DELETE with RETURNING touched, if any. Committed when this
    /// returns.
    pub async fn write_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        Ok(self.write_all(query).await?.into_iter().next())
    }

    /// The row of an INSERT … RETURNING that always makes one. Committed when this returns.
    pub async fn write_one<T: Row>(&self, query: Query) -> Result<T, Error> {
        self.write_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows that a write with RETURNING touched. Committed when this returns.
    pub async fn write_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => {
                let (sql, args) = query.postgres()?;
                let mut lease = pool.lease().await?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen(found)
            }
            // Never fetch_optional: sqlx hands out the first row before SQLite has stepped to the
            // end of the statement, which is where it commits.
            Pools::Sqlite { write, .. } => {
                let (sql, args) = query.sqlite()?;
                Ok(query_as_with(sql, args).fetch_all(write).await?)
            }
        }
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub async fn execute(&self, query: Query) -> Result<u64, Error> {
        match &self.0 {
            Pools::Postgres(pool) => {
                let (sql, args) = query.postgres()?;
                let mut lease = pool.lease().await?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.seen(done)?.rows_affected())
            }
            Pools::Sqlite { write, .. } => {
                let (sql, args) = query.sqlite()?;
                Ok(query_with(sql, args).execute(write).await?.rows_affected())
            }
        }
    }

    /// Begins a transaction that may write. Await nothing but the database before its commit.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx(match &self.0 {
            Pools::Postgres(pool) => {
                let mut lease = pool.lease().await?;
                lease.begin().await?;
                Inner::Postgres(lease)
            }
            // A deferred transaction that reads first and writes later fails at once with
            // SQLITE_BUSY when another process wrote in between; an immediate one waits its turn.
            Pools::Sqlite { write, .. } => {
                Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?)
            }
        }))
    }

    /// Whether the database answers, for readiness probes. Takes at most two seconds.
    pub async fn ping(&self) -> Result<(), Error> {
        let answer = async {
            match &self.0 {
                Pools::Postgres(pool) => pool.ping().await,
                Pools::Sqlite { .. } => {
                    self.fetch_optional::<()>(Query::new("SELECT 1")).await.map(drop)
                }
            }
        };
        match tokio::time::timeout(PING_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Unavailable(Cause::new("no answer in time"))),
        }
    }

    /// Waits until every statement under way is done and closes all connections.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Postgres(pool) => pool.close().await,
            // The writer last: only it may write, and whoever closes last folds the WAL back into
            // the file.
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

pub(crate) fn no_row() -> Error {
    Error::Internal(Cause::new("a statement that always gives a row gave none"))
}
