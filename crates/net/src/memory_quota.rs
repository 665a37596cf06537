//! Counts the bytes that callers make a process keep: unread responses and unfinished requests. A
//! limit per caller leaves room for the others.
//!
//! Reads are refused when their caller holds too much. Responses to writes count as well, but are
//! cut off only at twice the limit, because they report that the work is done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clinic_identity::{Principal, client_network};
use uuid::Uuid;

use crate::decode_errors::MAX_MESSAGE;
use crate::{Error, lock};

/// Maximum bytes of one caller: eight responses of the largest size, or the windows of 256 streams.
const MOST_OF_ONE: usize = 32 * 1024 * 1024;
/// Maximum bytes of a caller when a call is admitted. Above this there may be no room for the
/// response, which would be read from the database only to be refused.
const MOST_BEFORE: usize = MOST_OF_ONE - MAX_MESSAGE as usize;
/// Maximum bytes of all callers together.
const MOST: usize = 64 * 1024 * 1024;
/// Bytes that every caller may hold, regardless of the others.
const ALWAYS: usize = 1024 * 1024;
/// Bytes of a request or response below which nothing is counted, because counting takes a lock.
const SMALL: usize = 8 * 1024;

/// The held bytes of all callers. Copies share them. Never freed: a process has one, and every call
/// on every core would change a reference count.
#[derive(Clone, Copy)]
pub struct MemoryQuota(&'static Inner);

#[derive(Default)]
struct Inner {
    all: AtomicUsize,
    by_caller: Mutex<HashMap<Key, usize>>,
}

/// A caller: an account, a service, or the network of an anonymous client.
type Key = (Uuid, Option<IpAddr>);

/// The held bytes of one caller.
#[derive(Clone, Copy)]
pub struct Account {
    quota: MemoryQuota,
    key: Key,
    /// Whether this is for the response to a write.
    pub(crate) is_write: bool,
}

/// Bytes that count until this is dropped.
pub struct Reservation {
    account: Account,
    /// Bytes that are not counted yet, because they are less than [`SMALL`].
    uncounted: usize,
    bytes: usize,
}

impl MemoryQuota {
    /// Creates the quota of a process. Call it once.
    pub fn leaked() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Returns the account of a caller.
    pub fn of(self, principal: &Principal, client_ip: Option<IpAddr>) -> Account {
        let id = principal.id();
        let address = client_ip.filter(|_| principal.is_anonymous()).map(client_network);
        Account { quota: self, key: (id, address), is_write: false }
    }
}

impl Account {
    /// Returns the same caller's account for the response to a write.
    pub fn of_write(self) -> Self {
        Self { is_write: true, ..self }
    }

    /// Refuses a call before any work is done if there may be no room for its response.
    pub fn check(&self) -> Result<(), Error> {
        if self.quota.0.all.load(Ordering::Relaxed) <= MOST_BEFORE {
            return Ok(());
        }
        let held = self.locked(|held| held.get(&self.key).copied().unwrap_or_default());
        if held <= MOST_BEFORE { Ok(()) } else { Err(Error::holds_too_much()) }
    }

    /// Counts `bytes`, or refuses if that is too much.
    pub fn hold(&self, bytes: usize) -> Result<Reservation, Error> {
        let mut held = self.nothing();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Returns a reservation of no bytes, which can grow.
    pub fn nothing(&self) -> Reservation {
        Reservation { account: *self, uncounted: 0, bytes: 0 }
    }

    fn grants(&self, bytes: usize) -> bool {
        let inner = self.quota.0;
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
        work(&mut lock(&self.quota.0.by_caller))
    }
}

impl Reservation {
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

    /// Releases all bytes.
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
            account.quota.0.all.fetch_sub(bytes, Ordering::Relaxed);
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    impl MemoryQuota {
        /// Returns the bytes of all callers together.
        pub(crate) fn all(self) -> usize {
            self.0.all.load(Ordering::Relaxed)
        }
    }

    fn account_of(quota: MemoryQuota, name: &str) -> Account {
        quota.of(&Principal::service(name), None)
    }

    fn anonymous(quota: MemoryQuota, ip: &str) -> Account {
        quota.of(&Principal::Anonymous, Some(ip.parse().unwrap()))
    }

    #[test]
    fn a_caller_may_hold_up_to_the_limit_and_again_after_reading() {
        let quota = MemoryQuota::leaked();
        let account = account_of(quota, "one");
        let mut held: Vec<_> = (0..8).map(|_| account.hold(4 * MIB).ok().unwrap()).collect();
        assert!(account.hold(MIB).is_err() && account.check().is_err());
        held.pop();
        assert!(account.check().is_ok() && account.hold(4 * MIB).is_ok());
        held.extend(account.hold(MIB).ok());
        assert!(account.check().is_err(), "there is no room for an answer of the largest size");
        drop(held);
        assert_eq!(quota.all(), 0);
        assert!(account.locked(|held| held.is_empty()));
    }

    #[test]
    fn a_caller_that_holds_little_is_served_whatever_others_hold() {
        let quota = MemoryQuota::leaked();
        let accounts = ["one", "two"].map(|name| account_of(quota, name));
        let held: Vec<_> = accounts.iter().map(|account| account.hold(32 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(accounts.iter().all(|account| account.hold(MIB).is_err()));
        let other = anonymous(quota, "127.0.0.1");
        assert!(other.check().is_ok());
        let parts: Vec<_> = (0..8).map(|_| other.hold(MIB / 8)).collect();
        assert!(parts.iter().all(Result::is_ok) && other.hold(MIB).is_err());
    }

    #[test]
    fn many_small_parts_are_counted_together() {
        let quota = MemoryQuota::leaked();
        let mut held = account_of(quota, "one").nothing();
        for _ in 0..MIB {
            held.grow(1).ok().unwrap();
        }
        assert_eq!(quota.all(), MIB);
    }

    #[test]
    fn answers_to_writes_count_and_end_only_at_twice_as_much() {
        let quota = MemoryQuota::leaked();
        let account = account_of(quota, "one");
        let held: Vec<_> = (0..16).map(|_| account.of_write().hold(4 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(account.of_write().hold(MIB).is_err());
        assert!(account.check().is_err() && account.hold(MIB).is_err(), "a read is refused before");
    }

    #[test]
    fn an_anonymous_client_is_its_network() {
        let quota = MemoryQuota::leaked();
        let anonymous = |ip| anonymous(quota, ip);
        let _held = anonymous("2001:db8::1").hold(32 * MIB).ok().unwrap();
        assert!(anonymous("2001:db8::2").check().is_err());
        assert!(anonymous("2001:db8:0:1::2").check().is_ok());
    }
}
