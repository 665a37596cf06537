//! Runs a whole suite for a test, with free ports, an empty database, a clock that tests can move,
//! and clients for each kind of caller. Tests in [`on_both!`] run on SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "only tests call this")]

mod accounts;
mod calls;
mod clients;
mod failures;
mod samples;
mod suite;

pub use accounts::{Account, PASSWORD};
pub use clients::{Client, Clients};
pub use clinic_testdb::{Backend, on_both, postgres_server};
pub use failures::{Failure, failure, invalid_fields, visible_error};
pub use samples::{assignment, doctor, email, mask, patient};
pub use suite::{Suite, run, run_with};
