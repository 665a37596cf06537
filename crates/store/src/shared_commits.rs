//! Lets concurrent writes to SQLite share commits.
//!
//! Each commit waits for the disk, and there is one connection for writes. While a write is under
//! way, others queue, and the next transaction commits the queued writes. Savepoints isolate them:
//! a failed write is rolled back without the others. A write that does not queue commits alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteRow;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Cause, Error};
use crate::lease::Lease;
use crate::row::Backend;
use crate::sqlite::{Manager, Sqlite};
use crate::work::write_parts;
use crate::write::{Journal, Origin, Write};

/// Maximum number of writes per commit. Bounds how long the first waits for the last.
const MAX_WRITES: usize = 64;

type Outcome = Result<Vec<SqliteRow>, Error>;
/// A write that waits for a commit.
type Member = (Box<Job>, oneshot::Sender<Outcome>);

/// The queue of writes.
#[derive(Default)]
pub(crate) struct SharedCommits(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// Whether a write is under way. If not, no write waits.
    is_busy: bool,
    waiting: VecDeque<Member>,
}

/// A write with its journals and origin.
pub(crate) struct Job {
    pub(crate) write: Write,
    pub(crate) journals: Arc<[Arc<dyn Journal>]>,
    pub(crate) origin: Origin,
}

impl SharedCommits {
    /// Commits a write. Returns the rows that it touched.
    pub(crate) async fn save(self: &Arc<Self>, sqlite: &Sqlite, job: Box<Job>) -> Outcome {
        match self.enter(job) {
            Entry::First(job) => {
                let _guard = QueueGuard { commits: self, sqlite };
                commit_one(sqlite.writer.lease().await?, &job).await
            }
            Entry::Queued(outcome) => outcome
                .await
                .unwrap_or_else(|_| Err(Error::Unavailable(Cause::new("the writer has ended")))),
        }
    }

    fn enter(&self, job: Box<Job>) -> Entry {
        let mut queue = self.queue();
        if !queue.is_busy {
            queue.is_busy = true;
            return Entry::First(job);
        }
        let (sender, outcome) = oneshot::channel();
        queue.waiting.push_back((job, sender));
        Entry::Queued(outcome)
    }

    /// Takes the writes that wait. If there are none, the next write need not queue.
    fn take(&self) -> Vec<Member> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(MAX_WRITES);
        queue.is_busy = count > 0;
        queue.waiting.drain(..count).collect()
    }

    /// Commits the taken writes, and then those that queue meanwhile, until there are none.
    async fn commit_queued(self: Arc<Self>, sqlite: Sqlite, mut taken: Vec<Member>) {
        while !taken.is_empty() {
            // Skip the writes of cancelled callers.
            taken.retain(|(_, sender)| !sender.is_closed());
            let (jobs, senders): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            let outcomes = match sqlite.writer.lease().await {
                _ if jobs.is_empty() => Vec::new(),
                Ok(lease) => commit_all(lease, &jobs).await,
                Err(error) => jobs.iter().map(|_| Err(error.clone())).collect(),
            };
            for (sender, outcome) in senders.into_iter().zip(outcomes) {
                sender.send(outcome).ok();
            }
            taken = self.take();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entry {
    /// No write is under way: the caller commits its write.
    First(Box<Job>),
    Queued(oneshot::Receiver<Outcome>),
}

/// Starts the commits of the queued writes when the write that did not queue is done or cancelled.
struct QueueGuard<'a> {
    commits: &'a Arc<SharedCommits>,
    sqlite: &'a Sqlite,
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let taken = self.commits.take();
        if taken.is_empty() {
            return;
        }
        // In a separate task, so a cancelled caller does not cancel the writes of others. Without a
        // runtime, dropping the senders fails the writes.
        match Handle::try_current() {
            Ok(runtime) => {
                let (commits, sqlite) = (self.commits.clone(), self.sqlite.clone());
                runtime.spawn(commits.commit_queued(sqlite, taken));
            }
            Err(_) => self.commits.queue().is_busy = false,
        }
    }
}

async fn commit_one(mut lease: Lease<Manager>, job: &Job) -> Outcome {
    let Job { write, journals, origin } = job;
    if write.is_single_statement(journals) {
        return lease.write_rows(write.statement(Backend::Sqlite)).await;
    }
    lease.begin().await?;
    let rows = write_parts(&mut lease, write, journals, origin).await?;
    lease.commit().await?;
    Ok(rows)
}

/// Commits several writes in one transaction. Returns the outcome of each.
async fn commit_all(mut lease: Lease<Manager>, jobs: &[Box<Job>]) -> Vec<Outcome> {
    if let [job] = jobs {
        return vec![commit_one(lease, job).await];
    }
    let outcomes = async {
        lease.begin().await?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(write_isolated(&mut lease, job).await?);
        }
        lease.commit().await?;
        Ok(outcomes)
    };
    outcomes.await.unwrap_or_else(|error: Error| jobs.iter().map(|_| Err(error.clone())).collect())
}

/// Makes one write of a shared transaction. Rolls back only this write if it fails.
///
/// # Errors
/// If the transaction cannot continue.
async fn write_isolated(lease: &mut Lease<Manager>, job: &Job) -> Result<Outcome, Error> {
    let Job { write, journals, origin } = job;
    // SQLite itself rolls back a failed statement, and keeps the transaction open.
    if write.is_single_statement(journals) {
        return Ok(write_parts(lease, write, journals, origin).await);
    }
    lease.run_in_transaction("SAVEPOINT one").await?;
    let outcome = write_parts(lease, write, journals, origin).await;
    if outcome.is_err() {
        lease.run_in_transaction("ROLLBACK TO one").await?;
    }
    lease.run_in_transaction("RELEASE one").await?;
    Ok(outcome)
}
