//! Load from nghttp2's h2load. It counts every HTTP response as a success, even of a failed call.
//! The bytes of the responses are therefore compared with a response whose content was checked.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

use super::{CONNECTIONS, Outcome};
use crate::call::Call;

/// Requests before the measured ones: they fill caches, open connections and settle memory.
pub(crate) const WARM_UP: u64 = 2000;

/// Expected size of the responses, in bytes.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// The same for all.
    Same(u64),
    /// Within 4 bytes, because timestamps differ. The case must check the effects of the calls.
    About(u64),
}

/// Repeats a call over 32 connections, one at a time on each, for about `time`.
pub(crate) fn run(call: &Call, answers: Answers, time: Duration) -> Result<Outcome> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&call.frame())?;
    let warm = measure(call, &body, answers, WARM_UP)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let requests = (warm.per_second * time.as_secs_f64()).max(f64::from(CONNECTIONS)) as u64;
    let outcome = measure(call, &body, answers, requests)?;
    Ok(Outcome { sent: warm.sent + outcome.sent, ..outcome })
}

fn measure(call: &Call, body: &NamedTempFile, answers: Answers, requests: u64) -> Result<Outcome> {
    let times = NamedTempFile::new()?;
    let mut h2load = Command::new("h2load");
    h2load.args(["-t1", "-m1"]).arg(format!("-c{CONNECTIONS}")).arg(format!("-n{requests}"));
    if call.protocol.is_http1() {
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

    let good = number_before(&said, " succeeded").with_context(complain)?;
    let answered = number_before(&said, " 2xx").with_context(complain)?;
    let data = data_bytes(&said).with_context(complain)?;
    ensure!(good == requests && answered == requests, complain());
    let (least, most) = match answers {
        Answers::Same(bytes) => (bytes * requests, bytes * requests),
        Answers::About(bytes) => ((bytes - 4) * requests, (bytes + 4) * requests),
    };
    if !(least..=most).contains(&data) {
        bail!("responses of {data} bytes instead of {least} to {most}; {}", complain());
    }
    let per_second = said
        .lines()
        .find_map(|line| line.strip_prefix("finished in ")?.split(", ").nth(1)?.split(' ').next())
        .and_then(|rate| rate.parse().ok())
        .with_context(complain)?;
    // Start, status and duration of each request.
    let log = fs::read_to_string(times.path())?;
    let micros: Vec<u64> =
        log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    ensure!(micros.len() as u64 == requests, "h2load logged {} times", micros.len());
    Ok(Outcome::new(requests, per_second, micros))
}

/// Returns the number before a word: `… 200 succeeded, …` → 200.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let (before, _) = text.split_once(word)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Parses `traffic: 1MB (1000) total, 2KB (2) headers (…), 1MB (998) data` → 998.
fn data_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("traffic: "))?;
    let (before, _) = line.rsplit_once(") data")?;
    before.rsplit('(').next()?.parse().ok()
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
        assert_eq!(data_bytes(SAID), Some(21_000_000));
    }
}
