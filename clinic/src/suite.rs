//! All four servers in one process, on ports that only this machine sees but for the gateway's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use clinic_chassis::settings::{self, Keys, Serving};
use clinic_chassis::{bind, health};
use clinic_clock::Clock;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Databases;

/// Where the first administrator finds himself.
const ADMIN_EMAIL: &str = "admin@clinic.local";
const ADMIN_NAME: &str = "Administrator";

/// How long the servers may take until they serve.
const START_PATIENCE: Duration = Duration::from_secs(30);

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

/// What the servers are told beyond where things are.
// Without a group of its own, whose name auth's settings have already.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    #[command(flatten)]
    pub serving: Serving,
    /// Connections to each PostgreSQL database at most
    #[arg(long, env = "CLINIC_DATABASE_CONNECTIONS", default_value_t = 8)]
    pub database_connections: u32,
    #[command(flatten)]
    pub auth: clinic_auth::Settings,
    /// What verified doctors see of patients who are not theirs
    #[arg(long, env = "CLINIC_DOCTOR_PATIENT_VIEW", value_enum, default_value = "basic")]
    pub doctor_patient_view: clinic_records::DoctorPatientView,
    #[command(flatten)]
    pub gateway: clinic_gateway::Edge,
}

/// The first administrator, made by the first start.
pub struct NewAdmin {
    pub email: String,
    /// Known only here and now.
    pub password: SecretString,
}

/// A suite that serves.
pub struct Running {
    /// Where the gateway serves.
    pub gateway: SocketAddr,
    /// Where the services serve, for those who call them directly.
    pub auth: SocketAddr,
    pub records: SocketAddr,
    pub assignment: SocketAddr,
    /// Set by the first start.
    pub new_admin: Option<NewAdmin>,
    servers: JoinSet<Result<()>>,
    edge: CancellationToken,
    services: CancellationToken,
}

/// Makes what is missing (keys, databases, the first administrator) and starts every server; done
/// when all of them serve.
pub async fn start(config: &Config, clock: Clock) -> Result<Running> {
    // First what most likely fails: a port that is taken should not have made a data directory.
    let listener = bind(&config.listen).await?;
    let keys = Keys { keys_dir: config.databases.data_dir.join("keys") };
    make_data_dir(&config.databases.data_dir)?;
    keys.open().init(&clock)?;
    config.databases.migrate().await?;
    let new_admin = first_admin(&config.databases, &clock).await?;

    let auth_port = local().await?;
    let records_port = local().await?;
    let assignment_port = local().await?;
    let (auth, records) = (auth_port.local_addr()?, records_port.local_addr()?);
    let (assignment, gateway) = (assignment_port.local_addr()?, listener.local_addr()?);
    let serving = config.settings.serving.clone();
    let database = |service| settings::Database {
        database_url: config.databases.url(service),
        database_connections: config.settings.database_connections,
    };

    let auth_server = clinic_auth::Config {
        serving: serving.clone(),
        keys: keys.clone(),
        database: database("auth"),
        records_url: url(records),
        settings: config.settings.auth.clone(),
    };
    let records_server = clinic_records::Config {
        serving: serving.clone(),
        keys: keys.clone(),
        database: database("records"),
        doctor_patient_view: config.settings.doctor_patient_view,
    };
    let assignment_server = clinic_assignment::Config {
        serving: serving.clone(),
        keys: keys.clone(),
        database: database("assignment"),
        records_url: url(records),
    };
    let edge_server = clinic_gateway::Config {
        auth_url: url(auth),
        records_url: url(records),
        assignment_url: url(assignment),
        issuer: config.settings.auth.issuer.clone(),
        keys,
        serving,
        edge: config.settings.gateway.clone(),
    };

    let (edge, services) = (CancellationToken::new(), CancellationToken::new());
    let mut servers = JoinSet::new();
    let server = clinic_auth::open(&auth_server, clock.clone()).await?;
    servers.spawn(server.run(auth_port, services.clone()));
    let server = clinic_records::open(&records_server, clock.clone()).await?;
    servers.spawn(server.run(records_port, services.clone()));
    let server = clinic_assignment::open(&assignment_server, clock.clone()).await?;
    servers.spawn(server.run(assignment_port, services.clone()));
    let server = clinic_gateway::open(&edge_server, clock).await?;
    let (stop_edge, stop_services) = (edge.clone(), services.clone());
    servers.spawn(async move {
        let outcome = server.run(listener, stop_edge).await;
        // Behind a gateway that is gone nobody waits any more.
        stop_services.cancel();
        outcome
    });
    let own = if edge_server.edge.tls_cert.is_some() { None } else { Some(url(gateway)) };
    let all = [own, Some(url(auth)), Some(url(records)), Some(url(assignment))];
    until_serving(all.into_iter().flatten()).await?;
    Ok(Running { gateway, auth, records, assignment, new_admin, servers, edge, services })
}

impl Running {
    /// Serves until `shutdown`; an end of a server before that is an error.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        let early = tokio::select! {
            () = shutdown.cancelled() => None,
            ended = self.servers.join_next() => ended,
        };
        self.edge.cancel();
        if let Some(outcome) = early {
            self.services.cancel();
            outcome??;
            bail!("a server ended by itself");
        }
        while let Some(outcome) = self.servers.join_next().await {
            outcome??;
        }
        Ok(())
    }
}

async fn first_admin(databases: &Databases, clock: &Clock) -> Result<Option<NewAdmin>> {
    let db = databases.open("auth").await?;
    let new_admin = if clinic_auth::admins_exist(&db).await? {
        None
    } else {
        let password = clinic_auth::generate_password();
        clinic_auth::create_admin(&db, clock, ADMIN_EMAIL, ADMIN_NAME, &password).await?;
        Some(NewAdmin { email: ADMIN_EMAIL.to_owned(), password })
    };
    db.close().await;
    Ok(new_admin)
}

async fn until_serving(urls: impl Iterator<Item = String>) -> Result<()> {
    for url in urls {
        tokio::time::timeout(START_PATIENCE, retry(|| health::check(&url)))
            .await
            .with_context(|| format!("{url} did not begin to serve in {START_PATIENCE:?}"))?;
    }
    Ok(())
}

/// Every 10 ms, until it succeeds.
async fn retry<F: Future<Output = Result<()>>>(attempt: impl Fn() -> F) {
    while attempt().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn local() -> Result<TcpListener> {
    bind("127.0.0.1:0").await
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn make_data_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!(
            "the data directory {} cannot be made: choose one that you may write with --data-dir",
            path.display()
        )
    })
}
