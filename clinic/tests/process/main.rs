//! Tests that run the `clinic` binary as an operator does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod administrators;
mod durability;
mod ending;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod full_disk;
mod hangup;
mod keys;
mod logs;
#[cfg(target_os = "linux")]
mod memory;
mod openapi;
mod operator;
mod readme;
mod refusals;
mod schema;
mod settings;
mod starting;

/// Defines tests that run on SQLite and on PostgreSQL, each with its own [`operator::Operator`].
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($operator:ident: &Operator) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn test($operator: &Operator) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(&Operator::with_sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let operator = Operator::with_postgres();
                test(&operator).await;
                operator.drop_databases().await;
            }
        }
    )+};
}
pub(crate) use on_both;
