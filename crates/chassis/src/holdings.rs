//! Counts the bytes that callers make a process keep: unread answers and unfinished requests. One
//! caller's share leaves room for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use clinic_identity::Caller;
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

/// A caller: an account, a service, or the address of an anonymous client.
type Key = (Uuid, Option<IpAddr>);

/// What one caller holds.
#[derive(Clone, Copy)]
pub struct Account {
    holdings: Holdings,
    key: Key,
}

/// Bytes that count until this is dropped.
pub struct Held {
    account: Account,
    /// Bytes that are too few to be counted.
    uncounted: usize,
    bytes: usize,
}

/// Bytes that count as long as they are in memory.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl Default for Holdings {
    fn default() -> Self {
        Self(Box::leak(Box::default()))
    }
}

impl Holdings {
    /// What that caller holds.
    pub fn of(self, caller: &Caller) -> Account {
        let id = caller.id();
        let address = if id.is_nil() { caller.client_ip() } else { None };
        Account { holdings: self, key: (id, address) }
    }
}

impl Account {
    /// Refuses a call before any work is done if its answer might be too much for its caller.
    pub fn check(&self) -> Result<(), Error> {
        if self.holdings.0.all.load(Ordering::Relaxed) <= MOST_BEFORE {
            return Ok(());
        }
        let held = self.locked(|held| held.get(&self.key).copied().unwrap_or_default());
        if held <= MOST_BEFORE { Ok(()) } else { Err(Error::holds_too_much()) }
    }

    /// Counts these bytes, if the caller may hold so many more.
    pub fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let mut held = self.nothing();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Something that can grow.
    pub fn nothing(&self) -> Held {
        Held { account: *self, uncounted: 0, bytes: 0 }
    }

    fn grants(&self, bytes: usize) -> bool {
        let inner = self.holdings.0;
        self.locked(|held| {
            let own = held.get(&self.key).copied().unwrap_or_default().saturating_add(bytes);
            let all = inner.all.load(Ordering::Relaxed).saturating_add(bytes);
            let granted = own <= ALWAYS || (own <= MOST_OF_ONE && all <= MOST);
            if granted {
                held.insert(self.key, own);
                inner.all.fetch_add(bytes, Ordering::Relaxed);
            }
            granted
        })
    }

    /// The same bytes, which count until the last of them has gone.
    pub fn keep(&self, bytes: Bytes) -> Result<Bytes, Error> {
        if bytes.len() < SMALL {
            return Ok(bytes);
        }
        let held = self.hold(bytes.len())?;
        Ok(Bytes::from_owner(Counted { bytes, _held: held }))
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<Key, usize>) -> T) -> T {
        work(&mut self.holdings.0.by_caller.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// Counts so many bytes more.
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

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use clinic_identity::Roles;

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn user(number: u128) -> Caller {
        Caller::user(Uuid::from_u128(number), Uuid::nil(), Roles::NONE, false, None)
    }

    #[test]
    fn a_caller_may_hold_so_much_and_again_when_it_has_read() {
        let holdings = Holdings::default();
        let account = holdings.of(&user(1));
        let mut held: Vec<_> = (0..8).map(|_| account.hold(4 * MIB).ok().unwrap()).collect();
        assert!(account.hold(MIB).is_err() && account.check().is_err());
        held.pop();
        assert!(account.check().is_ok() && account.hold(4 * MIB).is_ok());
        held.extend(account.hold(MIB).ok());
        assert!(account.check().is_err(), "there is no room for an answer of the largest size");
        drop(held);
        assert_eq!(holdings.0.all.load(Ordering::Relaxed), 0);
        assert!(account.locked(|held| held.is_empty()));
    }

    #[test]
    fn a_caller_that_holds_little_is_served_whatever_others_hold() {
        let holdings = Holdings::default();
        let accounts = [1, 2].map(|number| holdings.of(&user(number)));
        let held: Vec<_> = accounts.iter().map(|account| account.hold(32 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(accounts.iter().all(|account| account.hold(MIB).is_err()));
        let other = holdings.of(&Caller::anonymous(Some(Ipv4Addr::LOCALHOST.into())));
        assert!(other.check().is_ok());
        let parts: Vec<_> = (0..8).map(|_| other.hold(MIB / 8)).collect();
        assert!(parts.iter().all(Result::is_ok) && other.hold(MIB).is_err());
    }

    #[test]
    fn many_small_parts_are_counted_together() {
        let holdings = Holdings::default();
        let mut held = holdings.of(&user(1)).nothing();
        for _ in 0..MIB {
            held.grow(1).ok().unwrap();
        }
        assert_eq!(holdings.0.all.load(Ordering::Relaxed), MIB);
    }

    #[test]
    fn kept_bytes_count_until_the_last_part_of_them_has_gone() {
        let holdings = Holdings::default();
        let account = holdings.of(&user(1));
        let mut bytes = account.keep(Bytes::from(vec![7; MIB])).ok().unwrap();
        assert_eq!(bytes, vec![7; MIB]);
        let part = bytes.split_to(10);
        drop(bytes);
        assert_eq!(holdings.0.all.load(Ordering::Relaxed), MIB);
        drop(part);
        assert_eq!(holdings.0.all.load(Ordering::Relaxed), 0);
    }
}
