//! A unit of work: several statements, all or none.

use sqlx::{Sqlite, Transaction, query_as_with, query_with};

use crate::db::{Row, no_row};
use crate::error::Error;
use crate::postgres::Lease;
use crate::query::Query;

/// A transaction, made by [`crate::Db::begin`]. Dropping it rolls it back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Tx(pub(crate) Inner);

pub(crate) enum Inner {
    Postgres(Lease),
    Sqlite(Transaction<'static, Sqlite>),
}

impl Tx {
    /// The first row of a SELECT, or of a write with RETURNING, if any.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, Error> {
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
                lease.seen_within(found)
            }
            Inner::Sqlite(tx) => {
                let (sql, args) = query.sqlite()?;
                Ok(query_as_with(sql, args).fetch_optional(&mut **tx).await?)
            }
        }
    }

    /// The row of a statement that always gives one.
    pub async fn fetch_one<T: Row>(&mut self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows of a SELECT, or of a write with RETURNING.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(found)
            }
            Inner::Sqlite(tx) => {
                let (sql, args) = query.sqlite()?;
                Ok(query_as_with(sql, args).fetch_all(&mut **tx).await?)
            }
        }
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.seen_within(done)?.rows_affected())
            }
            Inner::Sqlite(tx) => {
                let (sql, args) = query.sqlite()?;
                Ok(query_with(sql, args).execute(&mut **tx).await?.rows_affected())
            }
        }
    }

    /// Makes it last. Nothing of it can be lost once this has returned `Ok`.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Inner::Postgres(lease) => lease.end("COMMIT").await?,
            Inner::Sqlite(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes it now, rather than when the connection is next used.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.0 {
            Inner::Postgres(lease) => lease.end("ROLLBACK").await?,
            Inner::Sqlite(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}
