//! Load, and what the generators see.

pub(crate) mod h2load;
pub(crate) mod oha;
pub(crate) mod own;
pub(crate) mod pgbench;

use std::time::Duration;

/// Connections of every case.
pub(crate) const CONNECTIONS: u32 = 32;

/// What one run of a generator saw. Every answer was right, or there is no outcome.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// With those before them, which warmed up and took CPU time as well.
    pub(crate) sent: u64,
    pub(crate) per_second: f64,
    /// None where the generator does not tell them rightly.
    pub(crate) latency: Option<Latency>,
}

/// What half of the requests, and all but one in a hundred, stay below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Outcome {
    /// From every request's time in microseconds, and the time of all.
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
            Duration::from_micros(micros.get(at).copied().unwrap_or_default())
        };
        let latency = Latency { p50: below(50), p99: below(99) };
        Self { requests, sent: requests, per_second, latency: Some(latency) }
    }
}
