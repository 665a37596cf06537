//! Open-loop load from oha: requests are sent at a fixed rate, even while earlier ones wait for a
//! response, and latency counts from the time at which a request was due. A stall of the server
//! therefore shows in full (no "coordinated omission").

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::{CONNECTIONS, Latency, Outcome};
use crate::call::Call;

/// Minimum fraction of the requests that must have been sent in time.
const KEPT: f64 = 0.95;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    summary: Summary,
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    requests_per_sec: f64,
    total_data: u64,
}

/// Repeats a call at a rate for `time`, over 32 connections.
pub(crate) fn run(
    oha: &Path,
    call: &Call,
    bytes: u64,
    per_second: f64,
    time: Duration,
) -> Result<Outcome> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&call.frame)?;
    let mut command = Command::new(oha);
    command.args(["--no-tui", "--output-format=json", "--latency-correction"]);
    command.args(["--disable-compression", "--method=POST", "-p1"]);
    command.arg(if call.target.protocol.is_http1() {
        "--http-version=1.1"
    } else {
        "--http-version=2"
    });
    command.arg(format!("-c{CONNECTIONS}")).arg(format!("-q{per_second:.0}"));
    command.arg(format!("-z{}s", time.as_secs()));
    for (name, value) in call.headers() {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    command.arg("-D").arg(body.path()).arg(call.url());
    let output = command.output().context("cannot run oha")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complain = || format!("oha wrote:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), complain());
    let report: Report = serde_json::from_str(&said).with_context(complain)?;
    let answered: u64 = report.status_code_distribution.values().sum();
    let good = report.status_code_distribution.get("200").copied().unwrap_or_default();
    // Requests in flight at the end are not counted.
    let failed = report.error_distribution.keys().any(|error| error != "aborted due to deadline");
    ensure!(good == answered && answered > 0 && !failed, complain());
    ensure!(report.summary.total_data == bytes * answered, complain());
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let kept = answered as f64 >= per_second * time.as_secs_f64() * KEPT;
    ensure!(kept, "oha did not keep the rate of {per_second:.0}/s; {}", complain());
    let below = |percent: &str| {
        let seconds = report.latency_percentiles.get(percent).copied().flatten();
        seconds.map(|seconds| seconds * 1e3).with_context(complain)
    };
    let (p50, p99, p999) = (below("p50")?, below("p99")?, below("p99.9")?);
    let latency = Latency { p50: Some(p50), p99: Some(p99), p999: Some(p999) };
    let per_second = report.summary.requests_per_sec;
    Ok(Outcome { requests: answered, sent: answered, per_second, latency })
}
