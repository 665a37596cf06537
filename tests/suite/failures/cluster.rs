//! A PostgreSQL server for one test, which the test may stop. `cargo xtask test` sets the directory
//! of the programs and, if the tests run as root, the OS user that runs them.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secrecy::SecretString;
use tempfile::TempDir;

use crate::ports::Port;

pub(super) struct Cluster {
    programs: PathBuf,
    /// Ids of another OS user and its group: PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
    /// Stays reserved while the server is down.
    port: Port,
    folder: TempDir,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let programs = std::env::var_os("CLINIC_TEST_POSTGRES_BIN");
        let programs = programs.expect("run the tests with `cargo xtask test`").into();
        let user = std::env::var("CLINIC_TEST_POSTGRES_OS_USER").ok();
        let user = user.map(|name| (id("-u", &name), id("-g", &name)));
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { programs, user, port: Port::reserve(), folder };
        cluster.own(cluster.folder.path());
        let mut initdb = cluster.program("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
        cluster.run(initdb.arg("--locale=C").arg("--pgdata").arg(cluster.data()));
        let settings = cluster.data().join("postgresql.conf");
        let given = fs::read_to_string(&settings).unwrap();
        let port = cluster.port.number();
        fs::write(&settings, format!("{given}{SETTINGS}port = {port}\n")).unwrap();
        cluster.own(&settings);
        cluster.up();
        cluster
    }

    pub(super) fn url(&self) -> SecretString {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port.number()).into()
    }

    pub(super) fn up(&self) {
        self.run(
            self.control().args(["start", "-t", "60", "-l"]).arg(self.folder.path().join("log")),
        );
    }

    /// Stops the server: `fast` as an operator does, `immediate` as in a crash.
    pub(super) fn down(&self, mode: &str) {
        self.run(self.control().args(["stop", "-m", mode]));
    }

    fn control(&self) -> Command {
        let mut control = self.program("pg_ctl");
        control.arg("-w").arg("-D").arg(self.data());
        control
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        // The server inherits these streams. A pipe that it holds open would never end.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn run(&self, command: &mut Command) {
        let status = command.status().unwrap();
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(status.success(), "{command:?}\n{}", log());
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Fails if the test has already stopped the server.
        let _ = self.control().args(["stop", "-m", "immediate"]).status();
    }
}

fn id(what: &str, user: &str) -> u32 {
    let output = Command::new("id").args([what, user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 50
shared_buffers = '16MB'
fsync = off
";
