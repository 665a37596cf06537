//! Threads that serve connections, each with its own runtime. A connection stays on its thread:
//! waking another thread, twice per call, took longer than many calls.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The worker threads. Dropping this ends them.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// Its reference count is the number of connections plus one.
    connections: Arc<()>,
    _running: oneshot::Sender<()>,
}

/// Assigns a connection to a worker; a connection keeps it while it is open.
pub(crate) struct Lease {
    /// The worker's number, from 1; 0 means work outside the workers.
    pub(crate) number: usize,
    _connection: Arc<()>,
}

impl Workers {
    /// Starts one worker per processor.
    pub(crate) fn start() -> Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: io::Result<_> = (0..count).map(|_| Worker::start()).collect();
        Ok(Self(workers.context("cannot start the worker threads")?))
    }

    /// Assigns a connection to the worker with the fewest connections.
    pub(crate) fn lease(&self) -> Option<(Lease, &Handle)> {
        let load = |worker: &Worker| Arc::strong_count(&worker.connections);
        let (number, worker) = (1..).zip(&self.0).min_by_key(|(_, worker)| load(worker))?;
        let lease = Lease { number, _connection: worker.connections.clone() };
        Some((lease, &worker.runtime))
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel();
        let worker = Self {
            runtime: runtime.handle().clone(),
            connections: Arc::default(),
            _running: running,
        };
        thread::Builder::new().name("gateway-worker".to_owned()).spawn(move || {
            // Nothing is ever sent; this ends when the sender is dropped.
            let _ = runtime.block_on(ended);
        })?;
        Ok(worker)
    }
}
