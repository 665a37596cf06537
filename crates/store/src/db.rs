//! A database, and statements outside of transactions.

use std::sync::Arc;
use std::time::Duration;

use sqlx::FromRow;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Cause, Error};
use crate::health::WriteState;
use crate::lease::{Kind, Lease};
use crate::postgres::Postgres;
use crate::query::Query;
use crate::row::{Backend, Row};
use crate::shared_commits::{Job, SharedCommits};
use crate::shared_reads::SharedReads;
use crate::sqlite::Sqlite;
use crate::work::{Transaction, Work, read_rows};
use crate::write::{Journal, MAX_JOURNALS, Origin, Write};

/// A database. Clones are cheap and share the connections.
#[derive(Clone)]
pub struct Db {
    pub(crate) pools: Pools,
    journals: Arc<[Arc<dyn Journal>]>,
    /// Permits for reads of several statements, as many as connections.
    long_reads: Arc<Semaphore>,
}

#[derive(Clone)]
pub(crate) enum Pools {
    Postgres(Postgres, Arc<SharedReads>),
    Sqlite(Sqlite, Arc<SharedCommits>),
}

/// Time limit of [`Db::check`]: shorter than the timeout of any probe.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit for the permit of [`Db::long_read`].
const LONG_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a committed write proves that the database accepts writes.
const RECENT_WRITE: Duration = Duration::from_secs(10);
/// How long a database may be busy without committing a write.
const MAX_BUSY: Duration = Duration::from_secs(30);

impl Db {
    pub(crate) fn new(pools: Pools) -> Self {
        let readers = match &pools {
            Pools::Postgres(pool, _) => pool.max_size(),
            Pools::Sqlite(pool, _) => pool.readers.max_size(),
        };
        Self { pools, journals: Arc::new([]), long_reads: Semaphore::new(readers).into() }
    }

    /// Returns the kind of the database.
    pub fn backend(&self) -> Backend {
        match self.pools {
            Pools::Postgres(..) => Backend::Postgres,
            Pools::Sqlite(..) => Backend::Sqlite,
        }
    }

