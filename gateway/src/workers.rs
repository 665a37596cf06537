//! Threads that serve connections, each with its own runtime. A connection's work stays on its
//! thread: waking another one, twice for every call, took longer than many calls.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// See the module. They end when this is dropped.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// Its count of references is the number of connections plus one.
    connections: Arc<()>,
    _running: oneshot::Sender<()>,
}

/// A seat at a worker; a connection keeps it as long as it is open.
pub(crate) struct Seat {
    /// The worker's number, from 1; 0 stands for work outside the workers.
    pub(crate) number: usize,
    _connection: Arc<()>,
}

impl Workers {
    /// One for each processor.
    pub(crate) fn start() -> Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: io::Result<_> = (0..count).map(|_| Worker::start()).collect();
        Ok(Self(workers.context("the system gives no threads")?))
    }

    /// A seat at the worker that has fewest connections.
    pub(crate) fn seat(&self) -> Option<(Seat, &Handle)> {
        let load = |worker: &Worker| Arc::strong_count(&worker.connections);
        let (number, worker) = (1..).zip(&self.0).min_by_key(|(_, worker)| load(worker))?;
        let seat = Seat { number, _connection: worker.connections.clone() };
        Some((seat, &worker.runtime))
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
            // Nothing is ever sent: this ends when the sender is dropped.
            let _ = runtime.block_on(ended);
        })?;
        Ok(worker)
    }
}
