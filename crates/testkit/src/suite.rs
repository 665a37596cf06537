//! Starts and stops the suite of a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use clinic::{Config, Databases, SERVICES};
use clinic_clock::Clock;
use clinic_identity::KeyDir;
use clinic_net::settings::{Keys, Serving};
use clinic_server::settings::{Common, Database, Responses};
use clinic_testdb::{Backend, Fixture, drop_databases, postgres_server, unique_name};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running suite.
pub struct Suite {
    pub backend: Backend,
    /// The clock of all servers.
    pub clock: Clock,
    pub gateway: SocketAddr,
    /// The address of each service, for calls that bypass the gateway.
    pub services: BTreeMap<&'static str, SocketAddr>,
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

/// Runs a test on a new suite.
pub async fn run(backend: Backend, test: impl AsyncFnOnce(&Suite)) {
    clinic_testdb::run(backend, test).await;
}

/// Runs a test on a new suite with other settings.
pub async fn run_with(
    backend: Backend,
    configure: impl FnOnce(&mut Config),
    test: impl AsyncFnOnce(&Suite),
) {
    let suite = Suite::start(backend, configure).await;
    test(&suite).await;
    suite.stop().await;
}

impl Fixture for Suite {
    async fn set_up(backend: Backend) -> Self {
        Self::start(backend, |_| {}).await
    }

    async fn tear_down(self) {
        self.stop().await;
    }
}

impl Suite {
    /// Starts a suite on free ports with an empty database.
    pub async fn start(backend: Backend, configure: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::movable();
        let mut config = Defaults::parse_from(["clinic"]).config;
        config.listen = "127.0.0.1:0".to_owned();
        config.databases.data_dir = dir.path().join("data");
        // Environment variables must not change the results of tests.
        config.databases.database_url = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(postgres_server()),
        };
        config.databases.database_prefix = format!("{}_", unique_name());
        config.settings.database_connections = 4;
        configure(&mut config);
        let mut running = clinic::start(&config, clock.clone()).await.expect("the suite starts");
        running.wait_until_ready().await.expect("the suite serves");
        let admin = running.new_admin.as_ref().expect("an empty database gets an administrator");
        let shutdown = CancellationToken::new();
        let gateway = running.gateway;
        let [auth, records, assignment] = ["auth", "records", "assignment"]
            .map(|name| *running.services.get(name).expect("every service runs"));
        let services = running.services.clone();
        let admin_password = admin.password.clone();
        let told = shutdown.clone();
        let server =
            tokio::spawn(async move { running.run(told).await.expect("the suite stops cleanly") });
        Self {
            backend,
            clock,
            gateway,
            services,
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

    /// Stops the suite and drops its databases.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap();
        if let Some(server) = &self.databases.database_url {
            let prefix = &self.databases.database_prefix;
            let names = SERVICES.map(|(service, _)| format!("{prefix}{service}"));
            drop_databases(server, names).await;
        }
    }

    /// Returns settings for another replica of a service.
    pub fn replica_settings(&self, service: &str) -> Common {
        Common {
            serving: Serving {
                shutdown_delay: Duration::ZERO,
                shutdown_grace: Duration::from_millis(200),
            },
            responses: Responses { compress_over: 0 },
            keys: Keys { keys_dir: self.keys().path().to_owned() },
            database: Database {
                database_url: self.databases.url(service),
                database_connections: 2,
            },
        }
    }

    /// Returns the suite's keys.
    pub fn keys(&self) -> KeyDir {
        KeyDir::new(self.databases.data_dir.join("keys"))
    }

    /// Returns a directory that is removed with the suite.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
