//! How services keep data: pools, queries, transactions and migrations over PostgreSQL and SQLite,
//! from one SQL text, but for [`Write::for_share`]. Knows no table but those of [`idempotency`] and
//! [`page`], and nothing of gRPC.
//!
//! The subset of SQL that both databases take from the same text: `$1` placeholders, `RETURNING`,
//! `ON CONFLICT`, partial unique indexes, row values, and the column types `uuid`, `text`,
//! `boolean`, `bigint`, `date`, `timestamptz` and `bytea` (SQLite keeps `uuid` and `bytea` as blobs,
//! `date` and `timestamptz` as text that sorts by time). Every number is a `bigint`. Unique indexes
//! are named `<table>_<column>_<column>_key`: see [`Error::Unique`].

mod batch;
mod changes;
mod connect;
mod db;
mod error;
pub mod etag;
mod gather;
pub mod idempotency;
mod lease;
mod migrate;
pub mod page;
mod postgres;
mod query;
mod server;
mod signs;
mod sqlite;
mod url;
mod work;
mod write;

pub use changes::Changes;
pub use connect::{ConnectError, Options};
pub use db::{Backend, Db, Row, Untracked};
pub use error::{Cause, Error};
pub use migrate::{SchemaError, check_schema, migrate};
pub use query::{Arg, Query};
pub use server::{create_database_if_missing, database_url};
pub use url::check_server_url;
pub use work::Work;
pub use write::{ChangeKind, Insert, Journal, Origin, Write};
