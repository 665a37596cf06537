//! A unit of work: several writes that commit together or not at all.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query_as_with, query_with};
use uuid::Uuid;

use crate::error::{Cause, Error};
use crate::lease::Lease;
use crate::query::Query;
use crate::row::{Backend, Row};
use crate::write::{Journal, Origin, Write};
use crate::{postgres, sqlite};

/// A unit of work, begun by [`crate::Db::work`]. Dropping it rolls back its writes. Await nothing
/// but the database until it is saved.
#[must_use = "work that is dropped is rolled back"]
pub struct Work {
    transaction: Transaction,
    journals: Arc<[Arc<dyn Journal>]>,
    origin: Origin,
    /// Whether a statement has failed or was cancelled. PostgreSQL would answer COMMIT with a
    /// rollback; SQLite would commit the other statements.
    has_failed: bool,
}

pub(crate) enum Transaction {
    Postgres(Lease<postgres::Manager>),
    Sqlite(Lease<sqlite::Manager>),
}

impl Work {
    pub(crate) fn new(
        transaction: Transaction,
        journals: Arc<[Arc<dyn Journal>]>,
        origin: Origin,
    ) -> Self {
        Self { transaction, journals, origin, has_failed: false }
    }

    /// Returns the transaction for one statement, which counts as failed until [`Work::note`].
    fn statement(&mut self) -> Result<&mut Transaction, Error> {
        if std::mem::replace(&mut self.has_failed, true) {
            return Err(Error::Internal(Cause::new("a statement after a failed one")));
        }
        Ok(&mut self.transaction)
    }

    fn note<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.has_failed = outcome.is_err();
        outcome
    }

    /// Returns the first row of a SELECT, if any.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Returns all rows of a SELECT.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        let found = self.statement()?.fetch_all(query).await;
        self.note(found)
    }

    /// Makes a write. Returns the row that it touched, if any.
    pub async fn write<T: Row>(&mut self, write: impl Into<Write>) -> Result<Option<T>, Error> {
        Ok(self.write_all(write.into()).await?.into_iter().next())
    }

    /// Makes a write. Returns all rows that it touched.
    pub async fn write_all<T: Row>(&mut self, write: Write) -> Result<Vec<T>, Error> {
        let (journals, origin) = (self.journals.clone(), self.origin.clone());
        let written = self.statement()?.write_all(&write, &journals, &origin).await;
        self.note(written)
    }

    /// Runs a write to a table that holds no records, as [`crate::Db::untracked`] does. Returns the
    /// number of rows touched.
    pub async fn untracked(&mut self, query: Query) -> Result<u64, Error> {
        let done = self.statement()?.execute(query).await;
        self.note(done)
    }

    /// Commits the work. After `Ok`, none of its writes can be lost.
    ///
    /// # Errors
    /// Also if one of its statements has failed. The work is then rolled back.
    pub async fn save(self) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::Internal(Cause::new("work that has failed cannot be saved")));
        }
        match self.transaction {
            Transaction::Postgres(lease) => lease.commit().await,
            Transaction::Sqlite(lease) => lease.commit().await,
        }
    }
}

impl Transaction {
    async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        let query = query.require_select()?;
        match self {
            Self::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.finish_in_transaction(false, found)
            }
            Self::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.finish_in_transaction(false, found)
            }
        }
    }

    async fn write_all<T: Row>(
        &mut self,
        write: &Write,
        journals: &[Arc<dyn Journal>],
        origin: &Origin,
    ) -> Result<Vec<T>, Error> {
        match self {
            Self::Postgres(lease) => {
                let (sql, args) = write.combined(journals, origin).postgres()?;
                let written = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.finish_in_transaction(true, written)
            }
            Self::Sqlite(lease) => read_rows(&write_parts(lease, write, journals, origin).await?),
        }
    }

    async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        match self {
            Self::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.finish_in_transaction(true, done)?.rows_affected())
            }
            Self::Sqlite(lease) => execute(lease, query).await,
        }
    }
}

/// Makes a write within a transaction of SQLite, where a CTE cannot write: first the claim, then
/// the statement, then the journal entries. Returns no rows if the request id was claimed before.
pub(crate) async fn write_parts(
    lease: &mut Lease<sqlite::Manager>,
    write: &Write,
    journals: &[Arc<dyn Journal>],
    origin: &Origin,
) -> Result<Vec<SqliteRow>, Error> {
    if let Some(claim) = write.claim(origin)
        && execute(lease, claim).await? == 0
    {
        return Ok(Vec::new());
    }
    let (sql, args) = write.statement(Backend::Sqlite).sqlite()?;
    let rows = query_with(sql, args).fetch_all(lease.connection()?).await;
    let rows: Vec<SqliteRow> = lease.finish_in_transaction(true, rows)?;
    if !rows.is_empty() && !journals.is_empty() {
        let touched = |row: &SqliteRow| Ok((row.try_get("id")?, row.try_get("version")?));
        let touched: Result<Vec<(Uuid, i64)>, sqlx::Error> = rows.iter().map(touched).collect();
        let touched = touched?;
        for journal in journals {
            execute(lease, write.entry(&touched, &**journal, origin)).await?;
        }
    }
    Ok(rows)
}

pub(crate) fn read_rows<T: Row>(rows: &[SqliteRow]) -> Result<Vec<T>, Error> {
    let rows: Result<Vec<T>, sqlx::Error> = rows.iter().map(T::from_row).collect();
    Ok(rows?)
}

async fn execute(lease: &mut Lease<sqlite::Manager>, query: Query) -> Result<u64, Error> {
    let (sql, args) = query.sqlite()?;
    let done = query_with(sql, args).execute(lease.connection()?).await;
    Ok(lease.finish_in_transaction(true, done)?.rows_affected())
}
