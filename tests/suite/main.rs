//! Tests of the whole suite from outside: through generated clients and HTTP, at the gateway or
//! directly at a service, on SQLite and PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod access_matrix;
mod assignments;
mod auth;
mod concurrency;
mod doctors;
mod edge;
mod end_to_end;
mod failures;
mod not_found;
mod paging;
mod patients;
mod ports;
mod privacy;
mod request_ids;
mod rest;
mod roles;
mod untracked;
