//! Concurrent reads by [`Db::find`] share PostgreSQL statements, and nothing else.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use clinic_clock::Clock;
use clinic_store::{Backend, Db, Error, Options, Origin, Query, Work};
use clinic_testdb::TestDatabase;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

const TABLE: &str = "CREATE TABLE things (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    nick text,
    n bigint NOT NULL
)";
const FILL: &str = "INSERT INTO things \
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'owner ' || n, CASE WHEN n % 2 = 0 THEN 'even' END, n \
    FROM generate_series(1, $1) AS n";

/// A database with things 1 to 100.
struct Things {
    db: Db,
    /// A second pool, for statements that must not wait for the first.
    other: Db,
    _database: TestDatabase,
}

fn operator() -> Origin {
    Origin::operator(Clock::system().now())
}

async fn things() -> Things {
    let database = TestDatabase::create(Backend::Postgres).await;
    let (db, other) = (database.connect().await, database.connect().await);
    db.untracked().execute(Query::new(TABLE)).await.unwrap();
    db.untracked().execute(Query::new(FILL).bind(100_i64)).await.unwrap();
    Things { db, other, _database: database }
}

/// Puts a relay before the server. Sending a number stops the relay on all connections with a lower
/// number, without closing them.
async fn behind_a_relay(url: &SecretString) -> (SecretString, watch::Sender<usize>) {
    let url = url.expose_secret();
    let (head, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relayed = format!("{head}@{}/{database}", listener.local_addr().unwrap());
    let (vanish, vanished) = watch::channel(0);
    let server = server.to_owned();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&server).await.unwrap();
            let mut vanished = vanished.clone();
            tokio::spawn(async move {
                let stopped = async { vanished.wait_for(|below| number < *below).await.is_ok() };
                let must_stay_open = tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => false,
                    stopped = stopped => stopped,
                };
                if must_stay_open {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (relayed.into(), vanish)
}

/// The time and the text of the statement are the same for all reads that share it.
const BY_OWNER: &str = "SELECT n, statement_timestamp(), current_query() FROM things \
    WHERE id = $1 AND owner = $2";
type Found = (i64, DateTime<Utc>, String);
type Outcome = Result<Option<Found>, Error>;

fn by_owner(id: usize, owner: usize) -> Query {
    let id = Uuid::from_u128(u128::try_from(id).unwrap());
    Query::new(BY_OWNER).bind(id).bind(format!("owner {owner}"))
}

/// Starts all reads. The first two are sent and wait for a lock, and the others wait for them.
/// Calls `meanwhile` before the lock is released.
async fn at_once(
    Things { db, other, .. }: &Things,
    queries: impl IntoIterator<Item = Query>,
    meanwhile: impl FnOnce(&[JoinHandle<Outcome>]),
) -> Vec<JoinHandle<Outcome>> {
    let mut lock = other.work(&operator()).await.unwrap();
    lock.untracked(Query::new("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let ask = |query| {
        let db = db.clone();
        tokio::spawn(async move { db.find(query).await })
    };
    let asked: Vec<_> = queries.into_iter().map(ask).collect();
    let locks = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'things'::regclass";
    while other.fetch_one::<(i64,)>(Query::new(locks)).await.unwrap().0 < 2 {
        tokio::task::yield_now().await;
    }
    meanwhile(&asked);
    lock.save().await.unwrap();
    asked
}

async fn outcomes(asked: Vec<JoinHandle<Outcome>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for asked in asked {
        outcomes.push(asked.await.unwrap());
    }
    outcomes
}

mod on {
    mod postgres {
        use super::super::*;

        #[tokio::test]
        async fn a_single_read_sends_its_statement_unchanged() {
            let things = things().await;
            let db = &things.db;
            for n in [1, 2] {
                let found: Option<Found> = db.find(by_owner(n, n)).await.unwrap();
                assert_eq!(found.unwrap().2, BY_OWNER);
            }
        }

        #[tokio::test]
        async fn waiting_reads_share_statements_of_at_most_64_reads() {
            let queries = (0..150).map(|at| by_owner(at % 100 + 1, at % 100 + 1));
            let outcomes = outcomes(at_once(&things().await, queries, |_| {}).await).await;
            let mut statements: Vec<(DateTime<Utc>, usize)> = Vec::new();
            for outcome in outcomes {
                let (_, at, _) = outcome.unwrap().unwrap();
                match statements.iter_mut().find(|(known, _)| *known == at) {
                    Some((_, count)) => *count += 1,
                    None => statements.push((at, 1)),
                }
            }
            let mut counts: Vec<usize> = statements.into_iter().map(|(_, count)| count).collect();
            counts.sort_unstable();
            assert_eq!(counts, [1, 1, 20, 64, 64]);
        }

        #[tokio::test]
        async fn each_read_gets_its_own_row() {
            // Each thing is requested by its owner and by two others, in mixed order.
            let pairs: Vec<(usize, usize)> = (0..300)
                .map(|at| at * 89 % 300)
                .map(|at| (at % 100, (at % 100 + at / 100 * 7) % 100))
                .map(|(id, owner)| (id + 1, owner + 1))
                .collect();
            let queries = pairs.iter().map(|(id, owner)| by_owner(*id, *owner));
            let outcomes = outcomes(at_once(&things().await, queries, |_| {}).await).await;
            let mut found = 0;
            for ((id, owner), outcome) in pairs.into_iter().zip(outcomes) {
                let n = outcome.unwrap().map(|(n, ..)| usize::try_from(n).unwrap());
                assert_eq!(n, (id == owner).then_some(id), "thing {id}, requested by {owner}");
                found += usize::from(n.is_some());
            }
            assert_eq!(found, 100);
        }

        #[tokio::test]
        async fn a_refused_read_fails_no_other() {
            let mut queries: Vec<Query> = (1..=20).map(|n| by_owner(n, n)).collect();
            queries.insert(7, Query::new(BY_OWNER).bind(Uuid::nil()).bind("owner\0"));
            let outcomes = outcomes(at_once(&things().await, queries, |_| {}).await).await;
            for (at, outcome) in outcomes.into_iter().enumerate() {
                match at {
                    7 => assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}"),
                    _ => assert!(outcome.unwrap().is_some(), "{at}"),
                }
            }
        }

        #[tokio::test]
        async fn a_cancelled_read_fails_no_other() {
            let queries = (1..=20).map(|n| by_owner(n, n));
            // One that is sent, others that wait, and the last.
            let gone = [0, 2, 7, 19];
            let things = things().await;
            let asked = at_once(&things, queries, |asked| {
                for at in gone {
                    asked[at].abort();
                }
            });
            for (at, asked) in asked.await.into_iter().enumerate() {
                match asked.await {
                    Ok(outcome) => {
                        let n = usize::try_from(outcome.unwrap().unwrap().0).unwrap();
                        assert_eq!(n, at + 1);
                    }
                    Err(error) => assert!(error.is_cancelled() && gone.contains(&at)),
                }
            }
        }

        #[tokio::test]
        async fn a_lost_connection_fails_its_reads_and_later_reads_succeed() {
            let things = things().await;
            let query = |n: i64| {
                Query::new(
                    "SELECT n, statement_timestamp(), \
                     CASE WHEN n = 13 THEN pg_terminate_backend(pg_backend_pid())::text END \
                     FROM things WHERE n = $1",
                )
                .bind(n)
            };
            let outcomes = outcomes(at_once(&things, (1..=20).map(query), |_| {}).await).await;
            for (at, outcome) in outcomes.into_iter().enumerate() {
                match at {
                    // Sent separately before the others. The text is NULL.
                    0 | 1 => assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}"),
                    _ => assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}"),
                }
            }
            let queries = (1..=20).map(|n| by_owner(n, n));
            for outcome in self::outcomes(at_once(&things, queries, |_| {}).await).await {
                assert!(outcome.unwrap().is_some());
            }
        }

        /// Waits for `count` new sessions whose statement waits for a lock, and ends them.
        async fn end_waiting_sessions(other: &mut Work, count: usize, ended: &mut Vec<i64>) {
            let waiting = "SELECT DISTINCT pid::bigint FROM pg_locks \
                WHERE NOT granted AND relation = 'things'::regclass";
            let began = std::time::Instant::now();
            let new = loop {
                assert!(began.elapsed() < Duration::from_secs(20), "no {count} statements wait");
                let found: Vec<(i64,)> = other.fetch_all(Query::new(waiting)).await.unwrap();
                let new: Vec<_> = found.into_iter().filter(|(pid,)| !ended.contains(pid)).collect();
                if new.len() == count {
                    break new;
                }
                tokio::task::yield_now().await;
            };
            for (pid,) in new {
                let end = Query::new("SELECT pg_terminate_backend($1::int)").bind(pid);
                assert!(other.fetch_optional::<(bool,)>(end).await.unwrap().unwrap().0);
                ended.push(pid);
            }
        }

        #[tokio::test]
        async fn a_batch_is_sent_once_more_after_its_connection_broke() {
            let things = things().await;
            let (db, other) = (&things.db, &things.other);
            let mut lock = other.work(&operator()).await.unwrap();
            lock.untracked(Query::new("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")).await.unwrap();
            let asked: Vec<_> = (1..=20)
                .map(|n| {
                    let db = db.clone();
                    tokio::spawn(async move { db.find::<Found>(by_owner(n, n)).await })
                })
                .collect();
            // The two single reads, their retries, and then the batch of the reads that waited.
            let mut ended = Vec::new();
            end_waiting_sessions(&mut lock, 2, &mut ended).await;
            end_waiting_sessions(&mut lock, 2, &mut ended).await;
            let mut asked = asked.into_iter();
            for single in asked.by_ref().take(2) {
                assert!(matches!(single.await.unwrap(), Err(Error::Unavailable(_))));
            }
            end_waiting_sessions(&mut lock, 1, &mut ended).await;
            lock.save().await.unwrap();
            for (found, n) in asked.zip(3..) {
                assert_eq!(found.await.unwrap().unwrap().unwrap().0, n);
            }
        }

        #[tokio::test]
        async fn a_single_read_is_sent_once_more_after_its_connection_broke() {
            let things = things().await;
            let (db, other) = (&things.db, &things.other);
            let mut lock = other.work(&operator()).await.unwrap();
            lock.untracked(Query::new("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")).await.unwrap();
            let (one, two, three) = (db.clone(), db.clone(), db.clone());
            let asked = [
                tokio::spawn(async move { one.find::<Found>(by_owner(1, 1)).await }),
                tokio::spawn(async move { two.fetch_optional::<Found>(by_owner(1, 1)).await }),
                tokio::spawn(async move {
                    Ok(three.fetch_all::<Found>(by_owner(1, 1)).await?.into_iter().next())
                }),
            ];
            end_waiting_sessions(&mut lock, 3, &mut Vec::new()).await;
            lock.save().await.unwrap();
            for found in asked {
                assert_eq!(found.await.unwrap().unwrap().unwrap().0, 1);
            }
        }

        #[tokio::test]
        async fn a_server_that_vanished_holds_no_lane() {
            let database = TestDatabase::create(Backend::Postgres).await;
            let (url, vanish) = behind_a_relay(&database.url).await;
            let db = Db::connect(&Options::new(url)).await.unwrap();
            db.untracked().execute(Query::new(TABLE)).await.unwrap();
            db.untracked().execute(Query::new(FILL).bind(2_i64)).await.unwrap();
            assert!(db.find::<Found>(by_owner(1, 1)).await.unwrap().is_some());
            vanish.send_modify(|below| *below = usize::MAX);
            let lost = tokio::spawn({
                let db = db.clone();
                async move { db.find::<Found>(by_owner(1, 1)).await }
            });
            let lost = timeout(Duration::from_secs(60), lost).await.expect("no answer at all");
            assert!(matches!(lost.unwrap(), Err(Error::Unavailable(_))));
            // The server is back, but only for new connections.
            vanish.send_modify(|below| *below = 0);
            assert!(db.find::<Found>(by_owner(2, 2)).await.unwrap().is_some());
        }

        #[tokio::test]
        async fn a_read_that_waits_too_long_is_busy() {
            let things = things().await;
            let (db, other) = (&things.db, &things.other);
            let mut lock = other.work(&operator()).await.unwrap();
            lock.untracked(Query::new("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")).await.unwrap();
            let find = |n| {
                let db = db.clone();
                tokio::spawn(async move { db.find::<Found>(by_owner(n, n)).await })
            };
            let [first, second, third] = [1, 2, 3].map(find);
            assert!(matches!(third.await.unwrap(), Err(Error::Busy)));
            lock.save().await.unwrap();
            for found in [first, second] {
                assert!(found.await.unwrap().unwrap().is_some());
            }
            assert!(db.find::<Found>(by_owner(3, 3)).await.unwrap().is_some());
        }

        #[tokio::test]
        async fn values_of_every_type_and_null_arrive_unchanged() {
            let things = things().await;
            let db = &things.db;
            type Values = (
                Option<Uuid>,
                Option<String>,
                Option<bool>,
                Option<i64>,
                Option<DateTime<Utc>>,
                Option<NaiveDate>,
                Option<Vec<u8>>,
            );
            let find = |at: usize| {
                let db = db.clone();
                let time = DateTime::from_timestamp_micros(1_700_000_000_123_456);
                let values: Values = match at % 3 {
                    0 => (None, None, None, None, None, None, None),
                    _ => (
                        Some(Uuid::from_u128(u128::try_from(at).unwrap())),
                        Some(format!("{at} ü \"{{}}',\\ NULL")),
                        Some(at.is_multiple_of(2)),
                        i64::try_from(at).ok(),
                        time,
                        NaiveDate::from_ymd_opt(1980, 2, 29),
                        Some(vec![0, 255, u8::try_from(at).unwrap()]),
                    ),
                };
                tokio::spawn(async move {
                    let (uuid, text, bool, int, time, date, bytes) = values.clone();
                    let query = Query::new("SELECT $1, $2, $3, $4, $5, $6, $7")
                        .bind(uuid)
                        .bind(text)
                        .bind(bool)
                        .bind(int)
                        .bind(time)
                        .bind(date)
                        .bind(bytes);
                    assert_eq!(db.find::<Values>(query).await.unwrap(), Some(values));
                })
            };
            let found: Vec<_> = (0..50).map(find).collect();
            for found in found {
                found.await.unwrap();
            }
        }

        #[tokio::test]
        async fn reads_that_share_a_statement_may_decode_into_different_types() {
            #[derive(sqlx::FromRow)]
            struct Thing {
                n: i64,
                owner: String,
            }
            let things = things().await;
            let db = &things.db;
            let query = |n: i64| Query::new("SELECT owner, n FROM things WHERE n = $1").bind(n);
            let find = |n: i64| {
                let db = db.clone();
                tokio::spawn(async move {
                    let owner = format!("owner {n}");
                    match n % 3 {
                        0 => {
                            let thing: Thing = db.find(query(n)).await.unwrap().unwrap();
                            assert_eq!((thing.n, thing.owner), (n, owner));
                        }
                        1 => {
                            let thing: (String, i64) = db.find(query(n)).await.unwrap().unwrap();
                            assert_eq!(thing, (owner, n));
                        }
                        _ => {
                            // A type that does not match fails only this read.
                            let wrong = db.find::<(Uuid,)>(query(n)).await;
                            assert!(matches!(wrong, Err(Error::Internal(_))), "{wrong:?}");
                        }
                    }
                })
            };
            let found: Vec<_> = (1..=60).map(find).collect();
            for found in found {
                found.await.unwrap();
            }
        }

        #[tokio::test]
        async fn a_read_sees_what_was_committed_before_it() {
            let things = things().await;
            let (db, other) = (&things.db, &things.other);
            for round in 1..=20_i64 {
                let write = Query::new("UPDATE things SET nick = $1").bind(format!("{round}"));
                other.untracked().execute(write).await.unwrap();
                let find = |n: i64| {
                    let db = db.clone();
                    let query = Query::new("SELECT nick FROM things WHERE n = $1").bind(n);
                    tokio::spawn(async move { db.find::<(String,)>(query).await })
                };
                let found: Vec<_> = (1..=10).map(find).collect();
                for found in found {
                    assert_eq!(found.await.unwrap().unwrap(), Some((format!("{round}"),)));
                }
            }
        }

        #[tokio::test]
        async fn a_batch_uses_the_same_index_as_a_single_read() {
            let database = TestDatabase::create(Backend::Postgres).await;
            let db = database.connect().await;
            db.untracked().execute(Query::new(TABLE)).await.unwrap();
            db.untracked().execute(Query::new(FILL).bind(20_000_i64)).await.unwrap();
            db.untracked().execute(Query::new("ANALYZE")).await.unwrap();
            let find = |n: usize| {
                let db = db.clone();
                tokio::spawn(async move { db.find::<Found>(by_owner(n, n)).await })
            };
            let scans = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables";
            // A session reports its counters when it ends.
            let count = async |db: Db| {
                db.close().await;
                let db = database.connect().await;
                let others = "SELECT COUNT(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
                while db.fetch_one::<(i64,)>(Query::new(others)).await.unwrap().0 > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                db.fetch_one::<(i64, i64)>(Query::new(scans)).await.unwrap()
            };
            // More than the five executions that PostgreSQL plans separately.
            for _ in 0..20 {
                let found: Vec<_> = (1..=200).map(find).collect();
                for found in found {
                    assert!(found.await.unwrap().unwrap().is_some());
                }
            }
            let (all, some) = count(db.clone()).await;
            assert!(all <= 2 && some == 4_000, "{all} scans of the table, {some} of the index");
        }
    }
}
