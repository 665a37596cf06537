//! Limits the number of connections, in total and per address, and closes idle connections to make
//! room for new ones.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clinic_identity::client_network;
use clinic_net::process::open_files;
use ipnet::{IpNet, Ipv6Net};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::idle_timeout::Activity;

/// Idle connections are closed in batches of this fraction of the limit, because finding them scans
/// all connections.
const SHARE: usize = 64;
/// Open files reserved for other uses: connections to services, databases, keys.
const OTHER_FILES: u64 = 200;
/// How often to search for an idle connection while all places are taken.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The places for connections.
pub(super) struct ConnectionLimits {
    most: usize,
    most_per_address: usize,
    /// Networks whose connections are not counted by address.
    uncounted: Vec<IpNet>,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    connections: HashMap<u64, Holder>,
    /// Connections of each address that is counted.
    by_address: HashMap<IpAddr, HashSet<u64>>,
}

struct Holder {
    /// None if the connection is not counted by address.
    address: Option<IpAddr>,
    activity: Activity,
    evicted: CancellationToken,
}

/// A place for one connection. Dropping it frees the place.
pub(super) struct ConnectionPermit {
    places: Arc<ConnectionLimits>,
    id: u64,
    pub(super) activity: Activity,
    /// Cancelled when the connection must close to make room.
    pub(super) evicted: CancellationToken,
}

impl ConnectionLimits {
    /// Creates as many places as configured, but no more than the limit on open files allows.
    pub(super) fn new(settings: &config::PublicSettings) -> Arc<Self> {
        let most = most(settings.max_connections);
        let per_address = settings.max_connections_per_address.map(|most| most as usize);
        let mut uncounted = [&settings.uncounted_networks[..], &settings.trusted_proxies].concat();
        if settings.behind_proxy {
            // Every peer is a proxy.
            uncounted.extend([IpNet::default(), Ipv6Net::default().into()]);
        }
        Arc::new(Self {
            most,
            most_per_address: per_address.unwrap_or(most / 4).clamp(1, most),
            uncounted,
            open: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Waits for a free place. Returns None if the address is at its limit and all its connections
    /// are busy.
    pub(super) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let peer = peer.to_canonical();
        let limited = !self.uncounted.iter().any(|network| network.contains(&peer));
        let address = limited.then(|| client_network(peer));
        loop {
            let freed = self.freed.notified();
            {
                let mut open = self.lock();
                if let Some(address) = address
                    && let Some(held) = open.by_address.get(&address)
                    && held.len() >= self.most_per_address
                    && !open.close_idle(self.most_per_address, Some(address))
                {
                    return None;
                }
                if open.connections.len() < self.most {
                    return Some(self.place(&mut open, address));
                }
                open.close_idle(self.most, None);
            }
            // Wakes up regularly, because a connection that becomes idle does not notify.
            let _ = timeout(LOOK_AGAIN, freed).await;
        }
    }

    fn place(self: &Arc<Self>, open: &mut Open, address: Option<IpAddr>) -> ConnectionPermit {
        open.last_id += 1;
        let (id, activity, evicted) = (open.last_id, Activity::default(), CancellationToken::new());
        let holder = Holder { address, activity: activity.clone(), evicted: evicted.clone() };
        open.connections.insert(id, holder);
        if let Some(address) = address {
            open.by_address.entry(address).or_default().insert(id);
        }
        ConnectionPermit { places: self.clone(), id, activity, evicted }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes the connections that have been idle longest, of one address or of all. Returns
    /// whether there were any.
    fn close_idle(&mut self, most: usize, address: Option<IpAddr>) -> bool {
        let quiet = |id: &u64| Some((self.connections.get(id)?.activity.quiet_since()?, *id));
        let mut idle: Vec<_> = match address.and_then(|address| self.by_address.get(&address)) {
            Some(own) => own.iter().filter_map(quiet).collect(),
            None => self.connections.keys().filter_map(quiet).collect(),
        };
        let count = (most / SHARE).clamp(1, idle.len().max(1));
        if idle.len() > count {
            idle.select_nth_unstable(count - 1);
            idle.truncate(count);
        }
        for (_, id) in &idle {
            if let Some(holder) = self.connections.get(id) {
                holder.evicted.cancel();
            }
            // Frees the place now, because closing takes a moment.
            self.free(*id);
        }
        !idle.is_empty()
    }

    fn free(&mut self, id: u64) {
        let Some(Holder { address: Some(address), .. }) = self.connections.remove(&id) else {
            return;
        };
        if let Some(held) = self.by_address.get_mut(&address) {
            held.remove(&id);
            if held.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.places.lock().free(self.id);
        self.places.freed.notify_waiters();
    }
}

/// Returns the configured number of connections, reduced to what the limit on open files allows.
fn most(asked: u32) -> usize {
    let files = open_files().unwrap_or(u64::MAX);
    let possible = files.saturating_sub(OTHER_FILES).max(1);
    if possible < asked.into() {
        tracing::warn!(
            files,
            connections = possible,
            "the limit on open files is too low for --max-connections: raise it (ulimit -n, \
             LimitNOFILE=)"
        );
    }
    usize::try_from(possible.min(asked.into())).unwrap_or(usize::MAX)
}
