//! Runs a whole suite for a test, with free ports, an empty database, a clock that tests can move,
//! and clients for each kind of caller. Tests in [`on_both!`] run on SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only tests call this")]

mod accounts;
mod calls;
mod clients;
mod failures;
mod samples;
mod suite;

pub use accounts::{Account, PASSWORD};
pub use clients::{Client, Clients};
pub use failures::{Failure, failure, fields, refusal};
pub use samples::{assignment, doctor, email, mask, patient};
pub use suite::{Backend, Suite, run, run_with};

/// Defines tests for both databases: `on_both! { async fn the_rule(suite: &Suite) { … } }`. A test
/// that needs other settings starts its suite: `async fn the_rule(backend: Backend) { … }`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($suite:ident: &Suite) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($suite: &$crate::Suite) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                $crate::run($crate::Backend::Sqlite, async |suite| test(suite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                $crate::run($crate::Backend::Postgres, async |suite| test(suite).await).await;
            }
        }
    )+};
    ($($(#[$meta:meta])* async fn $name:ident($backend:ident: Backend) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($backend: $crate::Backend) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test($crate::Backend::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                test($crate::Backend::Postgres).await;
            }
        }
    )+};
}
