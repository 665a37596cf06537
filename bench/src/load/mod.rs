//! Load generators and their results.

pub(crate) mod h2load;
pub(crate) mod oha;
pub(crate) mod own;
pub(crate) mod pgbench;

use std::time::Duration;

use serde::Serialize;

/// Connections of every case.
pub(crate) const CONNECTIONS: u32 = 32;

/// Result of a run of a generator, in which every response was correct.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// `requests` plus those of the warm-up, which use CPU time too.
    pub(crate) sent: u64,
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

/// Latency percentiles in milliseconds; None if the generator does not report them correctly.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
}

impl Outcome {
    /// Creates the outcome of each request's latency in microseconds and the duration of the run.
    pub(crate) fn of(took: Duration, micros: Vec<u64>) -> Self {
        let requests = micros.len() as u64;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let per_second = requests as f64 / took.as_secs_f64();
        Self::new(requests, per_second, micros)
    }

    fn new(requests: u64, per_second: f64, mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let below = |percent: usize| {
            let at = micros.len().saturating_sub(1) * percent / 100;
            millis(Duration::from_micros(micros.get(at).copied().unwrap_or_default()))
        };
        let latency = Latency { p50: Some(below(50)), p99: Some(below(99)), p999: None };
        Self { requests, sent: requests, per_second, latency }
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
