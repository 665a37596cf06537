//! Starting and stopping a suite for one test.

use std::net::SocketAddr;
use std::path::Path;

use clap::Parser;
use clinic::{Config, Databases};
use clinic_clock::Clock;
use clinic_identity::KeyDir;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A suite that serves until it is stopped.
pub struct Suite {
    pub backend: Backend,
    /// Moves the time of every server.
    pub clock: Clock,
    pub gateway: SocketAddr,
    /// The services themselves, for what only they should refuse.
    pub auth: SocketAddr,
    pub records: SocketAddr,
    pub assignment: SocketAddr,
    pub databases: Databases,
    pub(crate) admin_password: SecretString,
    dir: TempDir,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    config: Config,
}

/// Runs a test on a suite of its own.
pub async fn run(backend: Backend, test: impl AsyncFnOnce(&Suite)) {
    run_with(backend, |_| {}, test).await;
}

/// The same with other settings.
pub async fn run_with(
    backend: Backend,
    configure: impl FnOnce(&mut Config),
    test: impl AsyncFnOnce(&Suite),
) {
    let suite = Suite::start(backend, configure).await;
    test(&suite).await;
    suite.stop().await;
}

impl Suite {
    /// Starts a suite on free ports over an empty database.
    pub async fn start(backend: Backend, configure: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::movable();
        let mut config = Defaults::parse_from(["clinic"]).config;
        config.listen = "127.0.0.1:0".to_owned();
        config.databases.data_dir = dir.path().join("data");
        // What the tests run in must not change what they say.
        config.databases.database_url = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(postgres_server()),
        };
        config.databases.database_prefix = format!("test_{}_", clock.new_id().simple());
        config.settings.database_connections = 4;
        configure(&mut config);
        let mut running = clinic::start(&config, clock.clone()).await.expect("the suite starts");
        running.until_serving().await.expect("the suite serves");
        let admin = running.new_admin.as_ref().expect("an empty database gets an administrator");
        let shutdown = CancellationToken::new();
        let (gateway, auth) = (running.gateway, running.auth);
        let (records, assignment) = (running.records, running.assignment);
        let admin_password = admin.password.clone();
        let told = shutdown.clone();
        let server =
            tokio::spawn(async move { running.run(told).await.expect("the suite ends in order") });
        Self {
            backend,
            clock,
            gateway,
            auth,
            records,
            assignment,
            databases: config.databases,
            admin_password,
            dir,
            shutdown,
            server,
        }
    }

    /// Ends it, and drops its databases.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap();
        if let Some(server) = &self.databases.database_url {
            let mut connection = PgConnection::connect(server.expose_secret()).await.unwrap();
            for service in ["auth", "records", "assignment"] {
                let name = format!("{}{service}", self.databases.database_prefix);
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connection.execute(AssertSqlSafe(drop)).await.unwrap();
            }
        }
    }

    /// The suite's keys.
    pub fn keys(&self) -> KeyDir {
        KeyDir::new(self.databases.data_dir.join("keys"))
    }

    /// A folder that ends with the suite.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// The server that `cargo xtask test` starts.
fn postgres_server() -> SecretString {
    match std::env::var("CLINIC_TEST_POSTGRES_URL") {
        Ok(url) => url.into(),
        Err(_) => panic!(
            "CLINIC_TEST_POSTGRES_URL is not set: run the tests by `cargo xtask test`, which starts a \
             PostgreSQL, or leave these out by `cargo xtask test --sqlite-only`"
        ),
    }
}
