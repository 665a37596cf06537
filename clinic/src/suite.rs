//! All four servers in one process, on ports that only this machine sees but for the gateway's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use clap::{Args, value_parser};
use clinic_clock::Clock;
use clinic_net::settings::{Keys, Serving};
use clinic_net::{Shutdown, bind, health};
use clinic_server::settings::{self, Answers};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
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
    #[command(flatten)]
    pub answers: Answers,
    /// Connections to each PostgreSQL database at most
    #[arg(
        long,
        env = "CLINIC_DATABASE_CONNECTIONS",
        default_value_t = 8,
        value_parser = value_parser!(u32).range(1..)
    )]
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

/// A suite whose servers run.
pub struct Running {
    /// Where the gateway serves.
    pub gateway: SocketAddr,
    /// Where the services serve, for those who call them directly.
    pub auth: SocketAddr,
    pub records: SocketAddr,
    pub assignment: SocketAddr,
    /// Set by the first start: to be told to the operator before anything else is done.
    pub new_admin: Option<NewAdmin>,
    /// Whom to ask whether all of it serves.
    asked: Vec<String>,
    servers: JoinSet<Result<()>>,
    edge: Shutdown,
    services: CancellationToken,
}

/// Makes what is missing (keys, databases, the first administrator) and starts every server.
pub async fn start(config: &Config, clock: Clock) -> Result<Running> {
    prepare(config, clock).await?.await
}

/// The part of a start that may be given up at any point: the next one goes on from there. It gives
/// the rest, which is short and must come to its end, since it may make a password that is to be told.
pub async fn prepare(
    config: &Config,
    clock: Clock,
) -> Result<impl Future<Output = Result<Running>>> {
    // First what most likely fails: neither a wrong setting nor a port that is taken should have
    // made a data directory.
    config.databases.check()?;
    config.settings.gateway.check()?;
    let listener = bind(&config.listen).await?;
    let keys = Keys { keys_dir: keys_dir(&config.databases.data_dir) };
    make_data_dir(&config.databases.data_dir)?;
    keys.open().init(&clock)?;
    config.databases.migrate(&[]).await?;

    let auth_port = local().await?;
    let records_port = local().await?;
    let assignment_port = local().await?;
    let (auth, records) = (auth_port.local_addr()?, records_port.local_addr()?);
    let (assignment, gateway) = (assignment_port.local_addr()?, listener.local_addr()?);
    let (serving, answers) = (config.settings.serving.clone(), config.settings.answers.clone());
    let database = |service| settings::Database {
        database_url: config.databases.url(service),
        database_connections: config.settings.database_connections,
    };

    let auth_config = clinic_auth::Config {
        serving: serving.clone(),
        answers: answers.clone(),
        keys: keys.clone(),
        database: database("auth"),
        records_url: url(records),
        settings: config.settings.auth.clone(),
    };
    let records_config = clinic_records::Config {
        serving: serving.clone(),
        answers: answers.clone(),
        keys: keys.clone(),
        database: database("records"),
        doctor_patient_view: config.settings.doctor_patient_view,
    };
    let assignment_config = clinic_assignment::Config {
        serving: serving.clone(),
        answers,
        keys: keys.clone(),
        database: database("assignment"),
        records_url: url(records),
    };
    let edge_config = clinic_gateway::Config {
        auth_url: url(auth),
        records_url: url(records),
        assignment_url: url(assignment),
        issuer: config.settings.auth.issuer.clone(),
        keys,
        serving,
        edge: config.settings.gateway.clone(),
    };

    let auth_server = clinic_auth::open(&auth_config, clock.clone()).await?;
    let records_server = clinic_records::open(&records_config, clock.clone()).await?;
    let assignment_server = clinic_assignment::open(&assignment_config, clock.clone()).await?;
    let edge_server = clinic_gateway::open(&edge_config, clock.clone()).await?;

    Ok(async move {
        // Last of what can fail: a password that is made is one that the operator is told.
        let new_admin = first_admin(&config.databases, &clock).await?;

        let (edge, services) = (Shutdown::default(), CancellationToken::new());
        let mut servers = JoinSet::new();
        servers.spawn(auth_server.run(auth_port, services.clone()));
        servers.spawn(records_server.run(records_port, services.clone()));
        servers.spawn(assignment_server.run(assignment_port, services.clone()));
        let (stop_edge, stop_services) = (edge.clone(), services.clone());
        servers.spawn(async move {
            let outcome = edge_server.run(listener, stop_edge).await;
            // Behind a gateway that is gone nobody waits any more.
            stop_services.cancel();
            outcome
        });
        // Not the gateway with a certificate, which need not be one for this address.
        let own = config.settings.gateway.tls_cert.is_none().then_some(gateway);
        let asked = own.into_iter().chain([auth, records, assignment]).map(url).collect();
        Ok(Running {
            gateway,
            auth,
            records,
            assignment,
            new_admin,
            asked,
            servers,
            edge,
            services,
        })
    })
}

