//! Lets concurrent reads with the same text share PostgreSQL statements.
//!
//! sqlx sends one statement at a time over a connection, and each costs a system call and a wake-up
//! of the server. So each text has at most [`LANES`] statements under way. A read that finds a free
//! lane is sent unchanged, at once. Other reads queue, and the next free lane sends all queued
//! reads as one statement ([`Batch`]). No read waits only to be batched.
//!
//! A read is sent after its caller asked for it, so it sees everything committed before that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use sqlx::postgres::PgRow;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::error::{Cause, Error};
use crate::lease::Lease;
use crate::postgres::{ACQUIRE_TIMEOUT, Manager, Postgres};
use crate::query::{Piece, Query};

/// Maximum number of statements of one text under way.
const LANES: usize = 2;
/// Maximum number of reads per statement. Bounds how long the first waits for the last.
const MAX_BATCH: usize = 64;
/// Time limit for a statement. A lookup by key is faster, unless the server has vanished without
/// closing the connection, which must not hold a lane.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The groups of reads, by text. Never evicted: the program has only a few dozen texts.
#[derive(Default)]
pub(crate) struct SharedReads {
    groups: RwLock<HashMap<Box<[Piece]>, Arc<Group>, RandomState>>,
}

/// The reads that have the same text.
struct Group {
    batch: Batch,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Statements under way. While there are fewer than [`LANES`], no read waits.
    lanes: usize,
    waiting: VecDeque<Member>,
    next_ticket: u64,
}

type Outcome = Result<Option<PgRow>, Error>;

/// A read that waits for a lane.
struct Member {
    ticket: u64,
    query: Query,
    reply: oneshot::Sender<Outcome>,
    /// Whether it was already sent, over a connection that then broke.
    sent: bool,
}

impl SharedReads {
    /// Returns the first row of a SELECT, if any.
    pub(crate) async fn find(&self, postgres: &Postgres, query: Query) -> Outcome {
        let group = self.group(&query);
        if !group.batch.accepts(&query) {
            return postgres.retry(|lease| lease.fetch_row(&query)).await;
        }
        match group.enter(query) {
            Entry::Lane(lane, query) => {
                let _guard = LaneGuard { lane: Some(lane), postgres };
                postgres.retry(|lease| with_timeout(postgres, lease.fetch_row(&query))).await
            }
            Entry::Queued(waiting) => waiting.outcome().await,
        }
    }

    /// Whether no read is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.values().all(|group| lock(&group.queue).lanes == 0)
    }

    fn group(&self, query: &Query) -> Arc<Group> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(&*query.pieces) {
            return group.clone();
        }
        drop(groups);
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Group { batch: Batch::of(query), queue: Mutex::default() });
        groups.entry(query.pieces.as_slice().into()).or_insert_with(new).clone()
    }
}

enum Entry {
    Lane(Lane, Query),
    Queued(Waiting),
}

impl Group {
    fn enter(self: Arc<Self>, query: Query) -> Entry {
        let mut queue = lock(&self.queue);
        if queue.lanes < LANES {
            queue.lanes += 1;
            drop(queue);
            return Entry::Lane(Lane { group: self, ended: false }, query);
        }
        let (sender, reply) = oneshot::channel();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back(Member { ticket, query, reply: sender, sent: false });
        drop(queue);
        Entry::Queued(Waiting { group: self, ticket, reply, is_done: false })
    }

    /// Removes a read from the queue. Returns false if a lane has already taken it.
    fn leave(&self, ticket: u64) -> bool {
        let mut queue = lock(&self.queue);
        let at = queue.waiting.binary_search_by_key(&ticket, |member| member.ticket);
        at.is_ok_and(|at| queue.waiting.remove(at).is_some())
    }
}

/// A caller whose read is queued. Dropping it removes the read from the queue.
struct Waiting {
    group: Arc<Group>,
    ticket: u64,
    reply: oneshot::Receiver<Outcome>,
    is_done: bool,
}

impl Waiting {
    /// Waits for a lane no longer than for a connection, and then until the statement is done.
    async fn outcome(mut self) -> Outcome {
        let outcome = match timeout(ACQUIRE_TIMEOUT, &mut self.reply).await {
            Ok(outcome) => outcome,
            Err(_) if self.group.leave(self.ticket) => Ok(Err(Error::Busy)),
            Err(_) => (&mut self.reply).await,
        };
        self.is_done = true;
        outcome.unwrap_or_else(|_| Err(Error::Unavailable(Cause::new("the reader has ended"))))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_done {
            self.group.leave(self.ticket);
        }
    }
}

/// The right to have one statement of a group under way.
struct Lane {
    group: Arc<Group>,
    ended: bool,
}

impl Lane {
    /// Returns whether reads wait. If none do, ends the lane, and the next read opens another.
    fn continue_or_end(&mut self) -> bool {
        let mut queue = lock(&self.group.queue);
        if queue.waiting.is_empty() && !self.ended {
            queue.lanes -= 1;
            self.ended = true;
        }
        !self.ended
    }

