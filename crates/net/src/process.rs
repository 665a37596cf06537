//! A server process from start to end: `.env`, logs, a port, the ready line, and SIGTERM.

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::DEFAULT_LOG;
use crate::{Shutdown, telemetry};

/// Runs `program` to its end; its error is one line on stderr and exit code 1.
pub fn run<F, Fut>(program: F) -> ExitCode
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    raise_file_limit();
    let outcome = check_file_limit().and_then(|()| read_env_file()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the system gives no threads")?;
        let outcome = runtime.block_on(program());
        // Running tasks had their grace period: a hanging connection must not hold the process.
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

/// Lets the process open as many files as it may: every connection is one, and the limit that processes
/// begin with (1,024 on many systems) is for programs that cannot count further.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A failure is ignored here: the gateway warns if the limit is too low.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Files that the whole suite in one process needs without any client.
const LEAST_FILES: u64 = 256;

/// With fewer files, opening one of them fails somewhere, with an error that says nothing of the limit.
fn check_file_limit() -> Result<()> {
    match open_files() {
        Some(most) if most < LEAST_FILES => bail!(
            "this process may open only {most} files and needs {LEAST_FILES}: raise the limit, by \
             `ulimit -n` in a shell or LimitNOFILE= in a unit of systemd"
        ),
        Some(_) | None => Ok(()),
    }
}

/// How many files the process may open; none without a limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Reads `.env` of the working directory into the environment, where there is one. What is set
/// already stays.
pub fn read_env_file() -> Result<()> {
    LOG_IS_GIVEN.set(std::env::var_os(LOG).is_some() || is_argument("--log")).ok();
    match dotenvy::from_path(ENV_FILE) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // Do not quote the line: it may hold the password.
        Err(dotenvy::Error::LineParse(..)) => {
            let text = std::fs::read_to_string(ENV_FILE).unwrap_or_default();
            bail!("line {} of {ENV_FILE} is not of the form NAME=VALUE", broken_line(&text))
        }
        Err(error) => Err(error).with_context(|| format!("{ENV_FILE} cannot be read")),
    }
}

const ENV_FILE: &str = ".env";
const LOG: &str = "CLINIC_LOG";
/// Whether what to log was given by a flag or the environment, and not by `.env`.
static LOG_IS_GIVEN: OnceLock<bool> = OnceLock::new();

fn is_argument(name: &str) -> bool {
    let is_it =
        |argument: &[u8]| argument.split(|byte| *byte == b'=').next() == Some(name.as_bytes());
    std::env::args_os().any(|argument| is_it(argument.as_encoded_bytes()))
}

/// Logs what `.env` says now, unless a flag or the environment says it.
fn reload_log() -> Result<()> {
    if LOG_IS_GIVEN.get().is_none_or(|is_given| *is_given) {
        tracing::info!("what to log is set by a flag or the environment, and stays");
        return Ok(());
    }
    let lines = match dotenvy::from_path_iter(ENV_FILE) {
        Ok(lines) => lines.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    // Without the cause, which quotes the line.
    let lines = lines.ok().with_context(|| format!("{ENV_FILE} cannot be read"))?;
    let filter = lines.into_iter().find(|(name, _)| name == LOG);
    let filter = filter.map_or_else(|| DEFAULT_LOG.to_owned(), |(_, value)| value);
    telemetry::change(&filter)?;
    tracing::info!(filter, "what to log was read again");
    Ok(())
}

/// Returns the number of the broken line: the one after all that can be read. An unclosed quote
/// begins there.
fn broken_line(text: &str) -> usize {
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').split_inclusive('\n').collect();
    let readable = |&count: &usize| {
        let begin: String = lines.iter().take(count).copied().collect();
        dotenvy::from_read_iter(begin.as_bytes()).all(|line| line.is_ok())
    };
    1 + (0..lines.len()).rev().find(readable).unwrap_or_default()
}

/// Says on stdout where the process serves; the scheme is `http` or `https`.
pub fn ready(name: &str, scheme: &str, address: std::net::SocketAddr) {
    say(&format!("{name} ready: {scheme}://{address}"));
}

/// Prints a line on stdout, and flushes it. A closed stdout is no reason to end.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Signals within this time are one.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Follows the signals. SIGTERM announces the end, and begins it after `delay`. Ctrl-C begins it at
/// once. A second signal ends the process without waiting for calls. SIGHUP makes it read again what to
/// log; the gateway reads its certificate again.
pub fn on_signals(delay: Duration) -> Result<Shutdown> {
    let shutdown = Shutdown::default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Err(error) = reload_log() {
                tracing::warn!(error = format!("{error:#}"), "what to log stays as it was");
            }
        }
    });
    let told = shutdown.clone();
    tokio::spawn(async move {
        let delay = tokio::select! {
            _ = terminate.recv() => delay,
            _ = interrupt.recv() => Duration::ZERO,
        };
        tracing::info!(
            ?delay,
            "stopping: readiness is off, and connections are taken for the delay"
        );
        tokio::spawn(async move { told.begin_after(delay).await });
        // A supervisor may tell the process and its group.
        let first = Instant::now();
        while first.elapsed() < SAME_SIGNAL {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        say_error("stopped by a second signal: calls that were running are cut");
        std::process::exit(1);
    });
    Ok(shutdown)
}

/// Writes a line on stderr, for the operator.
fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
