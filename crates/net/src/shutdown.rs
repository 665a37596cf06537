//! How a server ends: first it says so and goes on serving, so that its clients and load balancers
//! turn to others; then it takes no new connection, and finishes its calls within the grace.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// See the module. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    announced: CancellationToken,
    begun: CancellationToken,
}

impl Shutdown {
    /// Announces the end.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Begins the end, announced or not.
    pub fn begin(&self) {
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Announces the end, and begins it after `delay`.
    pub async fn begin_after(&self, delay: Duration) {
        self.announce();
        tokio::time::sleep(delay).await;
        self.begin();
    }

    /// Cancelled when the end is announced.
    pub fn announced(&self) -> &CancellationToken {
        &self.announced
    }

    /// Cancelled when the end begins.
    pub fn begun(&self) -> &CancellationToken {
        &self.begun
    }
}

/// Ends without an announcement.
impl From<CancellationToken> for Shutdown {
    fn from(token: CancellationToken) -> Self {
        Self { announced: token.clone(), begun: token }
    }
}

/// Waits for `serve`, but no longer than `grace` after `shutdown`: a connection that never ends
/// would hold it for ever (hyperium/hyper#4170). `None` when time ran out.
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
