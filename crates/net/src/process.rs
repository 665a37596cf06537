//! The life of a server process: limits, `.env`, the runtime, the ready line and signals.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::DEFAULT_LOG;
use crate::{Shutdown, telemetry};

/// Runs `program` until it ends. Prints its error as one line on stderr, with exit code 1.
pub fn run(program: impl AsyncFnOnce() -> Result<()>) -> ExitCode {
    let outcome = raise_file_limit().and_then(|()| read_env_file()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the system provides no threads")?;
        let outcome = runtime.block_on(program());
        // Running tasks had their grace period: a hanging connection must not delay the exit.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Files that the whole suite in one process needs without any clients.
const LEAST_FILES: u64 = 256;

/// Raises the limit of open files to the allowed maximum. Every connection is a file, and the
/// initial limit (1,024 on many systems) is meant for programs that cannot handle more. Fails if
/// the maximum is too low: a later error when opening a file would not mention the limit.
fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    // A failure is ignored here: the gateway warns if the limit is too low.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    match open_files() {
        Some(most) if most < LEAST_FILES => bail!(
            "this process may open only {most} files and needs {LEAST_FILES}: raise the limit with \
             `ulimit -n` in a shell or LimitNOFILE= in a systemd unit"
        ),
        Some(_) | None => Ok(()),
    }
}

/// Returns how many files the process may open, or None without a limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Reads `.env` in the working directory, if it exists, into the environment. Does not override
/// variables.
fn read_env_file() -> Result<()> {
    let is_flag = |argument: OsString| {
        let name = argument.as_encoded_bytes().split(|byte| *byte == b'=').next();
        name == Some(b"--log")
    };
    let is_given = std::env::var_os(LOG).is_some() || std::env::args_os().any(is_flag);
    LOG_IS_GIVEN.set(is_given).ok();
    match dotenvy::from_path(ENV_FILE) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // Do not quote the line: it may contain a password.
        Err(dotenvy::Error::LineParse(..)) => {
            let text = std::fs::read_to_string(ENV_FILE).unwrap_or_default();
            bail!("line {} of {ENV_FILE} is not of the form NAME=VALUE", broken_line(&text))
        }
        Err(error) => Err(error).with_context(|| format!("{ENV_FILE} cannot be read")),
    }
}

const ENV_FILE: &str = ".env";
const LOG: &str = "CLINIC_LOG";
/// Whether the log filter comes from a flag or the environment, and not from `.env`.
static LOG_IS_GIVEN: OnceLock<bool> = OnceLock::new();

/// Reloads the log filter from `.env`, unless it comes from a flag or the environment.
fn reload_log() -> Result<()> {
    if LOG_IS_GIVEN.get().is_none_or(|is_given| *is_given) {
        tracing::info!("the log filter is set by a flag or the environment and was not reloaded");
        return Ok(());
    }
    let lines = match dotenvy::from_path_iter(ENV_FILE) {
        Ok(lines) => lines.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    // Omit the cause, which quotes the line.
    let lines = lines.ok().with_context(|| format!("{ENV_FILE} cannot be read"))?;
    let filter = lines.into_iter().find(|(name, _)| name == LOG);
    let filter = filter.map_or_else(|| DEFAULT_LOG.to_owned(), |(_, value)| value);
    telemetry::change(&filter)?;
    tracing::info!(filter, "the log filter was reloaded");
    Ok(())
}

/// Returns the number of the broken line, the first that cannot be read. An unclosed quote begins
/// there.
fn broken_line(text: &str) -> usize {
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').split_inclusive('\n').collect();
    let readable = |&count: &usize| {
        let begin: String = lines.iter().take(count).copied().collect();
        dotenvy::from_read_iter(begin.as_bytes()).all(|line| line.is_ok())
    };
    1 + (0..lines.len()).rev().find(readable).unwrap_or_default()
}

/// Prints the process's URL on stdout. The scheme is `http` or `https`.
pub fn ready(name: &str, scheme: &str, address: std::net::SocketAddr) {
    say(&format!("{name} ready: {scheme}://{address}"));
}

/// Prints a line on stdout and flushes it. Ignores a closed stdout.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Signals within this time count as one.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Handles signals. SIGTERM announces the shutdown and begins it after `delay`. Ctrl-C begins it at
/// once. A second signal ends the process without waiting for calls. SIGHUP reloads the log filter;
/// the gateway also reloads its certificate.
pub fn on_signals(delay: Duration) -> Result<Shutdown> {
    let shutdown = Shutdown::default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Err(error) = reload_log() {
                tracing::warn!(error = format!("{error:#}"), "the log filter was not changed");
            }
        }
    });
    let told = shutdown.clone();
    tokio::spawn(async move {
        let delay = tokio::select! {
            _ = terminate.recv() => delay,
            _ = interrupt.recv() => Duration::ZERO,
        };
        tracing::info!(?delay, "stopping: not ready; accepts no new connections after the delay");
        tokio::spawn(async move { told.begin_after(delay).await });
        // A supervisor may signal both the process and its group.
        let first = Instant::now();
        while first.elapsed() < SAME_SIGNAL {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        say_error("stopped by a second signal: running calls were cut off");
        std::process::exit(1);
    });
    Ok(shutdown)
}

/// Writes a line on stderr, for the operator.
fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
