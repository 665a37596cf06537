//! A database cluster in a temporary folder, and its server.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{certificates::Certificates, os_user::OsUser};
use crate::{commands, report};

/// Attempts to start: another program may take the free port before the server does.
const TRIES: u32 = 5;

/// A running server.
pub(crate) struct Cluster {
    programs: PathBuf,
    user: Option<OsUser>,
    port: u16,
    folder: TempDir,
}

impl Cluster {
    pub(crate) fn start(programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("clinic-postgres-")
            .tempdir()
            .context("cannot create a temporary folder")?;
        let user = OsUser::when_root()?;
        let programs = programs.to_path_buf();
        let mut cluster = Self { programs, user, port: 0, folder };
        cluster.give(cluster.folder.path())?;
        cluster.initialise()?;
        cluster.write_certificates()?;
        cluster.write("data/pg_hba.conf", "host all all 127.0.0.1/32 trust\n", 0o600)?;

        let ours = fs::read_to_string(cluster.file("data/postgresql.conf"))
            .context("cannot read the server's settings")?;
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            cluster.port = free_port()?;
            let settings = format!("{ours}\n{SETTINGS}\nport = {}\n", cluster.port);
            cluster.write("data/postgresql.conf", &settings, 0o600)?;
            outcome = commands::quietly(&mut cluster.control(&["start", "-t", "120"]));
            if outcome.is_ok() {
                break;
            }
        }
        let log = || fs::read_to_string(cluster.file("log")).unwrap_or_default();
        outcome.with_context(|| format!("PostgreSQL does not start; its log:\n{}", log()))?;
        Ok(cluster)
    }

    /// Returns the environment variables by which tests find the server, a line for each.
    pub(crate) fn settings(&self) -> String {
        let mut settings = format!(
            "CLINIC_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:{}/postgres\n\
             CLINIC_TEST_POSTGRES_CA={}\n\
             CLINIC_TEST_POSTGRES_BIN={}\n",
            self.port,
            self.file("ca.crt").display(),
            self.programs.display()
        );
        if let Some(user) = &self.user {
            settings += &format!("CLINIC_TEST_POSTGRES_OS_USER={}\n", user.name);
        }
        settings
    }

    pub(crate) fn stop(self) -> Result<()> {
        // The data is not kept, so it need not be written to the disk.
        commands::quietly(&mut self.control(&["stop", "-m", "immediate"]))
            .context("cannot stop PostgreSQL")
    }

    fn initialise(&self) -> Result<()> {
        let initdb = |locale: &[&str]| {
            let mut initdb = self.program("initdb");
            initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
            initdb.args(locale).arg("--pgdata").arg(self.file("data"));
            commands::quietly(&mut initdb)
        };
        // As on most servers: text is sorted by a human language, not by bytes.
        let human = ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"];
        if initdb(&human).is_ok() {
            return Ok(());
        }
        report::complain("this PostgreSQL has no ICU locales; the tests run in the locale C");
        initdb(&["--locale=C"])
    }

    fn write_certificates(&self) -> Result<()> {
        let certificates =
            Certificates::issue().context("cannot create the certificate of PostgreSQL")?;
        self.write("ca.crt", &certificates.authority, 0o644)?;
        self.write("data/server.crt", &certificates.server, 0o644)?;
        self.write("data/server.key", &certificates.server_key, 0o600)
    }

    /// Returns a command for `pg_ctl`, which finds the server by the process id in its data folder.
    fn control(&self, arguments: &[&str]) -> Command {
        let mut control = self.program("pg_ctl");
        control.args(arguments).arg("-w").arg("-D").arg(self.file("data"));
        control.arg("-l").arg(self.file("log"));
        control
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        // The other user may have no access to the caller's folder, and the locale may not exist.
        command.current_dir(self.folder.path()).env("LC_ALL", "C").env_remove("PGOPTIONS");
        if let Some(user) = &self.user {
            user.run(&mut command);
        }
        command
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.give(&path)
    }

    fn give(&self, path: &Path) -> Result<()> {
        self.user.as_ref().map_or(Ok(()), |user| user.own(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Fast rather than durable, because the data is deleted after the tests. Every test has its own
/// databases and pools, and so needs many connections.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 400
shared_buffers = '128MB'
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
jit = off
ssl = on
";

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr().context("there is no free port")?.port())
}
