//! All four servers in one process. The services listen on loopback ports; only the gateway is
//! public.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use clap::{Args, value_parser};
use clinic_clock::Clock;
use clinic_net::settings::{Keys, Serving};
use clinic_net::{Shutdown, bind, health};
use clinic_server::Server;
use clinic_server::settings::{self, Responses};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{Databases, SERVICES};

/// E-mail address of the first administrator.
const ADMIN_EMAIL: &str = "admin@clinic.local";
const ADMIN_NAME: &str = "Administrator";

/// Time limit for a server to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// See `clinic up --help`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// HOST:PORT of the gateway; port 0 picks a free one
    #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    #[command(flatten)]
    pub databases: Databases,
    #[command(flatten)]
    pub settings: Settings,
}

/// Server settings, except addresses and paths.
// No clap group: it would have the same name as the group of auth's settings.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub responses: Responses,
    /// Maximum number of connections to each PostgreSQL database
    #[arg(
        long,
        env = "CLINIC_DATABASE_CONNECTIONS",
        default_value_t = 8,
        value_parser = value_parser!(u32).range(1..)
    )]
    pub database_connections: u32,
    #[command(flatten)]
    pub auth: clinic_auth::Settings,
    /// Which patient data verified doctors can see
    #[arg(long, env = "CLINIC_DOCTOR_PATIENT_VIEW", value_enum, default_value = "basic")]
    pub doctor_patient_view: clinic_records::DoctorPatientView,
    #[command(flatten)]
    pub gateway: clinic_gateway::PublicSettings,
}

/// The administrator that the first start creates.
pub struct NewAdmin {
    pub email: String,
    /// Only its hash is stored.
    pub password: SecretString,
}

/// A running suite.
pub struct Running {
    /// Address of the gateway.
    pub gateway: SocketAddr,
    /// Address of each service, for direct calls.
    pub services: BTreeMap<&'static str, SocketAddr>,
    /// `Some` if this start created the administrator. Show it to the operator before anything
    /// else.
    pub new_admin: Option<NewAdmin>,
    /// URLs of the servers whose health is checked.
    asked: Vec<String>,
    servers: JoinSet<Result<()>>,
    /// Shuts down the gateway, and then the services.
    shutdown: Shutdown,
    stop_services: CancellationToken,
}

/// Creates missing keys, databases and the first administrator, and starts all servers.
pub async fn start(config: &Config, clock: Clock) -> Result<Running> {
    prepare(config, clock).await?.await
}

/// Does the part of a start that may be cancelled at any point. The next start continues a
/// cancelled one.
///
/// Returns a short future that finishes the start. Do not cancel it: it may create a password that
/// must be shown to the operator.
pub async fn prepare(
    config: &Config,
    clock: Clock,
) -> Result<impl Future<Output = Result<Running>>> {
    // Checked first, so that a wrong setting or a port in use leaves no data directory behind.
    config.databases.check()?;
    clinic_gateway::check(&config.settings.gateway)?;
    let listener = bind(&config.listen).await?;
    let keys = Keys { keys_dir: keys_dir(&config.databases.data_dir) };
    make_data_dir(&config.databases.data_dir)?;
    keys.open().init(&clock)?;
    config.databases.migrate(&[]).await?;

    let mut listeners = BTreeMap::new();
    for (service, _) in SERVICES {
        listeners.insert(service, local().await?);
    }
    let addresses = listeners.iter().map(|(name, port)| Ok((*name, port.local_addr()?)));
    let addresses: BTreeMap<&'static str, SocketAddr> = addresses.collect::<Result<_>>()?;
    let gateway = listener.local_addr()?;
    let servers = open_services(config, &keys, &addresses, &clock).await?;
    let at = |service| addresses.get(service).map(url).unwrap_or_default();
    let gateway_config = clinic_gateway::Config {
        auth_url: at("auth"),
        records_url: at("records"),
        assignment_url: at("assignment"),
        upstreams: addresses.iter().map(|(name, at)| ((*name).to_owned(), url(at))).collect(),
        issuer: config.settings.auth.issuer.clone(),
        keys,
        serving: config.settings.serving.clone(),
        public: config.settings.gateway.clone(),
    };
    let gateway_server = clinic_gateway::open(&gateway_config, clock.clone()).await?;

    Ok(async move {
        // Keep this the last step that can fail: a later error would lose the new password.
        let new_admin = create_first_admin(&config.databases, &clock).await?;

        let (shutdown, stop_services) = (Shutdown::default(), CancellationToken::new());
        let mut running = JoinSet::new();
        for (service, server) in servers {
            if let Some(listener) = listeners.remove(service) {
                running.spawn(server.run(listener, stop_services.clone()));
            }
        }
        let (stop_gateway, stop) = (shutdown.clone(), stop_services.clone());
        running.spawn(async move {
            let outcome = gateway_server.run(listener, stop_gateway).await;
            // Without the gateway the services have no callers.
            stop.cancel();
            outcome
        });
        // Skips the gateway if it uses TLS: its certificate may not be valid for this address.
        let own = config.settings.gateway.tls_cert.is_none().then_some(&gateway);
        let asked = own.into_iter().chain(addresses.values()).map(url).collect();
        Ok(Running {
            gateway,
            services: addresses,
            new_admin,
            asked,
            servers: running,
            shutdown,
            stop_services,
        })
    })
}

