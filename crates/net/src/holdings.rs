//! Counts the bytes that callers make a process keep: unread answers and unfinished requests. One
//! caller's share leaves room for the others.
//!
//! Reads are refused when their caller holds too much. The answer to a write says that the work is done:
//! it counts as well, but ends early only at twice as much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clinic_identity::{Principal, client_network};
use uuid::Uuid;

use crate::Error;
use crate::unreadable::MAX_MESSAGE;

/// Bytes that one caller may hold: eight answers of the largest size, or the windows of 256 streams.
const MOST_OF_ONE: usize = 32 * 1024 * 1024;
/// Bytes that a caller may hold when a call is let in. With more there may be no room for its answer,
/// which would be read from the database only to be refused.
const MOST_BEFORE: usize = MOST_OF_ONE - MAX_MESSAGE as usize;
/// Bytes that all may hold together.
const MOST: usize = 64 * 1024 * 1024;
/// Bytes that every caller may hold, whatever the others hold.
const ALWAYS: usize = 1024 * 1024;
/// Bytes of one request or answer that are not counted: counting takes a lock.
const SMALL: usize = 8 * 1024;

/// All that is held. Copies share it. It is never freed: a process has one, and a count of references
/// would be changed by every call on every core.
#[derive(Clone, Copy)]
pub struct Holdings(&'static Inner);

#[derive(Default)]
struct Inner {
    all: AtomicUsize,
    by_caller: Mutex<HashMap<Key, usize>>,
}

/// A caller: an account, a service, or the network of an anonymous client.
type Key = (Uuid, Option<IpAddr>);

/// What one caller holds.
#[derive(Clone, Copy)]
pub struct Account {
    holdings: Holdings,
    key: Key,
    is_write: bool,
}

/// Bytes that count until this is dropped.
pub struct Held {
    account: Account,
    /// Bytes that are too few to be counted.
    uncounted: usize,
    bytes: usize,
}

impl Holdings {
    /// Creates the holdings of a process. Call it once.
    pub fn leaked() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Bytes that all hold together.
    #[cfg(test)]
    pub(crate) fn all(self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }

    /// Returns that caller's account.
    pub fn of(self, principal: &Principal, client_ip: Option<IpAddr>) -> Account {
        let id = principal.id();
        let address = client_ip.filter(|_| principal.is_anonymous()).map(client_network);
        Account { holdings: self, key: (id, address), is_write: false }
    }
}

impl Account {
    /// The same caller's share for the answer to a write.
    pub fn of_write(self) -> Self {
        Self { is_write: true, ..self }
    }

    /// Whether it is a share for the answer to a write.
    pub fn is_write(&self) -> bool {
        self.is_write
    }

    /// Refuses a call before any work is done if its answer might be too much for its caller.
    pub fn check(&self) -> Result<(), Error> {
        if self.holdings.0.all.load(Ordering::Relaxed) <= MOST_BEFORE {
            return Ok(());
        }
        let held = self.locked(|held| held.get(&self.key).copied().unwrap_or_default());
        if held <= MOST_BEFORE { Ok(()) } else { Err(Error::holds_too_much()) }
    }

    /// Counts `bytes`, or refuses them.
    pub fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let mut held = self.nothing();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Returns an empty hold.
    pub fn nothing(&self) -> Held {
        Held { account: *self, uncounted: 0, bytes: 0 }
    }

    fn grants(&self, bytes: usize) -> bool {
        let inner = self.holdings.0;
        let times = if self.is_write { 2 } else { 1 };
        self.locked(|held| {
            let own = held.get(&self.key).copied().unwrap_or_default().saturating_add(bytes);
            let all = inner.all.load(Ordering::Relaxed).saturating_add(bytes);
            let granted = own <= ALWAYS || (own <= times * MOST_OF_ONE && all <= times * MOST);
            if granted {
                held.insert(self.key, own);
                inner.all.fetch_add(bytes, Ordering::Relaxed);
            }
            granted
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<Key, usize>) -> T) -> T {
        work(&mut self.holdings.0.by_caller.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// Counts more bytes.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.uncounted += bytes;
        if self.uncounted < SMALL {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.uncounted);
        if !self.account.grants(bytes) {
            return Err(Error::holds_too_much());
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Counts none of it any more.
    pub fn clear(&mut self) {
        let (account, bytes) = (&self.account, std::mem::take(&mut self.bytes));
        self.uncounted = 0;
        if bytes == 0 {
            return;
        }
        account.locked(|held| {
            if let Some(own) = held.get_mut(&account.key) {
                *own = own.saturating_sub(bytes);
                if *own == 0 {
                    held.remove(&account.key);
                }
            }
            account.holdings.0.all.fetch_sub(bytes, Ordering::Relaxed);
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn account_of(holdings: Holdings, name: &str) -> Account {
        holdings.of(&Principal::service(name), None)
    }

    fn anonymous(holdings: Holdings, ip: &str) -> Account {
        holdings.of(&Principal::Anonymous, Some(ip.parse().unwrap()))
    }

    #[test]
    fn a_caller_may_hold_up_to_the_limit_and_again_after_reading() {
        let holdings = Holdings::leaked();
        let account = account_of(holdings, "one");
        let mut held: Vec<_> = (0..8).map(|_| account.hold(4 * MIB).ok().unwrap()).collect();
        assert!(account.hold(MIB).is_err() && account.check().is_err());
        held.pop();
        assert!(account.check().is_ok() && account.hold(4 * MIB).is_ok());
        held.extend(account.hold(MIB).ok());
        assert!(account.check().is_err(), "there is no room for an answer of the largest size");
        drop(held);
        assert_eq!(holdings.all(), 0);
        assert!(account.locked(|held| held.is_empty()));
    }

    #[test]
    fn a_caller_that_holds_little_is_served_whatever_others_hold() {
        let holdings = Holdings::leaked();
        let accounts = ["one", "two"].map(|name| account_of(holdings, name));
        let held: Vec<_> = accounts.iter().map(|account| account.hold(32 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(accounts.iter().all(|account| account.hold(MIB).is_err()));
        let other = anonymous(holdings, "127.0.0.1");
        assert!(other.check().is_ok());
        let parts: Vec<_> = (0..8).map(|_| other.hold(MIB / 8)).collect();
        assert!(parts.iter().all(Result::is_ok) && other.hold(MIB).is_err());
    }

    #[test]
    fn many_small_parts_are_counted_together() {
        let holdings = Holdings::leaked();
        let mut held = account_of(holdings, "one").nothing();
        for _ in 0..MIB {
            held.grow(1).ok().unwrap();
        }
        assert_eq!(holdings.all(), MIB);
    }

    #[test]
    fn answers_to_writes_count_and_end_only_at_twice_as_much() {
        let holdings = Holdings::leaked();
        let account = account_of(holdings, "one");
        let held: Vec<_> = (0..16).map(|_| account.of_write().hold(4 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(account.of_write().hold(MIB).is_err());
        assert!(account.check().is_err() && account.hold(MIB).is_err(), "a read is refused before");
    }

    #[test]
    fn an_anonymous_client_is_its_network() {
        let holdings = Holdings::leaked();
        let anonymous = |ip| anonymous(holdings, ip);
        let _held = anonymous("2001:db8::1").hold(32 * MIB).ok().unwrap();
        assert!(anonymous("2001:db8::2").check().is_err());
        assert!(anonymous("2001:db8:0:1::2").check().is_ok());
    }
}
