//! The environment of a run: a temporary folder, the measured programs, and the database server.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, Executor as _, PgConnection, query_scalar};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::process::{Watched, stat};
use crate::report::Effort;

/// The environment of a run.
pub(crate) struct Setting {
    pub(crate) postgres: Postgres,
    /// Folder of the measured build's programs.
    programs: PathBuf,
    /// Prefix of the names of this build's databases.
    pub(crate) prefix: &'static str,
    pub(crate) quick: bool,
    pub(crate) effort: Effort,
    // The last field, because it must be dropped last.
    folder: TempDir,
}

/// The private server that `cargo xtask bench` starts.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) url: SecretString,
    /// Folder of its programs.
    pub(crate) programs: PathBuf,
    pid: u32,
}

impl Setting {
    pub(crate) async fn create(quick: bool, effort: Effort) -> Result<Self> {
        ensure!(
            Path::new("/proc/self/schedstat").is_file(),
            "the benchmarks need Linux with /proc/PID/task/TID/schedstat"
        );
        let me = env::current_exe()?;
        let programs = me.parent().context("cannot find the folder of this program")?.to_owned();
        let (postgres, folder) = (Postgres::open().await?, temporary_folder()?);
        Ok(Self { postgres, programs, prefix: "", quick, effort, folder })
    }

    /// Returns the environment of another checkout's release build, with separate databases and
    /// folders on the same server and disk.
    pub(crate) fn of_baseline(&self, checkout: &Path) -> Result<Self> {
        let programs = checkout.join("target").join("release");
        let Self { postgres, quick, effort, .. } = self;
        let (postgres, quick, effort) = (postgres.clone(), *quick, *effort);
        let folder = temporary_folder()?;
        Ok(Self { postgres, programs, prefix: "baseline_", quick, effort, folder })
    }

    /// Returns a folder, which is created if it is missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Returns a command for one of the suite's programs.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        // Avoids a `.env` in the caller's folder.
        command.current_dir(self.folder.path());
        // Hides the log of the start.
        command.env("CLINIC_LOG", "warn").env("CLINIC_SHUTDOWN_DELAY", "0s");
        command
    }
}

fn temporary_folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("clinic-bench-").tempdir()?)
}

impl Postgres {
    async fn open() -> Result<Self> {
        let set = |name| {
            env::var(name).with_context(|| format!("{name} is not set: run `cargo xtask bench`"))
        };
        let url = SecretString::from(set("CLINIC_TEST_POSTGRES_URL")?);
        let programs = PathBuf::from(set("CLINIC_TEST_POSTGRES_BIN")?);
        let mut connection = PgConnection::connect(url.expose_secret()).await?;
        // The tests' server is configured for speed. A real one must be durable, which costs time.
        change(&mut connection, DURABLE).await?;
        let backend: i32 =
            query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        let pid = stat(u32::try_from(backend)?).context("the server's process")?.parent;
        connection.close().await?;
        timeout(RELOAD_PATIENCE, wait_until_durable(&url))
            .await
            .context("PostgreSQL does not apply its settings")??;
        Ok(Self { url, programs, pid })
    }

    /// Turns off periodic work of the server, and work that depends on the disk's load. In a
    /// comparison, only the build whose turn it is would pay for it.
    pub(crate) async fn make_steady(&self) -> Result<()> {
        let mut connection = PgConnection::connect(self.url.expose_secret()).await?;
        change(&mut connection, STEADY).await?;
        Ok(connection.close().await?)
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched { name: "PostgreSQL".to_owned(), pid: self.pid }
    }

    /// Finds pgbench, which some systems have in a separate package.
    pub(crate) fn pgbench(&self) -> Option<PathBuf> {
        let beside = self.programs.join("pgbench");
        if beside.is_file() { Some(beside) } else { find("pgbench") }
    }
}

/// Changes settings of the server, which applies them asynchronously.
async fn change(connection: &mut PgConnection, settings: [&'static str; 4]) -> Result<()> {
    for statement in settings.into_iter().chain(["SELECT pg_reload_conf()"]) {
        connection.execute(statement).await?;
    }
    Ok(())
}

/// Waits until new sessions have the settings.
async fn wait_until_durable(url: &SecretString) -> Result<()> {
    loop {
        let mut connection = PgConnection::connect(url.expose_secret()).await?;
        let fsync: String = query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
        connection.close().await?;
        if fsync == "on" {
            return Ok(());
        }
    }
}

/// Time limit for the server to reload its settings.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

const DURABLE: [&str; 4] = [
    "ALTER SYSTEM SET fsync = on",
    "ALTER SYSTEM SET synchronous_commit = on",
    "ALTER SYSTEM SET full_page_writes = on",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
];

const STEADY: [&str; 4] = [
    "ALTER SYSTEM SET autovacuum = off",
    "ALTER SYSTEM SET checkpoint_timeout = '1d'",
    "ALTER SYSTEM SET max_wal_size = '16GB'",
    "ALTER SYSTEM SET fsync = off",
];

/// Finds a program on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| Path::is_file(file))
}
