//! The replicas behind the URLs of a service, and which of them get calls.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Result, ensure};
use http::{HeaderMap, Uri};
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic_health::pb::health_check_response::ServingStatus;

use super::failure::FailureKind;
use super::replica::{Condition, Replica};
use super::target::Target;
use crate::lock;

const RESOLVE_EVERY: Duration = Duration::from_secs(2);
/// Timeout for resolving a name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval of a replica's health checks.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Initial interval of an unhealthy replica. Doubles up to [`CHECK_EVERY`].
const CHECK_AGAIN: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Replicas {
    pub(super) name: String,
    /// The gRPC service whose health counts; empty for the whole process.
    health_of: Arc<str>,
    named: Mutex<Vec<Named>>,
    all: Mutex<Vec<Arc<Replica>>>,
    in_use: RwLock<Arc<[Arc<Replica>]>>,
    next: AtomicUsize,
    /// Health of the best replica. None until it is known.
    health: watch::Sender<Option<ServingStatus>>,
}

/// A URL, and the addresses that its host resolves to.
struct Named {
    url: Uri,
    addresses: Vec<SocketAddr>,
    /// Whether the last attempt to resolve it failed.
    fails: bool,
}

impl Replicas {
    /// Starts to resolve names and check replicas in the background, until this is dropped.
    pub(super) fn new(name: String, health_of: Arc<str>, urls: Vec<Uri>) -> Result<Arc<Self>> {
        ensure!(!urls.is_empty(), "no URL of {name} is given");
        for url in &urls {
            Target::new(url, SocketAddr::from(([0; 4], 0)))?;
        }
        let named = urls.into_iter().map(|url| Named {
            // Addresses need no resolver, and calls can use them right after the start.
            addresses: literal(&url).into_iter().collect(),
            url,
            fails: false,
        });
        let this = Arc::new(Self {
            name,
            health_of,
            named: Mutex::new(named.collect()),
            all: Mutex::default(),
            in_use: RwLock::new(Arc::new([])),
            next: AtomicUsize::new(0),
            health: watch::Sender::default(),
        });
        this.update();
        let names: Vec<_> = lock(&this.named).iter().map(|named| named.url.clone()).collect();
        for url in names.into_iter().filter(|url| literal(url).is_none()) {
            // One task per name: a name that is slow to resolve must not delay the others.
            tokio::spawn(resolve(Arc::downgrade(&this), url));
        }
        Ok(this)
    }

