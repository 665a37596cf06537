//! The pools, and statements outside of transactions.

use std::time::Duration;

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::error::{Cause, Error};
use crate::postgres::Postgres;
use crate::query::Query;
use crate::signs::Writes;
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
/// How long a committed write counts as proof that the database takes writes.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// How long a database may be busy without committing anything.
const BUSY_FOR: Duration = Duration::from_secs(30);

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
            Pools::Postgres(pool) => Inner::Postgres(pool.begin().await?),
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
        let unanswered = || Err(Error::Unavailable(Cause::new("no answer in time")));
        tokio::time::timeout(CHECK_TIMEOUT, self.check_now()).await.unwrap_or_else(|_| unanswered())
    }

    async fn check_now(&self) -> Result<(), Error> {
        // Once more, because the first connection may be one that is dead or leads to a standby.
        if self.ping().await.is_err() {
            self.ping().await?;
        }
        let signs = match &self.0 {
            Pools::Postgres(pool) => pool.signs(),
            Pools::Sqlite(pool) => pool.signs(),
        };
        match signs.writes(BEAT_EVERY) {
            Writes::Taken => return Ok(()),
            Writes::Refused => {
                return Err(Error::Unavailable(Cause::new("there is no space for writes")));
            }
            Writes::Unknown => {}
        }
        let beat = match self.beat().await {
            Err(Error::Unavailable(_)) => self.beat().await,
            beat => beat,
        };
        match beat {
            Ok(_) => {
                signs.note_beat();
                Ok(())
            }
            Err(Error::Busy) if !signs.has_written(BUSY_FOR) => {
                Err(Error::Unavailable(Cause::new("no write was committed for a while")))
            }
            Err(Error::Busy | Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn beat(&self) -> Result<u64, Error> {
        let beat = Query::new("UPDATE heartbeat SET beats = beats + 1");
        match &self.0 {
            Pools::Postgres(pool) => pool.beat(&beat).await,
            Pools::Sqlite(pool) => pool.writer_now().await?.beat(beat).await,
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
