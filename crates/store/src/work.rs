//! A unit of work: several writes, all or none.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query_as_with, query_with};
use uuid::Uuid;

use crate::db::Row;
use crate::error::Error;
use crate::lease::Lease;
use crate::query::Query;
use crate::write::{Journal, Origin, Write};
use crate::{postgres, sqlite};

/// Several writes, made by [`crate::Db::work`]. Dropping it rolls them back. Await nothing but the
/// database before it is saved.
#[must_use = "work that is dropped is rolled back"]
pub struct Work {
    pub(crate) transaction: Transaction,
    pub(crate) journals: Arc<[Arc<dyn Journal>]>,
    pub(crate) origin: Origin,
}

pub(crate) enum Transaction {
    Postgres(Lease<postgres::Manager>),
    Sqlite(Lease<sqlite::Manager>),
}

impl Work {
    /// The first row of a SELECT, if any.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, Error> {
        let query = query.must_read()?;
        match &mut self.transaction {
            Transaction::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
                lease.seen_within(false, found)
            }
            Transaction::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
                lease.seen_within(false, found)
            }
        }
    }

    /// All rows of a SELECT.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        let query = query.must_read()?;
        match &mut self.transaction {
            Transaction::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(false, found)
            }
            Transaction::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(false, found)
            }
        }
    }

    /// Makes a write; gives the row that it touched, if any.
    pub async fn write<T: Row>(&mut self, write: Write) -> Result<Option<T>, Error> {
        Ok(self.write_all(write).await?.into_iter().next())
    }

    /// Makes a write; gives all rows that it touched.
    pub async fn write_all<T: Row>(&mut self, write: Write) -> Result<Vec<T>, Error> {
        match &mut self.transaction {
            Transaction::Postgres(lease) => {
                let (sql, args) = write.whole(&self.journals, &self.origin).postgres()?;
                let written = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(true, written)
            }
            Transaction::Sqlite(lease) => {
                write_parts(lease, &write, &self.journals, &self.origin).await
            }
        }
    }

    /// Runs a write to a table that holds no records, as [`crate::Db::untracked`] does; gives the
    /// number of rows touched.
    pub async fn untracked(&mut self, query: Query) -> Result<u64, Error> {
        match &mut self.transaction {
            Transaction::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.seen_within(true, done)?.rows_affected())
            }
            Transaction::Sqlite(lease) => execute(lease, query).await,
        }
    }

    /// Commits it. Nothing of it can be lost once this has returned `Ok`.
    pub async fn save(self) -> Result<(), Error> {
        match self.transaction {
            Transaction::Postgres(lease) => lease.commit().await,
            Transaction::Sqlite(lease) => lease.commit().await,
        }
    }
}

/// Makes a write within a transaction of SQLite, where a CTE cannot write: first the claim, then the
/// statement, then the entries.
pub(crate) async fn write_parts<T: Row>(
    lease: &mut Lease<sqlite::Manager>,
    write: &Write,
    journals: &[Arc<dyn Journal>],
    origin: &Origin,
) -> Result<Vec<T>, Error> {
    if let Some(claim) = write.claim(origin)
        && execute(lease, claim).await? == 0
    {
        return Ok(Vec::new());
    }
    let (sql, args) = write.statement(crate::Backend::Sqlite).sqlite()?;
    let rows = query_with(sql, args).fetch_all(lease.connection()?).await;
    let rows: Vec<SqliteRow> = lease.seen_within(true, rows)?;
    if !rows.is_empty() {
        let touched = |row: &SqliteRow| Ok((row.try_get("id")?, row.try_get("version")?));
        let touched: Result<Vec<(Uuid, i64)>, sqlx::Error> = rows.iter().map(touched).collect();
        let touched = touched?;
        for journal in journals {
            execute(lease, write.entry(&touched, &**journal, origin)).await?;
        }
    }
    let rows: Result<Vec<T>, sqlx::Error> = rows.iter().map(T::from_row).collect();
    Ok(rows?)
}

async fn execute(lease: &mut Lease<sqlite::Manager>, query: Query) -> Result<u64, Error> {
    let (sql, args) = query.sqlite()?;
    let done = query_with(sql, args).execute(lease.connection()?).await;
    Ok(lease.seen_within(true, done)?.rows_affected())
}
