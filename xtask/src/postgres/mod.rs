//! A private PostgreSQL for the duration of a test run.
//!
//! A separate process (`hold`) owns the server and stops it when its standard input ends. The
//! server therefore ends with xtask, however xtask ends.

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

/// Run a command with a private PostgreSQL, as for the tests.
///
/// To run a single test: `cargo xtask postgres -- cargo test -p clinic-records patients`.
#[derive(Args)]
pub(crate) struct Options {
    /// Command to run; without one, prints the settings and keeps the server until Ctrl-C.
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// Own the server until standard input ends. Internal.
#[derive(Args)]
pub(crate) struct HoldOptions {
    /// Folder of PostgreSQL's server programs.
    programs: PathBuf,
}

/// The line after which there are no more settings.
const READY: &str = "ready";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut server = Server::start()?;
    let Some((program, arguments)) = options.command.split_first() else {
        for (name, value) in &server.settings {
            report::line(&format!("export {name}='{value}'"));
        }
        // Waits until Ctrl-C ends this process and the server.
        io::copy(&mut io::stdin(), &mut io::sink()).context("cannot wait on standard input")?;
        return server.stop().map(|()| ExitCode::SUCCESS);
    };
    // In the caller's folder, with its environment and terminal.
    let mut command = Command::new(program);
    command.args(arguments);
    server.export(&mut command);
    let status =
        command.status().with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
    server.stop()?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A running server. Dropping this stops it.
pub(crate) struct Server {
    holder: Child,
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts a server, and installs its programs if they are missing.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs::find_or_install()?;
        report::step("starting a private PostgreSQL");
        let me = env::current_exe().context("cannot find the path of xtask")?;
        let mut holder = Command::new(me)
            .arg("hold-postgres")
            .arg(programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A separate process group, because the holder must survive Ctrl-C to stop the server.
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

    /// Sets the variables by which a command finds the server.
    pub(crate) fn export(&self, command: &mut Command) {
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
    }

    /// Stops the server and removes its data, unless it is stopped already.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.holder.stdin.take().is_none() {
            return Ok(());
        }
        let status = self.holder.wait().context("cannot wait for PostgreSQL to stop")?;
        if !status.success() {
            bail!("PostgreSQL did not stop cleanly");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            report::complain(&format!("{error:#}"));
        }
    }
}

/// Starts a server, prints its settings, and stops it when standard input ends.
pub(crate) fn hold(options: &HoldOptions) -> Result<()> {
    let cluster = cluster::Cluster::start(&options.programs)?;
    let settings = format!("{}{READY}\n", cluster.settings());
    // Stops at once if the parent has closed the pipe, or if waiting fails.
    let mut stdout = io::stdout();
    if stdout.write_all(settings.as_bytes()).and_then(|()| stdout.flush()).is_ok() {
        let mut rest = Vec::new();
        let _ended = io::stdin().read_to_end(&mut rest);
    }
    cluster.stop()
}
