//! A unit of work: several statements, all or none.

use sqlx::{query_as_with, query_with};

use crate::db::{Row, no_row};
use crate::error::Error;
use crate::lease::Lease;
use crate::query::Query;
use crate::{postgres, sqlite};

/// A transaction, made by [`crate::Db::begin`]. Dropping it rolls it back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Tx(pub(crate) Inner);

pub(crate) enum Inner {
    Postgres(Lease<postgres::Manager>),
    Sqlite(Lease<sqlite::Manager>),
}

impl Tx {
    /// The first row of a SELECT, or of a write with RETURNING, if any.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, Error> {
        let is_write = query.is_write();
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
                lease.seen_within(is_write, found)
            }
            Inner::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let found = query_as_with(sql, args).fetch_optional(lease.connection()?).await;
                lease.seen_within(is_write, found)
            }
        }
    }

    /// The row of a statement that always gives one.
    pub async fn fetch_one<T: Row>(&mut self, query: Query) -> Result<T, Error> {
        self.fetch_optional(query).await?.ok_or_else(no_row)
    }

    /// All rows of a SELECT, or of a write with RETURNING.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, Error> {
        let is_write = query.is_write();
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(is_write, found)
            }
            Inner::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let found = query_as_with(sql, args).fetch_all(lease.connection()?).await;
                lease.seen_within(is_write, found)
            }
        }
    }

    /// Runs a write without RETURNING; gives the number of rows touched.
    pub async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        match &mut self.0 {
            Inner::Postgres(lease) => {
                let (sql, args) = query.postgres()?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.seen_within(true, done)?.rows_affected())
            }
            Inner::Sqlite(lease) => {
                let (sql, args) = query.sqlite()?;
                let done = query_with(sql, args).execute(lease.connection()?).await;
                Ok(lease.seen_within(true, done)?.rows_affected())
            }
        }
    }

    /// Makes it last. Nothing of it can be lost once this has returned `Ok`.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Inner::Postgres(lease) => lease.commit().await,
            Inner::Sqlite(lease) => lease.commit().await,
        }
    }

    /// Undoes it now, rather than when the connection is next used.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.0 {
            Inner::Postgres(lease) => lease.rollback().await,
            Inner::Sqlite(lease) => lease.rollback().await,
        }
    }
}