    fn take(&self, most: usize) -> Vec<Member> {
        let mut queue = lock(&self.group.queue);
        let count = queue.waiting.len().min(most);
        queue.waiting.drain(..count).collect()
    }

    /// Sends the queued reads until there are none. Runs in a separate task, so a cancelled caller
    /// does not cancel the reads of others.
    async fn serve(mut self, postgres: Postgres) {
        while self.continue_or_end() {
            match postgres.lease().await {
                Ok(lease) => {
                    let members = self.take(MAX_BATCH);
                    self.read(&postgres, lease, members).await;
                }
                // Each read in the queue has its own timeout.
                Err(Error::Busy) => {}
                Err(error) => fail_all(self.take(usize::MAX), &error),
            }
        }
    }

    async fn read(&self, postgres: &Postgres, lease: Lease<Manager>, members: Vec<Member>) {
        let rows = match &*members {
            // All reads left the queue while the lane waited for a connection.
            [] => return,
            [one] => {
                let row = with_timeout(postgres, lease.fetch_row(&one.query)).await;
                row.map(|row| vec![row])
            }
            many => {
                let queries = many.iter().map(|member| &member.query);
                with_timeout(postgres, self.group.batch.read(lease, queries)).await
            }
        };
        match rows {
            Ok(rows) => {
                for (member, row) in members.into_iter().zip(rows) {
                    member.reply.send(Ok(row)).ok();
                }
            }
            // The values of one read may be the cause: send each separately.
            Err(Error::Internal(_)) if members.len() > 1 => {
                for Member { query, reply, .. } in members {
                    if !reply.is_closed() {
                        let read =
                            |lease: Lease<_>| with_timeout(postgres, lease.fetch_row(&query));
                        reply.send(postgres.retry(read).await).ok();
                    }
                }
            }
            // Send each read once more, over another connection.
            Err(error) if error.is_connection_error() => {
                let (again, failed) = members.into_iter().partition(|member| !member.sent);
                fail_all(failed, &error);
                self.put_back(again);
            }
            Err(error) => fail_all(members, &error),
        }
    }

    /// Puts back the reads whose callers still wait. Keeps the queue sorted by ticket, although the
    /// other lane may put reads back too: [`Group::leave`] relies on the order.
    fn put_back(&self, members: Vec<Member>) {
        let mut queue = lock(&self.group.queue);
        for member in members.into_iter().filter(|member| !member.reply.is_closed()) {
            let at = queue.waiting.partition_point(|other| other.ticket < member.ticket);
            queue.waiting.insert(at, Member { sent: true, ..member });
        }
    }
}

/// Cancels a read that takes too long. Its lease then cleans up or closes the connection. Idle
/// connections are tested before their next use.
async fn with_timeout<T>(
    postgres: &Postgres,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(READ_TIMEOUT, read).await.unwrap_or_else(|_| {
        let error = Error::Unavailable(Cause::connection("no answer in time"));
        Err(postgres.health.note_failure(error))
    })
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = lock(&self.group.queue);
            queue.lanes -= 1;
            // The runtime has shut down. Dropping the senders fails the reads that wait.
            if queue.lanes == 0 {
                queue.waiting.clear();
            }
        }
    }
}

/// The lane of a read that did not queue. When the read is done or cancelled, the lane continues
/// with the reads that queued meanwhile.
struct LaneGuard<'a> {
    lane: Option<Lane>,
    postgres: &'a Postgres,
}

impl Drop for LaneGuard<'_> {
    fn drop(&mut self) {
        if let Some(mut lane) = self.lane.take()
            && lane.continue_or_end()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(lane.serve(self.postgres.clone()));
        }
    }
}

fn fail_all(members: Vec<Member>, error: &Error) {
    for member in members {
        member.reply.send(Err(error.clone())).ok();
    }
}

/// Nothing panics while it holds one of these locks, so they are never poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_stays_sorted_when_both_lanes_put_reads_back() {
        let query = || Query::new("SELECT 1 WHERE 1 = $1").bind(1_i64);
        let group = Arc::new(Group { batch: Batch::of(&query()), queue: Mutex::default() });
        let (mut lanes, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..LANES + 6 {
            match group.clone().enter(query()) {
                Entry::Lane(lane, _) => lanes.push(lane),
                Entry::Queued(member) => waiting.push(member),
            }
        }
        let taken: Vec<_> = lanes.iter().map(|lane| lane.take(2)).collect();
        // The first lane took the first reads, and puts them back before the second lane.
        for (lane, members) in lanes.iter().zip(taken) {
            lane.put_back(members);
        }
        let tickets: Vec<_> = lock(&group.queue).waiting.iter().map(|m| m.ticket).collect();
        assert_eq!(tickets, [0, 1, 2, 3, 4, 5]);
        assert!(waiting.iter().all(|member| group.leave(member.ticket)), "each is found");
    }
}
