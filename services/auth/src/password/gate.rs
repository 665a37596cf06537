//! Limits the number of passwords from one address that are in progress. A hash takes a core for
//! about 25 ms, so without a limit one client could fill the hasher's queue and nobody else could
//! sign in.
//!
//! Accounts are counted by the name in the request, whether or not they exist, so a refusal tells
//! nothing about them. This is a limit of concurrent calls, not of a rate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Passwords that one address may have in progress. That is enough for 64 people in an office or a
/// hospital who sign in at the same moment, and two cores check them in less than a second.
const PER_ADDRESS: u32 = 64;
/// Passwords of one address that may be for one account: enough for the workers of a program, and
/// few enough that guesses at one account leave room for other accounts behind the address.
///
/// Each address has a separate count for an account. Otherwise anyone who knows an e-mail address
/// could lock its owner out.
const PER_ACCOUNT: u32 = 8;
/// Refusals with less time between them are one burst, which is logged once.
const QUIET: Duration = Duration::from_secs(10);

/// A limit of concurrent calls per address and account.
#[derive(Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    /// Entries are removed at zero, so the map never has more than those of the calls in progress.
    under_way: HashMap<Key, u32>,
    /// When an entry was last refused.
    refused: Option<Instant>,
}

/// The key of a count.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Account(Option<IpAddr>, Arc<str>),
}

/// A call that is counted until this is dropped.
pub(crate) struct Entry {
    gate: Arc<Gate>,
    keys: [Option<Key>; 2],
}

impl Gate {
    /// Counts a call from this [`clinic_identity::client_network`] for this account name, or
    /// refuses it. Calls without a known address, such as those of internal services, are only
    /// limited by account.
    pub(crate) fn enter(
        self: &Arc<Self>,
        network: Option<IpAddr>,
        account: &str,
    ) -> Result<Entry, Error> {
        let keys = [network.map(Key::Address), Some(Key::Account(network, account.into()))];
        let mut state = self.state();
        if keys.iter().flatten().any(|key| state.is_full(key)) {
            let first = state.begins_burst(Instant::now());
            drop(state);
            if first {
                tracing::warn!("sign-ins are refused: too many at once from one address");
            }
            return Err(Error::TooManySignIns);
        }
        for key in keys.iter().flatten() {
            *state.under_way.entry(key.clone()).or_default() += 1;
        }
        drop(state);
        Ok(Entry { gate: Arc::clone(self), keys })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self, key: &Key) -> bool {
        let most = match key {
            Key::Address(_) => PER_ADDRESS,
            Key::Account(..) => PER_ACCOUNT,
        };
        self.under_way.get(key).is_some_and(|count| *count >= most)
    }

    /// Records a refusal. Returns whether it is the first of a burst.
    fn begins_burst(&mut self, now: Instant) -> bool {
        let last = self.refused.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) > QUIET)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        for key in self.keys.iter().flatten() {
            if let Some(count) = state.under_way.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    state.under_way.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 8)));

    fn fill(gate: &Arc<Gate>, from: Option<IpAddr>, account: &str) -> Vec<Entry> {
        std::iter::from_fn(|| gate.enter(from, account).ok()).take(1000).collect()
    }

    #[test]
    fn an_address_that_has_all_it_may_keeps_no_other_address_out() {
        let gate = Arc::new(Gate::default());
        let names: Vec<String> = (0..100).map(|number| format!("{number}@example.com")).collect();
        let held: Vec<Entry> =
            names.iter().filter_map(|name| gate.enter(HERE, name).ok()).collect();
        assert_eq!(held.len(), 64);
        let refused = Status::from(clinic_net::Error::from(
            gate.enter(HERE, "new@example.com").err().unwrap(),
        ));
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_CALLS");
        assert!(details.retry_info().unwrap().retry_delay.is_some());
        assert!(gate.enter(THERE, "new@example.com").is_ok());
        // The same account too.
        assert!(gate.enter(THERE, "0@example.com").is_ok());
    }

    #[test]
    fn guesses_at_one_account_leave_room_for_other_accounts_of_the_address() {
        let gate = Arc::new(Gate::default());
        assert_eq!(fill(&gate, HERE, "a@example.com").len(), 8);
        let held = fill(&gate, HERE, "a@example.com");
        assert!(gate.enter(HERE, "b@example.com").is_ok());
        assert!(gate.enter(THERE, "a@example.com").is_ok());
        drop(held);
    }

    #[test]
    fn callers_without_an_address_are_limited_by_account_only() {
        let gate = Arc::new(Gate::default());
        let many: Vec<_> = (0..100).map(|n| gate.enter(None, &n.to_string()).unwrap()).collect();
        assert_eq!(fill(&gate, None, "a@example.com").len(), 8);
        drop(many);
    }

    #[test]
    fn calls_that_have_ended_leave_no_entry_behind() {
        let gate = Arc::new(Gate::default());
        drop((fill(&gate, HERE, "a@example.com"), fill(&gate, THERE, "a@example.com")));
        assert!(gate.state().under_way.is_empty());
        assert!(gate.enter(HERE, "a@example.com").is_ok());
    }

    #[test]
    fn a_burst_of_refusals_is_logged_once() {
        let mut state = State::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let logged = [0, 1, 2, 9, 18, 29, 30].map(|seconds| state.begins_burst(at(seconds)));
        assert_eq!(logged, [true, false, false, false, false, true, false]);
    }
}
