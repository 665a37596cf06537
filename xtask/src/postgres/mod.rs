//! A private PostgreSQL for the time of a test run.
//!
//! The server is held by a process of its own (`hold`), which ends it when its standard input ends:
//! so the server goes away with us, however we end, and nothing needs to be looked for and killed.

mod certificates;
mod cluster;
mod os_user;
mod programs;

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::report;
pub(crate) use os_user::we_are_root;

/// Runs a command with a private PostgreSQL, as the tests have it.
///
/// For one test at a time: `cargo xtask postgres -- cargo test -p clinic-records patients`.
#[derive(Args)]
pub(crate) struct Options {
    /// The command; without one, the settings are printed and the server stays until Ctrl-C.
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// The process that holds the server. Not for people.
#[derive(Args)]
pub(crate) struct HoldOptions {
    /// Where PostgreSQL's server programs are.
    programs: PathBuf,
}

/// The line after which there are no more settings.
const READY: &str = "ready";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start()?;
    let Some((program, arguments)) = options.command.split_first() else {
        for (name, value) in &server.settings {
            report::line(&format!("export {name}='{value}'"));
        }
        // Until Ctrl-C ends us, and with us the server.
        io::copy(&mut io::stdin(), &mut io::sink()).context("cannot wait on standard input")?;
        return server.stop().map(|()| ExitCode::SUCCESS);
    };
    // As typed: in the caller's folder, with its terminal.
    let mut command = Command::new(program);
    command.args(arguments);
    server.export(&mut command);
    let status =
        command.status().with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
    server.stop()?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A server that is running, until this is dropped.
pub(crate) struct Server {
    holder: Child,
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts a server of our own; its programs are installed first when they are not there.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs::find_or_install()?;
        report::step("a private PostgreSQL");
        let me = env::current_exe().context("cannot tell where xtask itself is")?;
        let mut holder = Command::new(me)
            .arg("hold-postgres")
            .arg(programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: Ctrl-C is for us, and the holder then has to stop the server.
            .process_group(0)
            .spawn()
            .context("cannot start the process that holds PostgreSQL")?;
        let stdout = holder.stdout.take().context("the holder of PostgreSQL has no stdout")?;
        let mut server = Self { holder, settings: Vec::new() };
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read PostgreSQL's settings")?;
            match line.split_once('=') {
                Some((name, value)) => server.settings.push((name.to_owned(), value.to_owned())),
                None if line == READY => return Ok(server),
                None => bail!("the holder of PostgreSQL said: {line}"),
            }
        }
        bail!("PostgreSQL did not start")
    }

    /// Tells a command where the server is.
    pub(crate) fn export(&self, command: &mut Command) {
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
    }

    /// Stops the server and removes its data.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.holder.stdin.take().is_none() {
            return Ok(());
        }
        let status = self.holder.wait().context("cannot wait for PostgreSQL to stop")?;
        if !status.success() {
            bail!("PostgreSQL did not stop as it should");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            report::complain(&format!("{error:#}"));
        }
    }
}

/// Starts a server, says where it is, and stops it when standard input ends.
pub(crate) fn hold(options: &HoldOptions) -> Result<()> {
    let cluster = cluster::Cluster::start(&options.programs)?;
    let mut settings = cluster
        .settings()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect::<String>();
    settings.push_str(READY);
    settings.push('\n');
    // Nobody to read it any more means that it is time to stop, as does a failure to wait.
    let mut stdout = io::stdout();
    if stdout.write_all(settings.as_bytes()).and_then(|()| stdout.flush()).is_ok() {
        let mut rest = Vec::new();
        let _ended = io::stdin().read_to_end(&mut rest);
    }
    cluster.stop()
}
