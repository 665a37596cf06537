//! Gathers reads of the same text that many ask for at once.
//!
//! sqlx sends one statement at a time over a connection, and each costs a system call and the
//! server's waking. So only [`LANES`] reads of a text are under way at a time. The first ones go as
//! they are, at once; while they do, others queue, and whoever is done takes all that wait along as
//! one statement ([`Batch`]). Nobody waits for company: alone, a read is what it would be without.
//!
//! A read is sent after it was asked for, so it sees all that was committed before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use sqlx::postgres::PgRow;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::db::Row;
use crate::error::{Cause, Error};
use crate::lease::Lease;
use crate::postgres::{ACQUIRE_TIMEOUT, Manager, Postgres};
use crate::query::{Piece, Query};

/// How many statements of one text are under way at once.
const LANES: usize = 2;
/// How many reads one statement takes at most: a bound for how long the first waits for the last.
const MOST: usize = 64;
/// How long a statement may take. What is found by a key is found in less time, or the server went
/// away without a word: then its connection must not keep a lane from the others.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// The texts that are gathered. Never forgotten: they are the program's, and so a few dozen.
#[derive(Default)]
pub(crate) struct Gather {
    texts: RwLock<HashMap<Box<[Piece]>, Arc<Text>, RandomState>>,
}

struct Text {
    batch: Batch,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Statements under way. While there are less than [`LANES`], nobody waits.
    lanes: usize,
    waiting: VecDeque<Member>,
    next_ticket: u64,
}

type Answer = Result<Option<PgRow>, Error>;

/// A read that waits for a lane.
struct Member {
    ticket: u64,
    query: Query,
    answer: oneshot::Sender<Answer>,
    /// Whether it was sent already, over a connection that then broke.
    sent: bool,
}

impl Gather {
    /// The first row that the query finds, if any.
    pub(crate) async fn find<T: Row>(
        &self,
        postgres: &Postgres,
        query: Query,
    ) -> Result<Option<T>, Error> {
        let text = self.text(&query);
        if !text.batch.takes(&query) {
            return postgres.read(|lease| lease.fetch_optional(&query)).await;
        }
        match text.enter(query) {
            Entered::Lane(lane, query) => {
                let _lone = Lone { lane: Some(lane), postgres };
                let attempt =
                    |lease: Lease<Manager>| within_patience(postgres, lease.fetch_optional(&query));
                postgres.read(attempt).await
            }
            Entered::Queue(waiting) => match waiting.answer().await? {
                Some(row) => Ok(Some(T::from_row(&row)?)),
                None => Ok(None),
            },
        }
    }

    /// Whether no read is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.values().all(|text| locked(&text.queue).lanes == 0)
    }

    fn text(&self, query: &Query) -> Arc<Text> {
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = texts.get(query.pieces()) {
            return text.clone();
        }
        drop(texts);
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Text { batch: Batch::of(query), queue: Mutex::default() });
        texts.entry(query.pieces().into()).or_insert_with(new).clone()
    }
}

enum Entered {
    Lane(Lane, Query),
    Queue(Waiting),
}

impl Text {
    fn enter(self: Arc<Self>, query: Query) -> Entered {
        let mut queue = locked(&self.queue);
        if queue.lanes < LANES {
            queue.lanes += 1;
            drop(queue);
            return Entered::Lane(Lane { text: self, ended: false }, query);
        }
        let (sender, answer) = oneshot::channel();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back(Member { ticket, query, answer: sender, sent: false });
        drop(queue);
        Entered::Queue(Waiting { text: self, ticket, answer, answered: false })
    }

    /// Takes a read off the queue; false when a lane has taken it already.
    fn leave(&self, ticket: u64) -> bool {
        let mut queue = locked(&self.queue);
        let at = queue.waiting.binary_search_by_key(&ticket, |member| member.ticket);
        at.is_ok_and(|at| queue.waiting.remove(at).is_some())
    }
}

/// Whoever waits for an answer. The queue forgets who does not wait any more.
struct Waiting {
    text: Arc<Text>,
    ticket: u64,
    answer: oneshot::Receiver<Answer>,
    answered: bool,
}

impl Waiting {
    /// Waits for a lane as long as for a connection, and then for as long as the statement takes.
    async fn answer(mut self) -> Answer {
        let answer = match timeout(ACQUIRE_TIMEOUT, &mut self.answer).await {
            Ok(answer) => answer,
            Err(_) if self.text.leave(self.ticket) => Ok(Err(Error::Busy)),
            Err(_) => (&mut self.answer).await,
        };
        self.answered = true;
        answer.unwrap_or_else(|_| Err(Error::Unavailable(Cause::new("the reader has ended"))))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            self.text.leave(self.ticket);
        }
    }
}

/// The right to have one statement of a text under way.
struct Lane {
    text: Arc<Text>,
    ended: bool,
}

