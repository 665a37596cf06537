//! Argon2id in a bounded pool. A hash takes a core and 19 MiB for about 25 ms, so each core runs
//! one, and the others wait or are refused. A thread takes the next job itself, because waking a
//! thread would leave the core idle for most of a millisecond. The memory is reused, because
//! allocating it costs a sixth of the time, and freed after a while without sign-ins.
//!
//! Every hash needs a [`Permit`]. The [`Gate`] limits the permits of one address. Addresses take
//! turns, so a password waits behind one hash of each other address, not behind all of them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use clinic_identity::client_network;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::gate::{Entry, Gate};
use super::turns::Turns;
use crate::error::Error;

/// m = 19456 KiB, t = 2, p = 1: the recommendation of OWASP's cheat sheet for Argon2id.
const PARAMS: Params = Params::DEFAULT;
/// 256 bits.
const OUTPUT: usize = 32;
/// Blocks (of 1 KiB) of address space to allocate, of which [`PARAMS`] touches 19 MiB. Allocators
/// return blocks above 32 MiB to the system as soon as they are freed. They may keep smaller ones,
/// which would cost an idle service 20 MiB.
const RESERVED_BLOCKS: usize = 33 * 1024;
/// Permits per core, including waiting ones: about ten seconds of work, well within the deadline of
/// a call. At the limit, further sign-ins are refused.
const QUEUE: usize = 512;
/// How long unused memory is kept.
const KEEP: Duration = Duration::from_secs(10);

/// A handle to the pool. Clones share it.
#[derive(Clone)]
pub(crate) struct Hasher(Arc<Pool>);

struct Pool {
    cores: usize,
    gate: Arc<Gate>,
    queue: Arc<Semaphore>,
    work: Mutex<Work>,
    used: AtomicBool,
    /// A hash that no password has, for accounts that do not exist.
    decoy: String,
}

#[derive(Default)]
struct Work {
    waiting: Turns<Option<IpAddr>, Job>,
    /// Running threads. Each hashes until no job is waiting.
    threads: usize,
    /// Memory of threads that have ended.
    spare: Vec<Vec<Block>>,
}

/// A hash to compute, in memory of the pool.
type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// Permission to hash passwords, one after the other.
pub(crate) struct Permit {
    pool: Arc<Pool>,
    /// The address that takes turns with others.
    network: Option<IpAddr>,
    /// Shared with the running job: the permit counts until the job is done, even if the client
    /// hangs up. Otherwise a client could fill the queue by hanging up repeatedly.
    held: Arc<(Entry, OwnedSemaphorePermit)>,
}

/// The result of verifying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, but hashed with other parameters than the current ones.
    Outdated,
}

impl Hasher {
    /// Creates a pool with up to one thread per core.
    pub(crate) fn new() -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let salt = Salt::new(&clinic_random::bytes::<16>()).map_err(failed)?;
        let output = Output::new(&clinic_random::bytes::<OUTPUT>()).map_err(failed)?;
        Ok(Self(Arc::new(Pool {
            cores,
            gate: Arc::default(),
            queue: Arc::new(Semaphore::new(cores.saturating_mul(QUEUE))),
            work: Mutex::default(),
            used: AtomicBool::new(false),
            decoy: phc(salt, output)?.to_string(),
        })))
    }

    /// Returns a permit for a call of this client for this account name, or an error if there is
    /// none. Internal services have no address.
    pub(crate) fn admit(&self, client: Option<IpAddr>, account: &str) -> Result<Permit, Error> {
        let pool = Arc::clone(&self.0);
        let network = client.map(client_network);
        let entry = pool.gate.enter(network, account)?;
        let queued = Arc::clone(&pool.queue).try_acquire_owned().map_err(|_| Error::HashersBusy)?;
        Ok(Permit { pool, network, held: Arc::new((entry, queued)) })
    }

    /// Frees memory that was not used recently. Runs as long as the server.
    pub(crate) async fn release_idle_memory(self) {
        loop {
            tokio::time::sleep(KEEP).await;
            if !self.0.used.swap(false, Ordering::Relaxed) {
                // Dropped after the lock, because freeing takes a while.
                let _spare = std::mem::take(&mut self.0.work().spare);
            }
        }
    }
}

