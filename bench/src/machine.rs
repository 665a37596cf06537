//! The machine and the program versions of a run, needed to interpret its figures.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Machine {
    at: String,
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Programs and their versions.
    versions: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn new(at: DateTime<Utc>) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = after(&meminfo, "MemTotal:").trim_end_matches(" kB").parse::<u64>();
        let clinic = commit(Path::new("."));
        let rustc = said(Command::new("rustc").arg("--version"));
        Self {
            at: at.format("%Y-%m-%d %H:%M UTC").to_string(),
            cpu: after(&cpuinfo, "model name").trim_start_matches(": ").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.unwrap_or_default().div_ceil(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            versions: vec![("clinic".to_owned(), clinic), ("rustc".to_owned(), rustc)],
        }
    }

    /// Adds the commit of a checkout.
    pub(crate) fn checkout(&mut self, name: &str, folder: &Path) {
        self.versions.push((name.to_owned(), commit(folder)));
    }

    /// Adds the version of a program.
    pub(crate) fn version(&mut self, name: &str, program: &Path, flag: &str) {
        let version = said(Command::new(program).arg(flag));
        self.versions.push((name.to_owned(), version));
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, on {} cores ({}), {} GiB, Linux {}.",
            self.at, self.cores, self.cpu, self.memory_gib, self.kernel
        )?;
        let versions: Vec<_> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "{}.", versions.join("; "))
    }
}

fn after<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

fn commit(checkout: &Path) -> String {
    said(Command::new("git").current_dir(checkout).args(["describe", "--always", "--dirty"]))
}

/// Returns the first version number that a command prints; nginx prints it to stderr.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "(unknown version)".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut numbers = text.split(|c: char| c != '.' && !c.is_ascii_digit());
    let version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    numbers.find(version).map_or_else(|| text.trim().to_owned(), str::to_owned)
}