impl Running {
    /// Waits until every server serves; an end of one before that is an error.
    pub async fn until_serving(&mut self) -> Result<()> {
        tokio::select! {
            served = serving(&self.asked) => served,
            ended = self.servers.join_next() => Err(by_itself(ended)),
        }
    }

    /// Serves until `shutdown` begins; an end of a server before that is an error.
    pub async fn run(mut self, shutdown: impl Into<Shutdown>) -> Result<()> {
        let shutdown = shutdown.into();
        let told = async {
            shutdown.announced().cancelled().await;
            self.edge.announce();
            shutdown.begun().cancelled().await;
        };
        let early = tokio::select! {
            () = told => None,
            ended = self.servers.join_next() => Some(by_itself(ended)),
        };
        self.edge.begin();
        if let Some(error) = early {
            self.services.cancel();
            return Err(error);
        }
        while let Some(outcome) = self.servers.join_next().await {
            outcome??;
        }
        Ok(())
    }
}

/// Why a server ended whom nobody told to.
fn by_itself(ended: Option<Result<Result<()>, JoinError>>) -> Error {
    match ended {
        Some(Err(error)) => error.into(),
        Some(Ok(Err(error))) => error,
        Some(Ok(Ok(()))) | None => anyhow!("a server ended by itself"),
    }
}

/// Where a suite in one process has its keys.
pub fn keys_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("keys")
}

async fn first_admin(databases: &Databases, clock: &Clock) -> Result<Option<NewAdmin>> {
    let db = databases.open("auth").await?;
    if clinic_auth::admins_exist(&db).await? {
        db.close().await;
        return Ok(None);
    }
    let password = clinic_auth::generate_password();
    let made = clinic_auth::create_admin(&db, clock, ADMIN_EMAIL, ADMIN_NAME, &password).await;
    let new_admin = match made {
        Ok(_) => Some(NewAdmin { email: ADMIN_EMAIL.to_owned(), password }),
        // Another process that started at the same time has made it, and told the operator.
        Err(_) if clinic_auth::admins_exist(&db).await? => None,
        Err(error) => return Err(error),
    };
    db.close().await;
    Ok(new_admin)
}

async fn serving(urls: &[String]) -> Result<()> {
    for url in urls {
        tokio::time::timeout(START_PATIENCE, retry(|| health::check(url)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_dies_at_the_start_is_not_waited_for() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut running = Running {
            gateway: nobody,
            auth: nobody,
            records: nobody,
            assignment: nobody,
            new_admin: None,
            asked: vec![url(nobody)],
            servers: JoinSet::new(),
            edge: Shutdown::default(),
            services: CancellationToken::new(),
        };
        running.servers.spawn(async { Err(anyhow!("the disk is gone")) });
        let patience = Duration::from_secs(5);
        let refused = tokio::time::timeout(patience, running.until_serving()).await.unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "the disk is gone");
    }
}
