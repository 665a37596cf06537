//! Writes and their journal entries.

use clinic_clock::Clock;
use clinic_store::{ChangeKind, Db, Error, Journal, Origin, Query, Write, idempotency};
use uuid::Uuid;

use crate::{Scratch, count, create, insert, live, make, request};

/// Writes an entry for each change of a record.
struct Entries;

impl Journal for Entries {
    fn entry(&self, record: &'static str, kind: ChangeKind, origin: &Origin) -> Query {
        let change = match kind {
            ChangeKind::Create => "create",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
            ChangeKind::Undelete => "undelete",
        };
        let query = "INSERT INTO entries (record, change, id, version, actor, method, at) \
                     SELECT $1, $2, id, version, $3, $4, $5 FROM written";
        Query::new(query)
            .bind(record)
            .bind(change)
            .bind(origin.actor)
            .bind(origin.method.to_string())
            .bind(origin.at)
    }
}

/// Counts the changes of all records.
struct Count;

impl Journal for Count {
    fn entry(&self, _: &'static str, _: ChangeKind, _: &Origin) -> Query {
        Query::new("INSERT INTO counts (id, version) SELECT id, version FROM written")
    }
}

async fn journaled(scratch: &Scratch) -> Db {
    scratch.db().await.with_journal(Entries).with_journal(Count)
}

fn origin() -> Origin {
    let method = "/clinic.things.v1.ThingService/Change".into();
    Origin { actor: Uuid::from_u128(9), method, at: Clock::system().now() }
}

fn rename(id: u128, name: &'static str, kind: ChangeKind) -> Write {
    let query = Query::new(
        "UPDATE things SET name = $2, version = version + 1 WHERE id = $1 AND name <> $2",
    );
    Write::new("thing", kind, query.bind(Uuid::from_u128(id)).bind(name), "id, version")
}

/// Returns the entries: the change, the record's id, and its version.
async fn entries(db: &Db) -> Vec<(String, Uuid, i64)> {
    let query = "SELECT change, id, version FROM entries \
                 WHERE record = 'thing' AND method LIKE '/clinic.%' ORDER BY version, id";
    db.fetch_all(Query::new(query)).await.unwrap()
}

fn entry(change: &str, id: u128, version: i64) -> (String, Uuid, i64) {
    (change.to_owned(), Uuid::from_u128(id), version)
}

pub(crate) async fn every_change_leaves_an_entry(scratch: &Scratch) {
    let db = journaled(scratch).await;
    let made: Option<(Uuid, i64)> = db.save(&origin(), make(1)).await.unwrap();
    assert_eq!(made, Some((Uuid::from_u128(1), 1)));
    let renamed: Option<(Uuid, i64)> =
        db.save(&origin(), rename(1, "b", ChangeKind::Update)).await.unwrap();
    assert_eq!(renamed, Some((Uuid::from_u128(1), 2)));
    db.save::<(Uuid, i64)>(&origin(), rename(1, "c", ChangeKind::Delete)).await.unwrap();
    let all = [entry("create", 1, 1), entry("update", 1, 2), entry("delete", 1, 3)];
    assert_eq!(entries(&db).await, all);
    let counts = db.fetch_one::<(i64,)>(Query::new("SELECT COUNT(*) FROM counts")).await;
    assert_eq!(counts.unwrap(), (3,));
    let origin = origin();
    let query = Query::new("SELECT COUNT(*) FROM entries WHERE actor = $1 AND method = $2")
        .bind(origin.actor)
        .bind(origin.method.to_string());
    assert_eq!(db.fetch_one::<(i64,)>(query).await.unwrap(), (3,));
}

pub(crate) async fn a_write_that_touches_no_row_leaves_no_entry(scratch: &Scratch) {
    let db = journaled(scratch).await;
    db.save::<(Uuid, i64)>(&origin(), make(1)).await.unwrap();
    for (id, name) in [(1, "a"), (2, "b")] {
        let nothing: Option<(Uuid, i64)> =
            db.save(&origin(), rename(id, name, ChangeKind::Update)).await.unwrap();
        assert_eq!(nothing, None);
    }
    assert_eq!(entries(&db).await, [entry("create", 1, 1)]);
}

pub(crate) async fn a_write_whose_entry_fails_is_rolled_back(scratch: &Scratch) {
    let db = journaled(scratch).await;
    let taken = "INSERT INTO entries VALUES ('x', 'x', $1, 1, $1, 'x', $2)";
    let taken = Query::new(taken).bind(Uuid::from_u128(1)).bind(origin().at);
    db.untracked().execute(taken).await.unwrap();
    let made = db.save::<(Uuid, i64)>(&origin(), make(1)).await;
    let error = made.unwrap_err();
    assert!(error.is_unique("entries_id_version_key"), "{error:?}");
    let reused = create(&db, &request(9, 1, b"a"), 1).await;
    assert!(reused.is_err());
    let requests = Query::new("SELECT COUNT(*) FROM requests");
    assert_eq!(db.fetch_one::<(i64,)>(requests).await.unwrap(), (0,));
    assert_eq!(count(&db).await, 0);
}

