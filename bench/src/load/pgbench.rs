//! Load from pgbench, which measures the database alone.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use super::{CONNECTIONS, Latency, Outcome};

/// Runs a script of one prepared statement, with the variables as its parameters, over 32
/// connections for `time`.
pub(crate) fn run(
    pgbench: &Path,
    url: &str,
    script: &str,
    variables: &[(&str, String)],
    time: Duration,
) -> Result<Outcome> {
    // One thread per CPU: a single pgbench thread reaches little more than half of that rate.
    let threads = std::thread::available_parallelism()?;
    let mut file = NamedTempFile::new()?;
    file.write_all(script.as_bytes())?;
    let output = Command::new(pgbench)
        .args(["--protocol=prepared", "--no-vacuum"])
        .arg(format!("--jobs={threads}"))
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .args(variables.iter().map(|(name, value)| format!("--define={name}={value}")))
        .arg("--file")
        .arg(file.path())
        .arg(url)
        .output()
        .context("cannot run pgbench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complain = || format!("pgbench failed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), complain());
    let word_after = |before: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(before));
        line.and_then(|line| line.split(' ').next()).with_context(complain)
    };
    ensure!(word_after("number of failed transactions: ")? == "0", complain());
    let per_second = word_after("tps = ")?.parse().with_context(complain)?;
    let requests = word_after("number of transactions actually processed: ")?;
    let requests = requests.parse().with_context(complain)?;
    // No latency is reported: pgbench logs 0 for most transactions while all clients are busy.
    let latency = Latency::default();
    Ok(Outcome { requests, sent: requests, per_second, latency })
}