impl Permit {
    /// Hashes a password. Returns the PHC string to store.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Error> {
        let salt = Salt::new(&clinic_random::bytes::<16>()).map_err(failed)?;
        self.run(move |memory| {
            // The output is a placeholder, replaced on the next line.
            let mut hash = phc(salt, Output::new(&[0; OUTPUT]).map_err(failed)?)?;
            hash.hash = Some(output(password.expose_secret(), &hash, memory)?);
            Ok(hash.to_string())
        })
        .await
    }

    /// Compares a password with a stored hash. Without one, does the same work, so that the time
    /// does not tell whether the account exists.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<Verdict, Error> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.pool.decoy.clone());
        self.run(move |memory| {
            let hash = PasswordHash::new(&stored).map_err(failed)?;
            let computed = output(password.expose_secret(), &hash, memory)?;
            // `Output` compares in constant time.
            Ok(match hash.hash == Some(computed) && exists {
                false => Verdict::Wrong,
                true if is_current(&hash) => Verdict::Right,
                true => Verdict::Outdated,
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (response, answered) = oneshot::channel();
        let held = Arc::clone(&self.held);
        let job = Box::new(move |memory: &mut Vec<Block>| {
            // Skips the hash if the caller has gone.
            let result = (!response.is_closed()).then(|| work(memory));
            drop(held);
            if let Some(result) = result {
                // The caller may have gone.
                let _ = response.send(result);
            }
        });
        Arc::clone(&self.pool).begin(self.network, job);
        answered.await.map_err(|_| Error::internal("a hash was abandoned"))?
    }
}

impl Pool {
    /// Queues a job of this network. Starts a thread for it if a core is free.
    fn begin(self: Arc<Self>, network: Option<IpAddr>, job: Job) {
        let mut work = self.work();
        work.waiting.push(network, job);
        if work.threads < self.cores {
            work.threads += 1;
            drop(work);
            tokio::task::spawn_blocking(move || Thread { pool: self, ended: false }.run());
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that hashes.
struct Thread {
    pool: Arc<Pool>,
    ended: bool,
}

impl Thread {
    fn run(mut self) {
        let spare = self.pool.work().spare.pop();
        let mut memory = spare.unwrap_or_else(|| Vec::with_capacity(RESERVED_BLOCKS));
        while let Some(job) = self.next() {
            job(&mut memory);
            memory.truncate(PARAMS.block_count());
            self.pool.used.store(true, Ordering::Relaxed);
        }
        self.pool.work().spare.push(memory);
    }

    /// Returns the next job. Without one, the thread ends; the next job starts another.
    fn next(&mut self) -> Option<Job> {
        let mut work = self.pool.work();
        let job = work.waiting.pop();
        if job.is_none() {
            work.threads -= 1;
            self.ended = true;
        }
        job
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // A job panicked. The thread of the next job also runs the waiting ones.
        if !self.ended {
            self.pool.work().threads -= 1;
        }
    }
}

fn phc(salt: Salt, output: Output) -> Result<PasswordHash, Error> {
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&PARAMS).map_err(failed)?,
        salt: Some(salt),
        hash: Some(output),
    })
}

fn is_current(hash: &PasswordHash) -> bool {
    hash.algorithm == Algorithm::Argon2id.ident()
        && hash.version == Some(Version::V0x13.into())
        && ParamsString::try_from(&PARAMS).is_ok_and(|params| params == hash.params)
        && hash.hash.as_ref().is_some_and(|output| output.len() == OUTPUT)
}

/// Hashes a password with the algorithm, parameters and salt of a stored hash.
fn output(password: &str, like: &PasswordHash, memory: &mut Vec<Block>) -> Result<Output, Error> {
    let algorithm = Algorithm::try_from(like.algorithm.as_str()).map_err(failed)?;
    let version = like.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(failed)?;
    let params = Params::try_from(like).map_err(failed)?;
    let salt = like.salt.ok_or_else(|| Error::internal("a stored password has no salt"))?;
    let length = like.hash.as_ref().map_or(OUTPUT, Output::len);
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut out = vec![0; length];
    let argon2 = Argon2::new(algorithm, version, params);
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), &mut out, memory)
        .map_err(failed)?;
    Output::new(&out).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("cannot hash a password: {error}"))
}

#[cfg(test)]
mod tests;
