//! Finding programs and running them in the checkout.

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

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it when it runs us; the other one is where we were compiled.
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
}

/// The folder that holds the workspace's programs: we are one of them, wherever the target folder
/// has been put.
pub(crate) fn programs_folder() -> Result<PathBuf> {
    let me = env::current_exe().context("cannot tell where xtask itself is")?;
    me.parent().map(Path::to_path_buf).context("xtask is in no folder")
}

/// A command that runs in the checkout, untouched by settings of the suite in the caller's shell.
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

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

/// Whether a file is there and may be run.
pub(crate) fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What a command prints on stdout, without the space around it. Nothing when it cannot be run or
/// fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Runs a command with our own stdout and stderr.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).status().with_context(|| cannot_run(command))
}

/// Runs a command to its end; its output is shown only when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_run(command))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{} failed:\n{}", name(command), String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}

/// Runs a command, passes its stdout through and shows each line to `each` as well.
pub(crate) fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| cannot_run(command))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        // By bytes, because a test may print what is no UTF-8.
        while reader.read_until(b'\n', &mut bytes).with_context(|| cannot_run(command))? > 0 {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\n', '\r']);
            report::line(text);
            each(text);
            bytes.clear();
        }
    }
    child.wait().with_context(|| cannot_run(command))
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}", name(command))
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}