/// Creates the services, which call each other at these addresses.
async fn open_services(
    config: &Config,
    keys: &Keys,
    addresses: &BTreeMap<&'static str, SocketAddr>,
    clock: &Clock,
) -> Result<[(&'static str, Server); 3]> {
    let Settings { serving, responses, database_connections, .. } = &config.settings;
    let at = |service| addresses.get(service).map(url).unwrap_or_default();
    let common = |service| settings::Common {
        serving: serving.clone(),
        responses: responses.clone(),
        keys: keys.clone(),
        database: settings::Database {
            database_url: config.databases.url(service),
            database_connections: *database_connections,
        },
    };
    let auth = clinic_auth::Config {
        common: common("auth"),
        records_url: at("records"),
        settings: config.settings.auth.clone(),
    };
    let records = clinic_records::Config {
        common: common("records"),
        doctor_patient_view: config.settings.doctor_patient_view,
    };
    let assignment =
        clinic_assignment::Config { common: common("assignment"), records_url: at("records") };
    Ok([
        ("auth", clinic_auth::open(&auth, clock.clone()).await?),
        ("records", clinic_records::open(&records, clock.clone()).await?),
        ("assignment", clinic_assignment::open(&assignment, clock.clone()).await?),
    ])
}

impl Running {
    /// Waits until all servers are ready. Returns an error if a server ends first.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        tokio::select! {
            served = serving(&self.asked) => served,
            ended = self.servers.join_next() => Err(unexpected_end(ended)),
        }
    }

    /// Serves until `shutdown` begins, then waits for all servers to end. Returns an error if a
    /// server ends before `shutdown` begins.
    pub async fn run(mut self, shutdown: impl Into<Shutdown>) -> Result<()> {
        let shutdown = shutdown.into();
        let told = async {
            shutdown.announced().cancelled().await;
            self.shutdown.announce();
            shutdown.begun().cancelled().await;
        };
        let early = tokio::select! {
            () = told => None,
            ended = self.servers.join_next() => Some(unexpected_end(ended)),
        };
        self.shutdown.begin();
        if let Some(error) = early {
            self.stop_services.cancel();
            return Err(error);
        }
        while let Some(outcome) = self.servers.join_next().await {
            outcome??;
        }
        Ok(())
    }
}

/// Returns the error for a server that ended without a shutdown.
fn unexpected_end(ended: Option<Result<Result<()>, JoinError>>) -> Error {
    match ended {
        Some(Err(error)) => error.into(),
        Some(Ok(Err(error))) => error,
        Some(Ok(Ok(()))) | None => anyhow!("a server ended unexpectedly"),
    }
}

/// Returns the path of the keys directory in `data_dir`.
pub fn keys_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("keys")
}

async fn create_first_admin(databases: &Databases, clock: &Clock) -> Result<Option<NewAdmin>> {
    let db = databases.open("auth").await?;
    if clinic_auth::admins_exist(&db).await? {
        db.close().await;
        return Ok(None);
    }
    let password = clinic_auth::generate_password();
    let made = clinic_auth::create_admin(&db, clock, ADMIN_EMAIL, ADMIN_NAME, &password).await;
    let new_admin = match made {
        Ok(_) => Some(NewAdmin { email: ADMIN_EMAIL.to_owned(), password }),
        // Another process that started at the same time has created the administrator.
        Err(_) if clinic_auth::admins_exist(&db).await? => None,
        Err(error) => return Err(error),
    };
    db.close().await;
    Ok(new_admin)
}

async fn serving(urls: &[String]) -> Result<()> {
    for url in urls {
        tokio::time::timeout(START_TIMEOUT, retry(|| health::check(url)))
            .await
            .with_context(|| format!("{url} is not ready after {START_TIMEOUT:?}"))?;
    }
    Ok(())
}

/// Retries every 10 ms until `attempt` succeeds.
async fn retry<F: Future<Output = Result<()>>>(attempt: impl Fn() -> F) {
    while attempt().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn local() -> Result<TcpListener> {
    bind("127.0.0.1:0").await
}

fn url(address: &SocketAddr) -> String {
    format!("http://{address}")
}

fn make_data_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!(
            "cannot create the data directory {}: choose a writable one with --data-dir",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_for_readiness_fails_at_once_when_a_server_ends() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut running = Running {
            gateway: nobody,
            services: BTreeMap::new(),
            new_admin: None,
            asked: vec![url(&nobody)],
            servers: JoinSet::new(),
            shutdown: Shutdown::default(),
            stop_services: CancellationToken::new(),
        };
        running.servers.spawn(async { Err(anyhow!("the disk is gone")) });
        let patience = Duration::from_secs(5);
        let refused = tokio::time::timeout(patience, running.wait_until_ready()).await.unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "the disk is gone");
    }
}