    /// Picks a replica for a call, round-robin among those in use. Prefers one that the call was
    /// not sent to before.
    pub(super) fn pick(&self, tried: &[Arc<Replica>]) -> Option<Arc<Replica>> {
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let start = match in_use.len() {
            0 | 1 => 0,
            // Avoids a contended cache line for one replica.
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let in_turn =
            || (0..in_use.len()).filter_map(|i| in_use.get(start.wrapping_add(i) % in_use.len()));
        let is_new = |replica: &&Arc<Replica>| !tried.iter().any(|t| Arc::ptr_eq(t, replica));
        in_turn().find(is_new).or_else(|| in_turn().next()).cloned()
    }

    /// Notes that an attempt failed.
    pub(super) fn failed(&self, replica: &Replica, how: FailureKind) {
        match how {
            FailureKind::Refused => self.set(replica, Condition::Refused),
            FailureKind::NoAnswer => self.set(replica, Condition::Silent),
            FailureKind::NotTaken => {}
            FailureKind::Lost | FailureKind::Reset => self.note(replica, true),
            FailureKind::Aborted => return,
        }
        replica.doubted.notify_one();
    }

    /// Notes a response.
    pub(super) fn answered(&self, replica: &Replica, response: &HeaderMap) {
        // An error response is only a head, which contains the status.
        let is_unavailable = response.get("grpc-status").is_some_and(|status| status == "14");
        self.note(replica, is_unavailable);
    }

    fn note(&self, replica: &Replica, is_failure: bool) {
        // Keep a worse condition, which comes from a health check or a failed connection.
        if replica.note(is_failure) && replica.condition().is_well() {
            self.set(replica, Condition::Failing);
        }
    }

    /// Returns a watch on the health of the best replica. None until it is known.
    pub(super) fn health(&self) -> watch::Receiver<Option<ServingStatus>> {
        self.health.subscribe()
    }

    fn set(&self, replica: &Replica, condition: Condition) {
        let before = replica.set(condition);
        if before == condition {
            return;
        }
        let (name, address) = (&*self.name, replica.address());
        match (before.is_well(), condition.is_well()) {
            (true, false) => {
                tracing::warn!(name, %address, ?condition, "a replica is taken out of rotation");
            }
            (false, true) => tracing::info!(name, %address, "a replica is back in rotation"),
            _ => {}
        }
        self.choose();
    }

    /// Chooses the replicas that calls go to.
    fn choose(&self) {
        let all = lock(&self.all);
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = best(&all).into();
        let health = health(&all).or_else(|| {
            let unresolved = all.is_empty() && lock(&self.named).iter().all(|named| named.fails);
            unresolved.then_some(ServingStatus::NotServing)
        });
        self.health.send_if_modified(|known| std::mem::replace(known, health) != health);
    }

    /// Adds replicas for new addresses, and removes those whose address is gone. The others keep
    /// their connections.
    pub(super) fn update(self: &Arc<Self>) {
        let named: Vec<_> = lock(&self.named)
            .iter()
            .flat_map(|n| n.addresses.iter().map(|address| (n.url.clone(), *address)))
            .collect();
        let mut all = lock(&self.all);
        all.retain(|r| named.iter().any(|(url, address)| r.is(url, *address)));
        for (url, address) in named {
            if all.iter().any(|r| r.is(&url, address)) {
                continue;
            }
            match Replica::new(url, address) {
                Ok(replica) => {
                    let replica = Arc::new(replica);
                    tokio::spawn(check(Arc::downgrade(self), Arc::downgrade(&replica)));
                    all.push(replica);
                }
                Err(error) => {
                    tracing::warn!(name = &*self.name, %address, %error, "a replica cannot be used");
                }
            }
        }
        drop(all);
        self.choose();
    }

    /// Notes the addresses of a name. If it cannot be resolved, the known addresses stay.
    pub(super) fn resolved(&self, url: &Uri, found: io::Result<Vec<SocketAddr>>) {
        let mut named = lock(&self.named);
        let Some(named) = named.iter_mut().find(|named| named.url == *url) else { return };
        let (name, host) = (&*self.name, host(url));
        let failed = found.as_ref().map_or(true, Vec::is_empty);
        match (failed, std::mem::replace(&mut named.fails, failed)) {
            (true, false) => {
                let error = found.as_ref().err().map(tracing::field::display);
                tracing::warn!(name, host, error, "the name cannot be resolved");
            }
            (false, true) => tracing::info!(name, host, "the name can be resolved again"),
            _ => {}
        }
        if let Ok(found) = found
            && !failed
        {
            named.addresses = found;
        }
    }
}

/// Returns the replicas in the best condition, never one that accepts no connection.
fn best(all: &[Arc<Replica>]) -> Vec<Arc<Replica>> {
    let rank = |replica: &Replica| match replica.condition() {
        Condition::New | Condition::Serving | Condition::Unknown => Some(0),
        // Reads may still work.
        Condition::Failing | Condition::NotServing => Some(1),
        Condition::Silent => Some(2),
        Condition::Refused => None,
    };
    let first = all.iter().filter_map(|replica| rank(replica)).min();
    let best: Vec<_> = all.iter().filter(|r| first.is_some() && rank(r) == first).collect();
    // The IPv6 and IPv4 addresses of a name belong to the same processes: use one family.
    let family = |url: &Uri| best.iter().find(|r| r.url == *url).map(|r| r.address().is_ipv6());
    let chosen = best.iter().filter(|r| family(&r.url) == Some(r.address().is_ipv6()));
    chosen.copied().cloned().collect()
}

/// Returns the health of the best replica, or None until it is known.
fn health(all: &[Arc<Replica>]) -> Option<ServingStatus> {
    let condition = |replica: &Arc<Replica>| replica.condition();
    let is_new = |condition: &Condition| *condition == Condition::New;
    match all.iter().map(condition).filter(|condition| !is_new(condition)).min()? {
        // A failing replica has reported that it serves.
        Condition::Serving | Condition::Failing => Some(ServingStatus::Serving),
        Condition::Unknown => Some(ServingStatus::Unknown),
        _ if all.iter().map(condition).any(|condition| is_new(&condition)) => None,
        _ => Some(ServingStatus::NotServing),
    }
}

/// Returns the address if the URL contains one instead of a host name.
fn literal(url: &Uri) -> Option<SocketAddr> {
    Some(SocketAddr::new(host(url).parse().ok()?, port(url)))
}

/// Returns the host in the form for the resolver, without the brackets of IPv6.
pub(super) fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

pub(super) fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Resolves a name repeatedly.
async fn resolve(replicas: Weak<Replicas>, url: Uri) {
    loop {
        // The system's resolver, which also uses `/etc/hosts` and the operator's configuration.
        let found = timeout(RESOLVE_TIMEOUT, lookup_host((host(&url), port(&url)))).await;
        let found = found.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let found = found.map(Iterator::collect);
        let Some(this) = replicas.upgrade() else { return };
        this.resolved(&url, found);
        this.update();
        drop(this);
        sleep(RESOLVE_EVERY).await;
    }
}

/// Checks a replica repeatedly, until it is removed.
async fn check(replicas: Weak<Replicas>, replica: Weak<Replica>) {
    let mut again = CHECK_AGAIN;
    while let (Some(all), Some(one)) = (replicas.upgrade(), replica.upgrade()) {
        let health_of = all.health_of.clone();
        drop(all);
        let found = one.check(&health_of).await;
        // At a shutdown, a server that has ended is no failure to log.
        let Some(all) = replicas.upgrade() else { return };
        all.set(&one, found);
        let pause = if found.is_well() { CHECK_EVERY } else { again };
        again = if found.is_well() { CHECK_AGAIN } else { CHECK_EVERY.min(again * 2) };
        let doubted = one.doubted.clone();
        drop((all, one));
        sleep(CHECK_AGAIN).await;
        let _ = timeout(pause.saturating_sub(CHECK_AGAIN), doubted.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Replicas {
        /// Returns the addresses that calls go to.
        pub(in crate::upstream) fn in_use(&self) -> Vec<SocketAddr> {
            let in_use = self.in_use.read().unwrap();
            in_use.iter().map(|replica| replica.address()).collect()
        }
    }

    #[test]
    fn of_a_name_with_two_families_one_is_used_and_the_other_when_that_is_worse() {
        let url: Uri = "http://records:1".parse().unwrap();
        let addresses = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1"];
        let all: Vec<_> = addresses
            .map(|address| Arc::new(Replica::new(url.clone(), address.parse().unwrap()).unwrap()))
            .into();
        let used = || best(&all).iter().map(|r| r.address().to_string()).collect::<Vec<_>>();
        assert_eq!(used(), ["[::1]:1", "[::2]:1"]);
        all[0].set(Condition::Refused);
        assert_eq!(used(), ["127.0.0.1:1", "127.0.0.2:1"]);
        all[1].set(Condition::NotServing);
        all[3].set(Condition::Silent);
        assert_eq!(used(), ["[::2]:1"]);
        all[2].set(Condition::Failing);
        assert_eq!(used(), ["127.0.0.1:1"], "both may still answer reads");
        all[1].set(Condition::Refused);
        all[2].set(Condition::Refused);
        assert_eq!(used(), ["127.0.0.2:1"]);
        all[3].set(Condition::Refused);
        assert!(used().is_empty());
    }
}
