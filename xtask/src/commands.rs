//! Finds programs and runs them in the checkout.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::report;

/// Returns the root of the checkout.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable at run time; the fallback is where xtask was compiled.
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Returns the folder of the workspace's programs. xtask is one of them.
pub(crate) fn programs_folder() -> Result<PathBuf> {
    let me = env::current_exe().context("cannot find the path of xtask")?;
    me.parent().map(Path::to_path_buf).context("cannot find the folder of xtask")
}

/// Returns a command that runs in the checkout, without the suite's settings of the caller's shell.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        let setting = name.to_string_lossy();
        if setting.starts_with("CLINIC_") || setting == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// Returns a command for the cargo that runs xtask.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Finds a program on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

/// Returns whether a file exists and is executable.
pub(crate) fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Runs a command and returns its trimmed stdout, or None if it fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Runs a command that inherits stdout and stderr.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).status().with_context(|| cannot_run(command))
}

/// Runs a command; its output is shown only if it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_run(command))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{} failed:\n{}", name(command), String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}

/// Runs a command, prints its stdout, and calls `each` with every line.
pub(crate) fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| cannot_run(command))?;
    if let Some(stdout) = child.stdout.take() {
        // By bytes, because a test may print invalid UTF-8.
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| cannot_run(command))?;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\r');
            report::line(text);
            each(text);
        }
    }
    child.wait().with_context(|| cannot_run(command))
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}", name(command))
}

fn name(command: &Command) -> String {
    let program = command.get_program();
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// Returns whether the user is root.
pub(crate) fn we_are_root() -> bool {
    id(&["-u"]) == Some(0)
}

/// Returns a user or group id.
pub(crate) fn id(arguments: &[&str]) -> Option<u32> {
    output(Command::new("id").args(arguments))?.parse().ok()
}
