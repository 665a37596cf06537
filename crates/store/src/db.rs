//! The pools, and statements outside of transactions.

use std::time::Duration;

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::error::{Cause, Error};
use crate::postgres::Postgres;
use crate::query::Query;
use crate::sqlite::Sqlite;
use crate::tx::{Inner, Tx};

/// A database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Db(pub(crate) Pools);

#[derive(Clone)]
pub(crate) enum Pools {
    Postgres(Postgres),
    Sqlite(Sqlite),
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

/// How long [`Db::check`] waits: shorter than any probe's own timeout.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// For how long a write says that the database takes writes.
const BEAT_EVERY: Duration = Duration::from_secs(10);

impl Db {
    /// Which database it is.
    pub fn backend(&self) -> Backend {
        match self.0 {
            Pools::Postgres(_) => Backend::Postgres,
            Pools::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// The first row that a SELECT finds, if any.
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.read(|lease| lease.fetch_optional(&query)).await,
            Pools::Sqlite(pool) => pool.reader().await?.fetch_optional(query).await,
        }
    }

    /// [`Db::fetch_optional`] for what an index finds at once, and many ask for. On PostgreSQL
    /// those who ask for the same with other values at the same time share a statement, and each
    /// waits for the slowest of them.
    pub async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.find(query).await,
            Pools::Sqlite(_) => self.fetch_optional(query).await,
        }
    }

    /// The row of a SELECT that always finds one, such as a COUNT.
    pub async fn fetch_one<T: Row>(&self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows that a SELECT finds.
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.read(|lease| lease.fetch_all(&query)).await,
            Pools::Sqlite(pool) => pool.reader().await?.fetch_all(query).await,
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
            Pools::Postgres(pool) => pool.lease().await?.write_all(&query).await,
            Pools::Sqlite(pool) => pool.writer().await?.write_all(query).await,
        }
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub async fn execute(&self, query: Query) -> Result<u64, Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.lease().await?.execute(&query).await,
            Pools::Sqlite(pool) => pool.writer().await?.execute(query).await,
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
            Pools::Sqlite(pool) => {
                let mut lease = pool.writer().await?;
                lease.begin().await?;
                Inner::Sqlite(lease)
            }
        }))
    }

    /// Whether the database answers and takes writes, for readiness probes. Takes at most two seconds.
    /// The schema must have the table `heartbeat`.
    ///
    /// Real writes say whether it takes them. When there was none for a while, or one failed, this
    /// makes a small one. A database that is busy writing takes writes.
    pub async fn check(&self) -> Result<(), Error> {
        let check = async {
            self.ping().await?;
            let signs = match &self.0 {
                Pools::Postgres(pool) => pool.signs(),
                Pools::Sqlite(pool) => pool.signs(),
            };
            if signs.takes_writes(BEAT_EVERY) {
                return Ok(());
            }
            match self.beat().await {
                Ok(_) | Err(Error::Busy | Error::Conflict) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let unanswered = || Err(Error::Unavailable(Cause::new("no answer in time")));
        tokio::time::timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| unanswered())
    }

    async fn beat(&self) -> Result<u64, Error> {
        let beat = Query::new("UPDATE heartbeat SET beats = beats + 1");
        match &self.0 {
            Pools::Postgres(pool) => pool.lease_now().await?.execute(&beat).await,
            Pools::Sqlite(pool) => pool.writer_now().await?.execute(beat).await,
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        match &self.0 {
            Pools::Postgres(pool) => pool.ping().await,
            Pools::Sqlite(pool) => match pool.reader_now().await {
                Ok(lease) => lease.fetch_optional::<()>(Query::new("SELECT 1")).await.map(drop),
                // Those that read get answers.
                Err(Error::Busy) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits until every statement under way is done and closes all connections.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite(pool) => pool.close().await,
        }
    }
}

pub(crate) fn no_row() -> Error {
    Error::Internal(Cause::new("a statement that always gives a row gave none"))
}