impl Lane {
    /// Whether somebody waits. If not, the lane has ended: whoever comes next opens another.
    fn goes_on(&mut self) -> bool {
        let mut queue = locked(&self.text.queue);
        if queue.waiting.is_empty() && !self.ended {
            queue.lanes -= 1;
            self.ended = true;
        }
        !self.ended
    }

    fn take(&self, most: usize) -> Vec<Member> {
        let mut queue = locked(&self.text.queue);
        let count = queue.waiting.len().min(most);
        queue.waiting.drain(..count).collect()
    }

    /// Serves those who wait until there are none. A task of its own, so that no caller who goes
    /// away takes the others' answers along.
    async fn serve(mut self, postgres: Postgres) {
        while self.goes_on() {
            match postgres.lease().await {
                Ok(lease) => {
                    let members = self.take(MOST);
                    self.read(&postgres, lease, members).await;
                }
                // Each waits as long as it would for a connection of its own.
                Err(Error::Busy) => {}
                Err(error) => answer_all(self.take(usize::MAX), &error),
            }
        }
    }

    async fn read(&self, postgres: &Postgres, lease: Lease<Manager>, members: Vec<Member>) {
        let rows = match &*members {
            // Those that waited have left while the lane waited for a connection.
            [] => return,
            [one] => {
                let row = within_patience(postgres, lease.fetch_row(&one.query)).await;
                row.map(|row| vec![row])
            }
            many => {
                let queries = many.iter().map(|member| &member.query);
                within_patience(postgres, self.text.batch.read(lease, queries)).await
            }
        };
        match rows {
            Ok(rows) => {
                for (member, row) in members.into_iter().zip(rows) {
                    member.answer.send(Ok(row)).ok();
                }
            }
            // One's values may be to blame: each is asked for itself, and gets its own answer.
            Err(Error::Internal(_)) if members.len() > 1 => {
                for Member { query, answer, .. } in members {
                    if !answer.is_closed() {
                        let attempt = |lease: Lease<Manager>| {
                            within_patience(postgres, lease.fetch_row(&query))
                        };
                        answer.send(postgres.read(attempt).await).ok();
                    }
                }
            }
            // Once more, over another connection.
            Err(error) if error.is_of_connection() => {
                let (again, failed) = members.into_iter().partition(|member| !member.sent);
                answer_all(failed, &error);
                self.put_back(again);
            }
            Err(error) => answer_all(members, &error),
        }
    }

    /// Puts those that still wait for an answer back to where they were. The other lane may have put
    /// back some as well: the queue stays sorted by ticket, because [`Text::leave`] relies on that.
    fn put_back(&self, members: Vec<Member>) {
        let mut queue = locked(&self.text.queue);
        for member in members.into_iter().filter(|member| !member.answer.is_closed()) {
            let at = queue.waiting.partition_point(|other| other.ticket < member.ticket);
            queue.waiting.insert(at, Member { sent: true, ..member });
        }
    }
}

/// Gives up what takes too long; its connection then closes.
async fn within_patience<T>(
    postgres: &Postgres,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(READ_PATIENCE, read).await.unwrap_or_else(|_| Err(postgres.no_answer()))
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = locked(&self.text.queue);
            queue.lanes -= 1;
            // With the runtime: those that wait get no answer any more, and learn that by this.
            if queue.lanes == 0 {
                queue.waiting.clear();
            }
        }
    }
}

/// A read that nobody had to wait for. When it is done or given up, its lane goes on to those who
/// came meanwhile.
struct Lone<'a> {
    lane: Option<Lane>,
    postgres: &'a Postgres,
}

impl Drop for Lone<'_> {
    fn drop(&mut self) {
        if let Some(mut lane) = self.lane.take()
            && lane.goes_on()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(lane.serve(self.postgres.clone()));
        }
    }
}

fn answer_all(members: Vec<Member>, error: &Error) {
    for member in members {
        member.answer.send(Err(error.clone())).ok();
    }
}

/// Nothing panics while it holds one of these locks, so none is ever poisoned.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_stays_sorted_when_both_lanes_put_back() {
        let query = || Query::new("SELECT 1 WHERE 1 = $1").bind(1_i64);
        let text = Arc::new(Text { batch: Batch::of(&query()), queue: Mutex::default() });
        let (mut lanes, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..LANES + 6 {
            match text.clone().enter(query()) {
                Entered::Lane(lane, _) => lanes.push(lane),
                Entered::Queue(member) => waiting.push(member),
            }
        }
        let taken: Vec<_> = lanes.iter().map(|lane| lane.take(2)).collect();
        // The first lane's members were the first, and so are put back before the others.
        for (lane, members) in lanes.iter().zip(taken) {
            lane.put_back(members);
        }
        let tickets: Vec<_> = locked(&text.queue).waiting.iter().map(|m| m.ticket).collect();
        assert_eq!(tickets, [0, 1, 2, 3, 4, 5]);
        assert!(waiting.iter().all(|member| text.leave(member.ticket)), "each can be found");
    }
}
