//! The pools, and statements outside of transactions.

use std::sync::Arc;
use std::time::Duration;

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::error::{Cause, Error};
use crate::postgres::Postgres;
use crate::query::Query;
use crate::signs::Writes;
use crate::sqlite::Sqlite;
use crate::work::{Transaction, Work, write_parts};
use crate::write::{Journal, MOST_JOURNALS, Origin, Write};

/// A database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Db {
    pub(crate) pools: Pools,
    journals: Arc<[Arc<dyn Journal>]>,
}

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

impl From<Pools> for Db {
    fn from(pools: Pools) -> Self {
        Self { pools, journals: Arc::new([]) }
    }
}

impl Db {
    /// Which database it is.
    pub fn backend(&self) -> Backend {
        match self.pools {
            Pools::Postgres(_) => Backend::Postgres,
            Pools::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// The first row that a SELECT finds, if any.
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        let query = query.must_read()?;
        match &self.pools {
            Pools::Postgres(pool) => pool.read(|lease| lease.fetch_optional(&query)).await,
            Pools::Sqlite(pool) => pool.reader().await?.fetch_optional(query).await,
        }
    }

    /// [`Db::fetch_optional`] for what an index finds at once, and many ask for. On PostgreSQL
    /// those who ask for the same with other values at the same time share a statement, and each
    /// waits for the slowest of them.
    pub async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.pools {
            Pools::Postgres(pool) => pool.find(query.must_read()?).await,
            Pools::Sqlite(_) => self.fetch_optional(query).await,
        }
    }

    /// The row of a SELECT that always finds one, such as a COUNT.
    pub async fn fetch_one<T: Row>(&self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows that a SELECT finds.
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        let query = query.must_read()?;
        match &self.pools {
            Pools::Postgres(pool) => pool.read(|lease| lease.fetch_all(&query)).await,
            Pools::Sqlite(pool) => pool.reader().await?.fetch_all(query).await,
        }
    }

    /// Commits a write; gives the row that it touched, if any.
    pub async fn save<T: Row>(
        &self,
        origin: &Origin,
        write: impl Into<Write>,
    ) -> Result<Option<T>, Error> {
        Ok(self.save_all(origin, write.into()).await?.into_iter().next())
    }

    /// Commits a write; gives all rows that it touched.
    pub async fn save_all<T: Row>(&self, origin: &Origin, write: Write) -> Result<Vec<T>, Error> {
        match &self.pools {
            Pools::Postgres(pool) => {
                let statement = write.whole(&self.journals, origin);
                pool.lease().await?.write_all(&statement).await
            }
            Pools::Sqlite(pool) if write.is_alone(&self.journals) => {
                pool.writer().await?.write_all(write.statement(Backend::Sqlite)).await
            }
            Pools::Sqlite(pool) => {
                let mut lease = pool.writer().await?;
                lease.begin().await?;
                let rows = write_parts(&mut lease, &write, &self.journals, origin).await?;
                lease.commit().await?;
                Ok(rows)
            }
        }
    }

    /// Begins a unit of work.
    pub async fn work(&self, origin: &Origin) -> Result<Work, Error> {
        let transaction = match &self.pools {
            Pools::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
            Pools::Sqlite(pool) => {
                let mut lease = pool.writer().await?;
                lease.begin().await?;
                Transaction::Sqlite(lease)
            }
        };
        Ok(Work::new(transaction, self.journals.clone(), origin.clone()))
    }

    /// Writes without journal entries: to tables that hold no records (request ids, cursors,
    /// outboxes), and the clean-up of what has long ended. Tests and benchmarks fill tables with it.
    pub fn untracked(&self) -> Untracked<'_> {
        Untracked(self)
    }

    /// The same database, whose writes also get an entry in this journal.
    ///
    /// # Panics
    /// With more than two journals.
    pub fn with_journal(self, journal: impl Journal) -> Self {
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let journals: Arc<[_]> = self.journals.iter().cloned().chain([journal]).collect();
        assert!(journals.len() <= MOST_JOURNALS, "too many journals");
        Self { journals, ..self }
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
        let signs = match &self.pools {
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
        match &self.pools {
            Pools::Postgres(pool) => pool.beat(&beat).await,
            Pools::Sqlite(pool) => pool.writer_now().await?.beat(beat).await,
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        match &self.pools {
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
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite(pool) => pool.close().await,
        }
    }
}

/// See [`Db::untracked`].
#[derive(Clone, Copy)]
pub struct Untracked<'a>(&'a Db);

impl Untracked<'_> {
    /// Commits a statement; gives the number of rows touched.
    pub async fn execute(self, query: Query) -> Result<u64, Error> {
        match &self.0.pools {
            Pools::Postgres(pool) => pool.lease().await?.execute(&query).await,
            Pools::Sqlite(pool) => pool.writer().await?.execute(query).await,
        }
    }

    /// Commits a statement with RETURNING; gives all rows that it touched.
    pub async fn fetch_all<T: Row>(self, query: Query) -> Result<Vec<T>, Error> {
        match &self.0.pools {
            Pools::Postgres(pool) => pool.lease().await?.write_all(&query).await,
            Pools::Sqlite(pool) => pool.writer().await?.write_all(query).await,
        }
    }
}

fn no_row() -> Error {
    Error::Internal(Cause::new("a statement that always gives a row gave none"))
}
