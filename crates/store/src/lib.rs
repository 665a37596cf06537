//! Storage of the services: pools, queries, transactions and migrations for PostgreSQL and SQLite.
//! Both run the same SQL text, except for [`Write::for_share`]. The crate knows no tables but those
//! of [`idempotency`], [`page`] and [`Db::check`], and nothing of gRPC.
//!
//! The subset of SQL for both databases: `$1` placeholders, `RETURNING`, `ON CONFLICT`, partial
//! unique indexes, row values, and the column types `uuid`, `text`, `boolean`, `bigint`, `date`,
//! `timestamptz` and `bytea` (SQLite stores `uuid` and `bytea` as blobs, `date` and `timestamptz`
//! as text that sorts by time). Every number is a `bigint`. Unique indexes are named
//! `<table>_<column>_<column>_key`: see [`Error::Unique`].

mod batch;
mod changes;
mod connect;
mod connect_error;
mod db;
mod error;
pub mod etag;
mod health;
pub mod idempotency;
mod lease;
mod migrate;
pub mod page;
mod pool;
mod postgres;
mod query;
mod request;
mod row;
mod server;
mod shared_commits;
mod shared_reads;
mod sqlite;
mod url;
mod work;
mod write;

pub use changes::Changes;
pub use connect::Options;
pub use connect_error::ConnectError;
pub use db::{Db, Untracked};
pub use error::{Cause, Error};
pub use migrate::{SchemaError, check_schema, migrate};
pub use query::{Arg, Query};
pub use row::{Backend, Row};
pub use server::{create_database_if_missing, database_url};
pub use url::check_server_url;
pub use work::Work;
pub use write::{ChangeKind, Insert, Journal, Origin, Write};
