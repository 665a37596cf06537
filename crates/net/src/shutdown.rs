//! Graceful shutdown. The server announces it while clients and load balancers switch to other
//! replicas. Then it accepts no new connections, and finishes its calls within the grace period.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// See the module. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    announced: CancellationToken,
    begun: CancellationToken,
}

impl Shutdown {
    /// Announces the shutdown.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Begins the shutdown, announced or not.
    pub fn begin(&self) {
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Announces the shutdown and begins it after `delay`.
    pub async fn begin_after(&self, delay: Duration) {
        self.announce();
        tokio::time::sleep(delay).await;
        self.begin();
    }

    /// Returns a token that is cancelled when the shutdown is announced.
    pub fn announced(&self) -> &CancellationToken {
        &self.announced
    }

    /// Returns a token that is cancelled when the shutdown begins.
    pub fn begun(&self) -> &CancellationToken {
        &self.begun
    }
}

/// Creates a shutdown that begins as soon as it is announced.
impl From<CancellationToken> for Shutdown {
    fn from(token: CancellationToken) -> Self {
        Self { announced: token.clone(), begun: token }
    }
}

/// Waits for `serve`, but no longer than `grace` after `shutdown`: a connection that never ends
/// would block it forever (hyperium/hyper#4170). Returns None if the time ran out.
pub async fn drain<F: Future>(
    serve: F,
    shutdown: &CancellationToken,
    grace: Duration,
) -> Option<F::Output> {
    tokio::select! {
        outcome = serve => Some(outcome),
        () = async { shutdown.cancelled().await; tokio::time::sleep(grace).await } => None,
    }
}
