//! A unit of work: several writes that commit together or not at all.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::{Cause, Error};
use crate::lease::{Kind, Lease};
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

    /// Begins a statement, which counts as failed until `has_failed` is reset.
    fn begin_statement(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.has_failed, true) {
            return Err(Error::Internal(Cause::new("a statement after a failed one")));
        }
        Ok(())
    }

    /// Returns the first row of a SELECT, if any.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Returns all rows of a SELECT.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        self.begin_statement()?;
        let query = query.require_select()?;
        let found = match &mut self.transaction {
            Transaction::Postgres(lease) => lease.fetch_all(Kind::Read, &query).await?,
            Transaction::Sqlite(lease) => lease.fetch_all(Kind::Read, query).await?,
        };
        self.has_failed = false;
        Ok(found)
    }

    /// Makes a write. Returns the row that it touched, if any.
    pub async fn write<T: Row>(&mut self, write: impl Into<Write>) -> Result<Option<T>, Error> {
        Ok(self.write_all(write.into()).await?.into_iter().next())
    }

    /// Makes a write. Returns all rows that it touched.
    pub async fn write_all<T: Row>(&mut self, write: Write) -> Result<Vec<T>, Error> {
        self.begin_statement()?;
        let (journals, origin) = (&self.journals, &self.origin);
        let written = match &mut self.transaction {
            Transaction::Postgres(lease) => {
                lease.fetch_all(Kind::Write, &write.combined(journals, origin)).await?
            }
            Transaction::Sqlite(lease) => {
                read_rows(&write_parts(lease, &write, journals, origin).await?)?
            }
        };
        self.has_failed = false;
        Ok(written)
    }

    /// Runs a write to a table that holds no records, as [`crate::Db::untracked`] does. Returns the
    /// number of rows touched.
    pub async fn untracked(&mut self, query: Query) -> Result<u64, Error> {
        self.begin_statement()?;
        let count = match &mut self.transaction {
            Transaction::Postgres(lease) => lease.execute(Kind::Write, &query).await?,
            Transaction::Sqlite(lease) => lease.execute(Kind::Write, query).await?,
        };
        self.has_failed = false;
        Ok(count)
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

/// Makes a write within a transaction of SQLite, where a CTE cannot write: first the claim, then
/// the statement, then the journal entries. Returns no rows if the request id was claimed before.
pub(crate) async fn write_parts(
    lease: &mut Lease<sqlite::Manager>,
    write: &Write,
    journals: &[Arc<dyn Journal>],
    origin: &Origin,
) -> Result<Vec<SqliteRow>, Error> {
    if let Some(claim) = write.claim(origin)
        && lease.execute(Kind::Write, claim).await? == 0
    {
        return Ok(Vec::new());
    }
    let rows = lease.write_rows(write.statement(Backend::Sqlite)).await?;
    if !rows.is_empty() && !journals.is_empty() {
        let touched = rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("version")?)));
        let touched: Vec<(Uuid, i64)> = touched.collect::<Result<_, sqlx::Error>>()?;
        for journal in journals {
            lease.execute(Kind::Write, write.entry(&touched, &**journal, origin)).await?;
        }
    }
    Ok(rows)
}

pub(crate) fn read_rows<T: Row>(rows: &[SqliteRow]) -> Result<Vec<T>, Error> {
    Ok(rows.iter().map(T::from_row).collect::<Result<_, _>>()?)
}