    /// Returns the first row of a SELECT, if any.
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        let query = query.require_select()?;
        match &self.pools {
            Pools::Postgres(pool, _) => decode(pool.retry(|lease| lease.fetch_row(&query)).await?),
            Pools::Sqlite(pool, _) => decode(pool.readers.lease().await?.fetch_row(query).await?),
        }
    }

    /// Like [`Db::fetch_optional`], for frequent lookups by index. On PostgreSQL, concurrent
    /// lookups with the same text share a statement, and each waits for the slowest of them.
    pub async fn find<T: Row>(&self, query: Query) -> Result<Option<T>, Error> {
        match &self.pools {
            Pools::Postgres(pool, reads) => {
                decode(reads.find(pool, query.require_select()?).await?)
            }
            Pools::Sqlite(..) => self.fetch_optional(query).await,
        }
    }

    /// Returns the row of a SELECT that always finds one, such as a COUNT.
    pub async fn fetch_one<T: Row>(&self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(|| {
            Error::Internal(Cause::new("a statement that always returns a row returned none"))
        })
    }

    /// Returns all rows of a SELECT.
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, Error> {
        let query = query.require_select()?;
        match &self.pools {
            Pools::Postgres(pool, _) => {
                let query = &query;
                let read =
                    |mut lease: Lease<_>| async move { lease.fetch_all(Kind::Read, query).await };
                pool.retry(read).await
            }
            Pools::Sqlite(pool, _) => {
                pool.readers.lease().await?.fetch_all(Kind::Read, query).await
            }
        }
    }

    /// Waits for a permit for a read of several statements. Callers that hold rows while they wait
    /// for a connection would fill the memory, so each holds a permit from its first statement to
    /// its last.
    ///
    /// # Errors
    /// [`Error::Busy`] if none is free in time.
    pub async fn long_read(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = self.long_reads.clone().acquire_owned();
        match tokio::time::timeout(LONG_READ_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }

    /// Commits a write. Returns the row that it touched, if any.
    pub async fn save<T: Row>(
        &self,
        origin: &Origin,
        write: impl Into<Write>,
    ) -> Result<Option<T>, Error> {
        Ok(self.save_all(origin, write.into()).await?.into_iter().next())
    }

    /// Commits a write. Returns all rows that it touched.
    pub async fn save_all<T: Row>(&self, origin: &Origin, write: Write) -> Result<Vec<T>, Error> {
        match &self.pools {
            Pools::Postgres(pool, _) => {
                let statement = write.combined(&self.journals, origin);
                pool.lease().await?.fetch_all(Kind::Write, &statement).await
            }
            Pools::Sqlite(pool, commits) => {
                let (journals, origin) = (self.journals.clone(), origin.clone());
                let job = Box::new(Job { write, journals, origin });
                read_rows(&commits.save(pool, job).await?)
            }
        }
    }

    /// Begins a unit of work.
    pub async fn work(&self, origin: &Origin) -> Result<Work, Error> {
        let transaction = match &self.pools {
            Pools::Postgres(pool, _) => Transaction::Postgres(pool.begin().await?),
            Pools::Sqlite(pool, _) => {
                let mut lease = pool.writer.lease().await?;
                lease.begin().await?;
                Transaction::Sqlite(lease)
            }
        };
        Ok(Work::new(transaction, self.journals.clone(), origin.clone()))
    }

    /// Returns a handle for writes without journal entries: to tables that hold no records (request
    /// ids, cursors, outboxes), and to clean up old rows. Tests and benchmarks fill tables with it.
    pub fn untracked(&self) -> Untracked<'_> {
        Untracked(self)
    }

    /// Adds a journal, in which every write gets an entry.
    ///
    /// # Panics
    /// If there are more than two journals.
    pub fn with_journal(self, journal: impl Journal) -> Self {
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let journals: Arc<[_]> = self.journals.iter().cloned().chain([journal]).collect();
        assert!(journals.len() <= MAX_JOURNALS, "too many journals");
        Self { journals, ..self }
    }

    /// Checks that the database answers and accepts writes, for readiness probes. Takes at most two
    /// seconds. The schema must have the table `heartbeat`.
    ///
    /// A recent successful write is proof enough. If there was none, or one has failed since, this
    /// makes a small write, the heartbeat. A database that is busy with writes passes.
    pub async fn check(&self) -> Result<(), Error> {
        tokio::time::timeout(CHECK_TIMEOUT, self.check_now())
            .await
            .unwrap_or_else(|_| Err(Error::Unavailable(Cause::new("no answer in time"))))
    }

    async fn check_now(&self) -> Result<(), Error> {
        // Retry, because the first connection may be dead or lead to a standby.
        if self.ping().await.is_err() {
            self.ping().await?;
        }
        let health = match &self.pools {
            Pools::Postgres(pool, _) => &pool.health,
            Pools::Sqlite(pool, _) => &pool.writer.health,
        };
        match health.write_state(RECENT_WRITE) {
            WriteState::Accepted => return Ok(()),
            WriteState::Refused => {
                return Err(Error::Unavailable(Cause::new("there is no space for writes")));
            }
            WriteState::Unknown => {}
        }
        let heartbeat = match self.heartbeat().await {
            Err(Error::Unavailable(_)) => self.heartbeat().await,
            done => done,
        };
        match heartbeat {
            Ok(_) => {
                health.note_heartbeat();
                Ok(())
            }
            Err(Error::Busy) if !health.has_written_within(MAX_BUSY) => {
                Err(Error::Unavailable(Cause::new("no write was committed recently")))
            }
            Err(Error::Busy | Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn heartbeat(&self) -> Result<u64, Error> {
        let query = Query::new("UPDATE heartbeat SET beats = beats + 1");
        match &self.pools {
            Pools::Postgres(pool, _) => pool.heartbeat(&query).await,
            Pools::Sqlite(pool, _) => {
                pool.writer.lease_now().await?.execute(Kind::Heartbeat, query).await
            }
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        match &self.pools {
            Pools::Postgres(pool, _) => pool.ping().await,
            Pools::Sqlite(pool, _) => match pool.readers.lease_now().await {
                Ok(lease) => lease.fetch_row(Query::new("SELECT 1")).await.map(drop),
                // All readers are in use, so reads work.
                Err(Error::Busy) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits a bounded time until the statements under way are done, and closes all connections.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool, reads) => pool.close(|| reads.is_idle()).await,
            Pools::Sqlite(pool, _) => pool.close().await,
        }
    }
}

/// See [`Db::untracked`].
#[derive(Clone, Copy)]
pub struct Untracked<'a>(&'a Db);

impl Untracked<'_> {
    /// Commits a statement. Returns the number of rows touched.
    pub async fn execute(self, query: Query) -> Result<u64, Error> {
        match &self.0.pools {
            Pools::Postgres(pool, _) => pool.lease().await?.execute(Kind::Write, &query).await,
            Pools::Sqlite(pool, _) => pool.writer.lease().await?.execute(Kind::Write, query).await,
        }
    }

    /// Commits a statement with RETURNING. Returns all rows that it touched.
    pub async fn fetch_all<T: Row>(self, query: Query) -> Result<Vec<T>, Error> {
        match &self.0.pools {
            Pools::Postgres(pool, _) => pool.lease().await?.fetch_all(Kind::Write, &query).await,
            Pools::Sqlite(pool, _) => {
                pool.writer.lease().await?.fetch_all(Kind::Write, query).await
            }
        }
    }
}

fn decode<R: sqlx::Row, T: for<'r> FromRow<'r, R>>(row: Option<R>) -> Result<Option<T>, Error> {
    Ok(row.map(|row| T::from_row(&row)).transpose()?)
}
