//! Load from nghttp2's h2load. It counts every HTTP response as a success, even of a failed call.
//! The bytes of the responses are therefore compared with a response whose content was checked.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

use super::{CONNECTIONS, Outcome};
use crate::call::Call;

/// Requests before the measured ones: they fill caches, open connections and settle memory.
pub(crate) const WARM_UP: u64 = 2000;

/// Repeats a call over 32 connections, one at a time on each, for about `time`. `least` and `most`
/// bound the average size of the responses in bytes.
pub(crate) fn run(call: &Call, [least, most]: [u64; 2], time: Duration) -> Result<Outcome> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&call.frame)?;
    let warm = measure(call, &body, [least, most], WARM_UP)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let requests = (warm.per_second * time.as_secs_f64()).max(f64::from(CONNECTIONS)) as u64;
    let outcome = measure(call, &body, [least, most], requests)?;
    Ok(Outcome { sent: warm.sent + outcome.sent, ..outcome })
}

fn measure(call: &Call, body: &NamedTempFile, bytes: [u64; 2], requests: u64) -> Result<Outcome> {
    let times = NamedTempFile::new()?;
    let mut h2load = Command::new("h2load");
    h2load.args(["-t1", "-m1"]).arg(format!("-c{CONNECTIONS}")).arg(format!("-n{requests}"));
    if call.target.protocol.is_http1() {
        h2load.arg("--h1");
    }
    for (name, value) in call.headers() {
        h2load.arg("-H").arg(format!("{name}: {value}"));
    }
    h2load.arg("-d").arg(body.path()).arg(format!("--log-file={}", times.path().display()));
    h2load.arg(call.url());
    let output = h2load.output().context("cannot run h2load")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complain = || format!("h2load for {} wrote:\n{said}", call.url());
    ensure!(output.status.success(), complain());

    let good: u64 = number_before(&said, " succeeded").with_context(complain)?;
    let answered: u64 = number_before(&said, " 2xx").with_context(complain)?;
    let data: u64 = number_before(&said, ") data").with_context(complain)?;
    let per_second: f64 = number_before(&said, " req/s").with_context(complain)?;
    ensure!(good == requests && answered == requests, complain());
    let [least, most] = bytes.map(|bytes| bytes * requests);
    if !(least..=most).contains(&data) {
        bail!("responses of {data} bytes instead of {least} to {most}; {}", complain());
    }
    // Start, status and duration of each request.
    let log = fs::read_to_string(times.path())?;
    let micros: Vec<u64> =
        log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    ensure!(micros.len() as u64 == requests, "h2load logged {} times", micros.len());
    Ok(Outcome::new(requests, per_second, micros))
}

/// Returns the number before a word: `… 200 succeeded, …` → 200.
fn number_before<T: FromStr>(text: &str, word: &str) -> Option<T> {
    let (before, _) = text.split_once(word)?;
    before.rsplit(|c: char| c != '.' && !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
finished in 2.02s, 49587.31 req/s, 13.44MB/s
requests: 100000 total, 100000 started, 100000 done, 99999 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 99998 2xx, 0 3xx, 2 4xx, 0 5xx
traffic: 27.10MB (28415340) total, 2.96MB (3100340) headers (space savings 91.90%), 20.03MB (21000000) data
";

    #[test]
    fn its_counts_are_read() {
        assert_eq!(number_before(SAID, " succeeded"), Some(99_999));
        assert_eq!(number_before(SAID, " 2xx"), Some(99_998));
        assert_eq!(number_before(SAID, ") data"), Some(21_000_000));
        assert_eq!(number_before(SAID, " req/s"), Some(49_587.31));
    }
}
