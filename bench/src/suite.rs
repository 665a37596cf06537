//! Runs the measured suite, as separate processes or as one, on one kind of database.

use std::process::Command;

use anyhow::{Result, ensure};
use clinic::Databases;
use clinic_clock::Clock;
use clinic_identity::KeyDir;
use secrecy::ExposeSecret as _;

use crate::process::{Server, Watched};
use crate::setting::Setting;

/// Kind of database that the services use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Postgres,
    Sqlite,
}

impl Store {
    pub(crate) const BOTH: [Self; 2] = [Self::Postgres, Self::Sqlite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Name of the service that responds from memory. It belongs to the benchmarks, not to the suite.
pub(crate) const UPSTREAM: &str = "upstream";

/// Databases and keys, which outlive the processes.
pub(crate) struct Data {
    pub(crate) store: Store,
    pub(crate) databases: Databases,
    pub(crate) keys: KeyDir,
}

impl Data {
    /// Creates empty databases and new keys. The measured build's own program migrates the
    /// databases, because services refuse to run on a newer schema.
    pub(crate) fn create(setting: &Setting, store: Store, name: &str) -> Result<Self> {
        let data_dir = setting.folder(&format!("{name}-{}", store.name()))?;
        let databases = Databases {
            data_dir: data_dir.clone(),
            database_url: match store {
                Store::Postgres => Some(setting.postgres.url.clone()),
                Store::Sqlite => None,
            },
            database_prefix: format!("{}{name}_", setting.prefix),
        };
        let output = on_databases(setting, "migrate", &databases).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "clinic migrate failed:\n{said}");
        let keys = KeyDir::new(clinic::keys_dir(&data_dir));
        keys.init(&Clock::system())?;
        Ok(Self { store, databases, keys })
    }
}

impl Server {
    fn program(
        setting: &Setting,
        program: &str,
        keys: &KeyDir,
        more: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = setting.program(program);
        command.args(["--listen", "127.0.0.1:0"]).env("CLINIC_KEYS_DIR", keys.path());
        command.envs(more.iter().map(|(name, value)| (*name, value)));
        Self::start(program.trim_start_matches("clinic-"), &mut command, &setting.folder("logs")?)
    }

    /// Starts a single service.
    pub(crate) fn service(
        setting: &Setting,
        name: &str,
        data: &Data,
        records: Option<&Self>,
    ) -> Result<Self> {
        let url = data.databases.url(name).expose_secret().to_owned();
        let mut more = vec![("DATABASE_URL", url)];
        more.extend(records.map(|records| ("CLINIC_RECORDS_URL", records.url())));
        Self::program(setting, &format!("clinic-{name}"), &data.keys, &more)
    }

    /// Starts a gateway in front of these services.
    pub(crate) fn gateway(
        setting: &Setting,
        keys: &KeyDir,
        [auth, records, assignment]: [&Self; 3],
    ) -> Result<Self> {
        let more = [
            ("CLINIC_AUTH_URL", auth.url()),
            ("CLINIC_RECORDS_URL", records.url()),
            ("CLINIC_ASSIGNMENT_URL", assignment.url()),
        ];
        Self::program(setting, "clinic-gateway", keys, &more)
    }

    /// Starts the service that responds from memory.
    pub(crate) fn memory(setting: &Setting, keys: &KeyDir) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["upstream", "--listen", "127.0.0.1:0", "--keys-dir"]).arg(keys.path());
        Self::start(UPSTREAM, &mut command, &setting.folder("logs")?)
    }
}

/// The four servers, as separate processes.
pub(crate) struct Suite {
    pub(crate) auth: Server,
    pub(crate) records: Server,
    pub(crate) assignment: Server,
    pub(crate) gateway: Server,
}

impl Suite {
    pub(crate) fn start(setting: &Setting, data: &Data) -> Result<Self> {
        let records = Server::service(setting, "records", data, None)?;
        let auth = Server::service(setting, "auth", data, Some(&records))?;
        let assignment = Server::service(setting, "assignment", data, Some(&records))?;
        let gateway = Server::gateway(setting, &data.keys, [&auth, &records, &assignment])?;
        Ok(Self { auth, records, assignment, gateway })
    }

    pub(crate) fn watched(&self) -> Vec<Watched> {
        [&self.auth, &self.records, &self.assignment, &self.gateway].map(Server::watched).to_vec()
    }

    pub(crate) fn stop(self) -> Result<()> {
        let Self { auth, records, assignment, gateway } = self;
        [gateway, assignment, auth, records]
            .into_iter()
            .try_for_each(|server| server.process.stop())
    }
}

/// Starts the whole suite in one process, which creates missing data.
pub(crate) fn start_all_in_one(setting: &Setting, databases: &Databases) -> Result<Server> {
    let mut command = on_databases(setting, "up", databases);
    command.args(["--listen", "127.0.0.1:0"]);
    Server::start("clinic", &mut command, &setting.folder("logs")?)
}

/// Returns a command of `clinic` that uses these databases.
fn on_databases(setting: &Setting, name: &str, databases: &Databases) -> Command {
    let mut command = setting.program("clinic");
    command.arg(name).arg("--data-dir").arg(&databases.data_dir);
    command.arg("--database-prefix").arg(&databases.database_prefix);
    if let Some(url) = &databases.database_url {
        command.env("DATABASE_URL", url.expose_secret());
    }
    command
}