pub(crate) async fn a_write_of_several_records_leaves_an_entry_for_each(scratch: &Scratch) {
    let db = journaled(scratch).await;
    for id in 1..=3 {
        db.save::<(Uuid, i64)>(&origin(), make(id)).await.unwrap();
    }
    let query = Query::new("UPDATE things SET version = version + 1 WHERE n <= $1").bind(2_i64);
    let write = Write::new("thing", ChangeKind::Update, query, "id, version");
    let written: Vec<(Uuid, i64)> = db.save_all(&origin(), write).await.unwrap();
    assert_eq!(written.len(), 2);
    let updates = entries(&db).await.split_off(3);
    assert_eq!(updates, [entry("update", 1, 2), entry("update", 2, 2)]);
}

pub(crate) async fn work_commits_all_writes_and_entries_or_none(scratch: &Scratch) {
    let db = journaled(scratch).await;
    let mut work = db.work(&origin()).await.unwrap();
    work.write::<(Uuid, i64)>(make(1)).await.unwrap();
    work.write::<(Uuid, i64)>(rename(1, "b", ChangeKind::Update)).await.unwrap();
    drop(work);
    assert_eq!((count(&db).await, entries(&db).await.len()), (0, 0));
    let mut work = db.work(&origin()).await.unwrap();
    work.write::<(Uuid, i64)>(make(1)).await.unwrap();
    let renamed: Option<(Uuid, i64)> =
        work.write(rename(1, "b", ChangeKind::Update)).await.unwrap();
    assert_eq!(renamed, Some((Uuid::from_u128(1), 2)));
    work.save().await.unwrap();
    assert_eq!(entries(&db).await, [entry("create", 1, 1), entry("update", 1, 2)]);
}

pub(crate) async fn a_replayed_create_leaves_one_entry(scratch: &Scratch) {
    let db = journaled(scratch).await;
    for _ in 0..2 {
        let request = request(9, 1, b"a");
        let made: (Uuid, i64) =
            idempotency::create(&db, &origin(), Some(&request), make(1), live).await.unwrap();
        assert_eq!(made, (Uuid::from_u128(1), 1));
    }
    assert_eq!(entries(&db).await, [entry("create", 1, 1)]);
}

pub(crate) async fn reads_refuse_statements_that_write(scratch: &Scratch) {
    let db = journaled(scratch).await;
    db.untracked().execute(insert(1, "a", None, 0)).await.unwrap();
    for text in [
        "DELETE FROM things RETURNING id",
        "UPDATE things SET n = 1 RETURNING id",
        "EXPLAIN ANALYZE DELETE FROM things",
        "WITH gone AS (DELETE FROM things RETURNING id) SELECT id FROM gone",
    ] {
        let refused = db.fetch_optional::<(Uuid,)>(Query::new(text)).await;
        assert!(matches!(refused, Err(Error::Internal(_))), "{text}");
        let refused = db.fetch_all::<(Uuid,)>(Query::new(text)).await;
        assert!(matches!(refused, Err(Error::Internal(_))), "{text}");
        let refused = db.find::<(Uuid,)>(Query::new(text)).await;
        assert!(matches!(refused, Err(Error::Internal(_))), "{text}");
        let mut work = db.work(&origin()).await.unwrap();
        let refused = work.fetch_optional::<(Uuid,)>(Query::new(text)).await;
        assert!(matches!(refused, Err(Error::Internal(_))), "{text}");
    }
    assert_eq!(count(&db).await, 1);
}

pub(crate) async fn work_that_has_failed_cannot_be_saved(scratch: &Scratch) {
    let db = journaled(scratch).await;
    let mut work = db.work(&origin()).await.unwrap();
    work.write::<(Uuid, i64)>(make(1)).await.unwrap();
    let taken = work.write::<(Uuid, i64)>(make(1)).await.unwrap_err();
    assert!(matches!(taken, Error::Unique { .. }), "{taken:?}");
    assert!(work.write::<(Uuid, i64)>(make(2)).await.is_err());
    work.save().await.unwrap_err();
    assert_eq!((count(&db).await, entries(&db).await.len()), (0, 0));
}

pub(crate) async fn concurrent_writes_have_separate_outcomes(scratch: &Scratch) {
    let db = journaled(scratch).await;
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let db = db.clone();
            // Three writes per id: one succeeds, the others fail.
            tokio::spawn(async move { db.save::<(Uuid, i64)>(&origin(), make(1 + n % 20)).await })
        })
        .collect();
    let (mut made, mut taken) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(Error::Unique { .. }) => taken += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((made, taken), (20, 40));
    assert_eq!((count(&db).await, entries(&db).await.len()), (20, 20));
}
