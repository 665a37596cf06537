//! What callers make a process hold in memory: answers that they do not read, and requests that they do
//! not finish. Bounded for each caller and for all of them, so that one who holds all it may takes
//! nothing from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use clinic_identity::Caller;
use uuid::Uuid;

use crate::Error;

/// Bytes that one caller may hold: eight answers of the largest size, or the windows of 256 streams.
const MOST_OF_ONE: usize = 32 * 1024 * 1024;
/// Bytes that all may hold together.
const MOST: usize = 64 * 1024 * 1024;
/// What is smaller is not counted: it is bounded by the number of streams.
pub(crate) const LARGE: usize = 8 * 1024;

/// All that is held. Clones share it.
#[derive(Clone, Default)]
pub struct Holdings(Arc<Inner>);

#[derive(Default)]
struct Inner {
    all: AtomicUsize,
    by_caller: Mutex<HashMap<Key, usize>>,
}

/// A caller: an account or a service, or the address of one who is not known.
type Key = (Uuid, Option<IpAddr>);

/// What one caller holds. An extension of its answers.
#[derive(Clone)]
pub struct Account {
    holdings: Holdings,
    key: Key,
}

/// Bytes that count until this is dropped.
pub struct Held {
    account: Account,
    bytes: usize,
}

/// Bytes that count as long as they are in memory.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl Holdings {
    /// What that caller holds.
    pub fn of(&self, caller: &Caller) -> Account {
        let id = caller.id();
        let address = if id.is_nil() { caller.client_ip() } else { None };
        Account { holdings: self.clone(), key: (id, address) }
    }
}

impl Account {
    /// Refuses a call of one who holds all that it may, before any work is done for it.
    pub fn check(&self) -> Result<(), Error> {
        if self.holdings.0.all.load(Ordering::Relaxed) < MOST_OF_ONE {
            return Ok(());
        }
        let held = self.locked(|held| held.get(&self.key).copied().unwrap_or_default());
        if held < MOST_OF_ONE { Ok(()) } else { Err(Error::holds_too_much()) }
    }

    /// Counts these bytes, if the caller may hold so many more. One who holds nothing may, whatever
    /// others hold.
    pub fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let inner = &*self.holdings.0;
        let granted = self.locked(|held| {
            let own = held.entry(self.key).or_default();
            let all = inner.all.load(Ordering::Relaxed).saturating_add(bytes);
            let granted = *own == 0 || (own.saturating_add(bytes) <= MOST_OF_ONE && all <= MOST);
            if granted {
                *own += bytes;
                inner.all.fetch_add(bytes, Ordering::Relaxed);
            }
            granted
        });
        if !granted {
            return Err(Error::holds_too_much());
        }
        Ok(Held { account: self.clone(), bytes })
    }

    /// The same bytes, which count until the last of them has gone.
    pub fn keep(&self, bytes: Bytes) -> Result<Bytes, Error> {
        if bytes.len() < LARGE {
            return Ok(bytes);
        }
        let held = self.hold(bytes.len())?;
        Ok(Bytes::from_owner(Counted { bytes, _held: held }))
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<Key, usize>) -> T) -> T {
        work(&mut self.holdings.0.by_caller.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { account, bytes } = self;
        account.locked(|held| {
            if let Some(own) = held.get_mut(&account.key) {
                *own = own.saturating_sub(*bytes);
                if *own == 0 {
                    held.remove(&account.key);
                }
            }
            account.holdings.0.all.fetch_sub(*bytes, Ordering::Relaxed);
        });
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
        assert!(account.hold(1).is_err() && account.check().is_err());
        held.pop();
        assert!(account.check().is_ok() && account.hold(4 * MIB).is_ok());
        drop(held);
        assert_eq!(holdings.0.all.load(Ordering::Relaxed), 0);
        assert!(account.locked(|held| held.is_empty()));
    }

    #[test]
    fn who_holds_nothing_may_hold_an_answer_whatever_others_hold() {
        let holdings = Holdings::default();
        let accounts = [1, 2, 3].map(|number| holdings.of(&user(number)));
        let held: Vec<_> = accounts.iter().map(|account| account.hold(24 * MIB)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(accounts.iter().all(|account| account.hold(1).is_err()));
        let other = holdings.of(&Caller::anonymous(Some(Ipv4Addr::LOCALHOST.into())));
        assert!(other.check().is_ok());
        let first = other.hold(4 * MIB);
        assert!(first.is_ok() && other.hold(1).is_err());
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
