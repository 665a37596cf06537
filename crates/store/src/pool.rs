//! A pool whose connections are leased.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{Pool, PoolError, QueueMode, TimeoutType, Timeouts};
use sqlx::Connection as _;

use crate::error::{Cause, Error};
use crate::health::Health;
use crate::lease::{CLEAN_UP_TIMEOUT, Lease, Leased};

/// Connections with the same options. Clones are cheap and share them.
#[derive(Clone)]
pub(crate) struct LeasePool<M: Leased + 'static> {
    pub(crate) connections: Pool<M>,
    pub(crate) health: Arc<Health>,
}

impl<M: Leased> LeasePool<M> {
    /// Creates a pool without connections. They are opened when they are needed.
    pub(crate) fn new(manager: M, health: Arc<Health>, max_size: u32, timeouts: Timeouts) -> Self {
        let connections = Pool::builder(manager)
            .max_size(usize::try_from(max_size.max(1)).unwrap_or(usize::MAX))
            .timeouts(timeouts)
            // Reuses the most recent connections, so the others stay idle and can be closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        // Building fails only for timeouts without a runtime.
        #[expect(clippy::expect_used, reason = "a runtime is given in the line above")]
        let connections = connections.expect("a pool with a runtime");
        Self { connections, health }
    }

    pub(crate) fn max_size(&self) -> usize {
        self.connections.status().max_size
    }

    /// Leases a connection.
    pub(crate) async fn lease(&self) -> Result<Lease<M>, Error> {
        self.lease_within(&self.connections.timeouts()).await
    }

    /// Leases a connection if one is free now.
    pub(crate) async fn lease_now(&self) -> Result<Lease<M>, Error> {
        let timeouts = self.connections.timeouts();
        self.lease_within(&Timeouts { wait: Some(Duration::ZERO), ..timeouts }).await
    }

    async fn lease_within(&self, timeouts: &Timeouts) -> Result<Lease<M>, Error> {
        let leased = self.connections.timeout_get(timeouts).await;
        let connection = leased.map_err(|error| match error {
            PoolError::Backend(error) => self.health.note_failure(Error::from_connecting(error)),
            // Connections in use say nothing about the server.
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                self.health.note_failure(Error::Unavailable(Cause::new("no connection in time")))
            }
            PoolError::Closed => Error::from(sqlx::Error::PoolClosed),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Internal(Cause::new("the pool is not set up"))
            }
        })?;
        Ok(Lease::new(connection, self.health.clone()))
    }

    /// Waits a bounded time until no connection is in use and `is_idle`, and closes all of them.
    pub(crate) async fn close(&self, is_idle: impl Fn() -> bool) {
        let until = Instant::now() + CLEAN_UP_TIMEOUT;
        let pool = &self.connections;
        let at_work = || pool.status().size > pool.status().available || !is_idle();
        while at_work() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for connection in pool.retain(|_, _| false).removed {
            connection.close().await.ok();
        }
        pool.close();
    }
}
