//! Databases for tests. [`on_both!`] runs a test on SQLite and on PostgreSQL. The crate uses only
//! clinic-store, so that every crate with a database can use it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "only tests call this")]

use std::path::Path;

pub use clinic_store::Backend;
use clinic_store::{Db, Options, create_database_if_missing, database_url};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

/// The environment of a test, which takes it by reference.
#[expect(async_fn_in_trait, reason = "tests do not send these futures to other threads")]
pub trait Fixture: Sized {
    async fn set_up(backend: Backend) -> Self;

    /// Called only after a test that passed.
    async fn tear_down(self) {}
}

/// For tests that set up everything themselves.
impl Fixture for Backend {
    async fn set_up(backend: Backend) -> Self {
        backend
    }
}

/// Runs a test with a new fixture.
pub async fn run<F: Fixture>(backend: Backend, test: impl AsyncFnOnce(&F)) {
    let fixture = F::set_up(backend).await;
    test(&fixture).await;
    fixture.tear_down().await;
}

/// Defines tests for both databases, `the_rule::sqlite` and `the_rule::postgres`:
/// `on_both! { async fn the_rule(fixture: &Fixture) { … } }`. The list form,
/// `on_both! { the_rule another_rule }`, names functions outside the macro, which rustfmt formats.
///
/// xtask selects and counts tests by the last part of these names.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($fixture:ident: $type:ty) $body:block)+) => {
        $($(#[$meta])* async fn $name($fixture: $type) $body)+
        $crate::on_both! { $($name)+ }
    };
    ($($name:ident)+) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                $crate::run($crate::Backend::Sqlite, super::$name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                $crate::run($crate::Backend::Postgres, super::$name).await;
            }
        }
    )+};
}

/// A new, empty database, with a directory. Dropping it deletes both, also if the test failed.
pub struct TestDatabase {
    pub url: SecretString,
    directory: TempDir,
    /// Name of the PostgreSQL database.
    name: Option<String>,
}

impl TestDatabase {
    pub async fn create(backend: Backend) -> Self {
        let directory = tempfile::tempdir().unwrap();
        match backend {
            Backend::Sqlite => {
                let file = directory.path().join("data/test.db");
                Self { url: format!("sqlite:{}", file.display()).into(), directory, name: None }
            }
            Backend::Postgres => {
                let (server, name) = (postgres_server(), unique_name());
                create_database_if_missing(&server, &name).await.unwrap();
                Self { url: database_url(&server, &name), directory, name: Some(name) }
            }
        }
    }

    /// Opens a connection pool.
    pub async fn connect(&self) -> Db {
        Db::connect(&Options::new(self.url.clone())).await.unwrap()
    }

    /// Returns a directory for other files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Fixture for TestDatabase {
    async fn set_up(backend: Backend) -> Self {
        Self::create(backend).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        // A runtime cannot wait for a future in a thread of another runtime.
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(drop_databases(&postgres_server(), [name]));
        });
        // A panic here would hide why the test failed.
        let _ = dropping.join();
    }
}

/// Deletes PostgreSQL databases if they exist, and ends their sessions.
pub async fn drop_databases(server: &SecretString, names: impl IntoIterator<Item = String>) {
    let mut connection = PgConnection::connect(server.expose_secret()).await.unwrap();
    for name in names {
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        connection.execute(AssertSqlSafe(drop)).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// Returns a name for a database, or a prefix of such names, that no other test has.
pub fn unique_name() -> String {
    format!("test_{}", clinic_clock::Clock::system().new_id().simple())
}

/// Returns the URL of the server that `cargo xtask test` starts. Panics without one, because a test
/// that is silently skipped proves nothing.
pub fn postgres_server() -> SecretString {
    match std::env::var("CLINIC_TEST_POSTGRES_URL") {
        Ok(url) => url.into(),
        Err(_) => panic!(
            "CLINIC_TEST_POSTGRES_URL is not set: run `cargo xtask test`, which starts PostgreSQL, \
             or skip these tests with `cargo xtask test --sqlite-only`"
        ),
    }
}
