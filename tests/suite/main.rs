//! What the suite does, seen from outside: through the generated clients, at the gateway or
//! straight at a service, on SQLite and on PostgreSQL.

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
mod walk;
