//! Behaviour that is the same on both databases. Every test runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod writes;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clinic_clock::Clock;
use clinic_store::idempotency::{self, CreateError, Request};
use clinic_store::page::{Cursor, InvalidPageToken, Tokens};
use clinic_store::{
    Backend, ConnectError, Db, Error, Insert, Options, Origin, Query, SchemaError, check_schema,
    migrate,
};
use clinic_testdb::{Fixture, TestDatabase, on_both};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use uuid::Uuid;
use writes::*;

const SCHEMA: &str = "
CREATE TABLE things (
    id uuid PRIMARY KEY,
    version bigint NOT NULL DEFAULT 1,
    name text NOT NULL,
    nick text,
    email_key text,
    good boolean NOT NULL,
    n bigint NOT NULL,
    day date,
    at timestamptz NOT NULL,
    blob bytea,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX things_email_key_key ON things (email_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX things_name_n_key ON things (name, n);
CREATE TABLE requests (
    caller uuid NOT NULL,
    method text NOT NULL,
    request_id uuid NOT NULL,
    payload_hash bytea NOT NULL,
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);
CREATE TABLE page_keys (
    id bigint PRIMARY KEY,
    key bytea NOT NULL
);
CREATE TABLE entries (
    record text NOT NULL,
    change text NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    actor uuid NOT NULL,
    method text NOT NULL,
    at timestamptz NOT NULL
);
CREATE TABLE counts (id uuid NOT NULL, version bigint NOT NULL);
CREATE UNIQUE INDEX entries_id_version_key ON entries (id, version);
CREATE TABLE heartbeat (
    id bigint PRIMARY KEY,
    beats bigint NOT NULL
);
INSERT INTO heartbeat (id, beats) VALUES (1, 0);";

fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    let kind = MigrationType::Simple;
    Migration::new(version, description.into(), kind, sql.into_sql_str(), false)
}

fn schema() -> Migrator {
    Migrator::with_migrations(vec![migration(1, "things", SCHEMA)])
}

/// A new database.
struct Scratch(TestDatabase);

impl Fixture for Scratch {
    async fn set_up(backend: Backend) -> Self {
        Self(TestDatabase::create(backend).await)
    }
}

impl Scratch {
    async fn empty(&self) -> Db {
        self.0.connect().await
    }

    /// Opens the database with the tables of [`SCHEMA`].
    async fn db(&self) -> Db {
        let db = self.empty().await;
        migrate(&db, &schema()).await.unwrap();
        db
    }
}

on_both! {
    values_of_every_type_are_read_back_unchanged
    both_databases_order_rows_alike
    times_compare_chronologically
    a_unique_violation_names_its_index
    dropped_work_is_rolled_back
    the_next_read_sees_a_write
    errors_do_not_contain_written_values
    concurrent_creates_with_one_request_id_make_one_row
    a_request_id_is_new_replayed_or_reused
    a_replay_after_a_delete_is_gone
    all_processes_of_a_service_accept_its_page_tokens
    concurrent_migrations_succeed
    an_older_newer_or_edited_schema_is_refused
    a_failed_migration_leaves_nothing_behind
    a_migration_may_apply_to_one_database_only
    a_check_writes_only_without_recent_writes
    a_closed_database_is_unavailable
    every_change_leaves_an_entry
    a_write_that_touches_no_row_leaves_no_entry
    a_write_whose_entry_fails_is_rolled_back
    a_write_of_several_records_leaves_an_entry_for_each
    work_commits_all_writes_and_entries_or_none
    a_replayed_create_leaves_one_entry
    reads_refuse_statements_that_write
    work_that_has_failed_cannot_be_saved
    concurrent_writes_have_separate_outcomes
}

const INSERT: &str = "INSERT INTO things (id, name, nick, email_key, good, n, day, at, blob) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

fn insert(id: u128, name: &'static str, email: Option<&'static str>, n: i64) -> Query {
    Query::new(INSERT)
        .bind(Uuid::from_u128(id))
        .bind(name)
        .bind(None::<String>)
        .bind(email)
        .bind(true)
        .bind(n)
        .bind(None::<NaiveDate>)
        .bind(Clock::system().now())
        .bind(None::<Vec<u8>>)
}

fn operator() -> Origin {
    Origin::operator(Clock::system().now())
}

async fn count(db: &Db) -> i64 {
    db.fetch_one::<(i64,)>(Query::new("SELECT COUNT(*) FROM things")).await.unwrap().0
}

#[derive(sqlx::FromRow)]
struct Thing {
    id: Uuid,
    name: String,
    nick: Option<String>,
    good: bool,
    n: i64,
    day: Option<NaiveDate>,
    at: DateTime<Utc>,
    blob: Option<Vec<u8>>,
}

async fn values_of_every_type_are_read_back_unchanged(scratch: &Scratch) {
    let db = scratch.db().await;
    db.check().await.unwrap();
    let (id, now) = (Clock::system().new_id(), Clock::system().now());
    let day = NaiveDate::from_ymd_opt(1980, 2, 29);
    let mut things: Vec<Thing> = db
        .untracked()
        .fetch_all(
            Query::new(
                "INSERT INTO things (id, name, nick, email_key, good, n, day, at, blob) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
            )
            .bind(id)
            .bind(String::from("BP <120 ü"))
            .bind(Some("nick"))
            .bind(None::<String>)
            .bind(false)
            .bind(i64::MAX)
            .bind(day)
            .bind(now)
            .bind(Some(vec![0_u8, 255])),
        )
        .await
        .unwrap();
    let query = Query::new("SELECT * FROM things WHERE id = $1").bind(id);
    things.push(db.fetch_one(query).await.unwrap());
    assert_eq!(things.len(), 2);
    for thing in things {
        assert_eq!((thing.id, thing.name.as_str(), thing.good), (id, "BP <120 ü", false));
        assert_eq!((thing.nick.as_deref(), thing.n), (Some("nick"), i64::MAX));
        assert_eq!((thing.day, thing.at, thing.blob), (day, now, Some(vec![0, 255])));
    }
    let tuple: (Uuid, Option<DateTime<Utc>>, Option<Vec<u8>>) =
        db.fetch_one(Query::new("SELECT id, deleted_at, blob FROM things")).await.unwrap();
    assert_eq!(tuple, (id, None, Some(vec![0, 255])));
}

async fn both_databases_order_rows_alike(scratch: &Scratch) {
    let db = scratch.db().await;
    for (id, name) in [(3, "c"), (0xff << 120, "z"), (1, "a"), (2, "b")] {
        db.untracked().execute(insert(id, name, None, 0)).await.unwrap();
    }
    let mut query = Query::new("SELECT name FROM things WHERE (n, id) > (");
    query.push_bind(0_i64).push(", ").push_bind(Uuid::from_u128(1)).push(") AND id IN ");
    query.push_list([1, 2, 3, 0xff << 120].map(Uuid::from_u128)).push(" ORDER BY n, id LIMIT ");
    query.push_bind(2_i64);
    let names: Vec<(String,)> = db.fetch_all(query).await.unwrap();
    assert_eq!(names, [("b".to_owned(),), ("c".to_owned(),)]);
}

async fn times_compare_chronologically(scratch: &Scratch) {
    let db = scratch.db().await;
    let whole: DateTime<Utc> = "2026-01-02T03:04:05Z".parse().unwrap();
    for (id, micros) in [(1, 0), (2, 1), (3, 1_000), (4, 500_000), (5, 1_000_000)] {
        db.untracked().execute(insert(id, "x", None, micros)).await.unwrap();
        let at = whole + TimeDelta::microseconds(micros);
        let update = Query::new("UPDATE things SET at = $1 WHERE id = $2");
        db.untracked().execute(update.bind(at).bind(Uuid::from_u128(id))).await.unwrap();
    }
    let before = Query::new("SELECT n FROM things WHERE at < $1 ORDER BY at DESC");
    let before: Vec<(i64,)> =
        db.fetch_all(before.bind(whole + TimeDelta::milliseconds(500))).await.unwrap();
    assert_eq!(before, [(1_000,), (1,), (0,)]);
    let same = Query::new("SELECT n FROM things WHERE at = $1").bind(whole);
    assert_eq!(db.fetch_all::<(i64,)>(same).await.unwrap(), [(0,)]);
}

async fn a_unique_violation_names_its_index(scratch: &Scratch) {
    let db = scratch.db().await;
    db.untracked().execute(insert(1, "a", Some("e"), 0)).await.unwrap();
    let taken = db.untracked().execute(insert(2, "b", Some("e"), 0)).await.unwrap_err();
    assert!(taken.is_unique("things_email_key_key"), "{taken:?}");
    let taken = db.untracked().execute(insert(2, "a", None, 0)).await.unwrap_err();
    assert!(taken.is_unique("things_name_n_key"), "{taken:?}");

    let delete = Query::new("UPDATE things SET deleted_at = $1").bind(Clock::system().now());
    assert_eq!(db.untracked().execute(delete).await.unwrap(), 1);
    db.untracked().execute(insert(2, "b", Some("e"), 0)).await.unwrap();
}

async fn dropped_work_is_rolled_back(scratch: &Scratch) {
    let db = scratch.db().await;
    let mut work = db.work(&operator()).await.unwrap();
    assert_eq!(work.untracked(insert(1, "a", None, 0)).await.unwrap(), 1);
    drop(work);
    assert_eq!(count(&db).await, 0);
    let mut work = db.work(&operator()).await.unwrap();
    work.untracked(insert(1, "a", None, 0)).await.unwrap();
    let query = Query::new("SELECT COUNT(*) FROM things");
    let inside: Option<(i64,)> = work.fetch_optional(query).await.unwrap();
    assert_eq!((inside, count(&db).await), (Some((1,)), 0));
    work.save().await.unwrap();
    assert_eq!(count(&db).await, 1);
}

async fn the_next_read_sees_a_write(scratch: &Scratch) {
    let db = scratch.db().await;
    for n in 0..50 {
        let mut query = insert(u128::try_from(n).unwrap() + 1, "a", None, n);
        query.push(" RETURNING n");
        assert_eq!(db.untracked().fetch_all::<(i64,)>(query).await.unwrap(), [(n,)]);
        assert_eq!(count(&db).await, n + 1);
    }
    let nothing = Query::new("DELETE FROM things WHERE n = $1 RETURNING n").bind(-1_i64);
    assert_eq!(db.untracked().fetch_all::<(i64,)>(nothing).await.unwrap(), []);
}

async fn errors_do_not_contain_written_values(scratch: &Scratch) {
    let db = scratch.db().await;
    let mut query = insert(1, "secret name", None, 0);
    query.push(", ($1, $2, NULL, NULL, TRUE, NULL, NULL, $8, NULL)");
    let error = db.untracked().execute(query).await.unwrap_err();
    assert!(matches!(error, Error::Internal(_)), "{error:?}");
    let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
    assert!(!shown.contains("secret"), "{shown}");
    let error = db.untracked().execute(Query::new("SELECT nonsense")).await.unwrap_err();
    assert_eq!(error.to_string(), "the database refused a statement");
}

fn request(caller: u128, request_id: u128, payload: &[u8]) -> Request {
    let request_id = Uuid::from_u128(request_id).to_string();
    Request::of(Uuid::from_u128(caller), "CreateThing", &request_id, payload).unwrap()
}

fn live(id: Uuid) -> Query {
    Query::new("SELECT id, version FROM things WHERE deleted_at IS NULL AND id = $1").bind(id)
}

fn make(id: u128) -> Insert {
    let (uuid, now) = (Uuid::from_u128(id), Clock::system().now());
    let values = vec![
        ("id", uuid.into()),
        ("version", 1_i64.into()),
        ("name", "a".into()),
        ("good", true.into()),
        ("n", i64::try_from(id).unwrap().into()),
        ("at", now.into()),
    ];
    let returning = Query::new("id, version");
    Insert { record: "thing", table: "things", id: uuid, values, returning }
}

async fn create(db: &Db, request: &Request, id: u128) -> Result<u128, CreateError> {
    let (id, _): (Uuid, i64) =
        idempotency::create(db, &operator(), Some(request), make(id), live).await?;
    Ok(id.as_u128())
}

async fn concurrent_creates_with_one_request_id_make_one_row(scratch: &Scratch) {
    let db = scratch.db().await;
    let tasks: Vec<_> = (1..=10)
        .map(|id| {
            let db = db.clone();
            tokio::spawn(async move { create(&db, &request(9, 1, b"a"), id).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    made.dedup();
    assert_eq!((made.len(), count(&db).await), (1, 1));
}

async fn a_request_id_is_new_replayed_or_reused(scratch: &Scratch) {
    let db = scratch.db().await;
    let first = request(9, 1, b"a");
    assert!(matches!(first.find::<(Uuid, i64)>(&db, live).await, Ok(None)));
    assert_eq!(create(&db, &first, 5).await.unwrap(), 5);
    assert_eq!(create(&db, &first, 6).await.unwrap(), 5);
    let found = first.find::<(Uuid, i64)>(&db, live).await.unwrap();
    assert_eq!(found, Some((Uuid::from_u128(5), 1)));
    let reused = request(9, 1, b"b");
    assert!(matches!(create(&db, &reused, 6).await, Err(CreateError::Reused)));
    let found = reused.find::<(Uuid, i64)>(&db, live).await;
    assert!(matches!(found, Err(CreateError::Reused)));
    // Another id, and the same id of another caller.
    assert_eq!(create(&db, &request(9, 2, b"b"), 6).await.unwrap(), 6);
    assert_eq!(create(&db, &request(8, 1, b"b"), 7).await.unwrap(), 7);
    let now = Clock::system().now();
    assert_eq!(idempotency::delete_before(&db, now - TimeDelta::hours(1)).await.unwrap(), 0);
    assert_eq!(idempotency::delete_before(&db, now + TimeDelta::hours(1)).await.unwrap(), 3);
}

async fn a_replay_after_a_delete_is_gone(scratch: &Scratch) {
    let db = scratch.db().await;
    let first = request(9, 1, b"a");
    create(&db, &first, 5).await.unwrap();
    let now = Clock::system().now();
    let delete = Query::new("UPDATE things SET deleted_at = $1").bind(now);
    assert_eq!(db.untracked().execute(delete).await.unwrap(), 1);
    assert!(matches!(create(&db, &first, 6).await, Err(CreateError::Gone)));
    assert!(matches!(first.find::<(Uuid, i64)>(&db, live).await, Err(CreateError::Gone)));
    assert_eq!(count(&db).await, 1);
}

async fn all_processes_of_a_service_accept_its_page_tokens(scratch: &Scratch) {
    let db = scratch.db().await;
    // Including those that start first at the same time, and those that start later.
    let open = || Tokens::open(&db);
    let (one, two, three) = tokio::join!(open(), open(), open());
    let all = [one, two, three, open().await].map(Result::unwrap);
    let cursor = Cursor { branch: 2, id: Uuid::from_u128(7), key: b"smith".to_vec() };
    for made_by in &all {
        let token = made_by.token(Some(&cursor), b"list").unwrap();
        for read_by in &all {
            assert_eq!(read_by.after(&token, b"list"), Ok(Some(cursor.clone())));
        }
    }
    let token = all[0].token(Some(&cursor), b"list").unwrap();
    db.untracked().execute(Query::new("DELETE FROM page_keys")).await.unwrap();
    assert_eq!(open().await.unwrap().after(&token, b"list"), Err(InvalidPageToken));
}

async fn concurrent_migrations_succeed(scratch: &Scratch) {
    let (one, two) = (scratch.empty().await, scratch.empty().await);
    assert!(matches!(check_schema(&one, &schema()).await, Err(SchemaError::Older)));
    let (schema_one, schema_two) = (schema(), schema());
    let (first, second) = tokio::join!(migrate(&one, &schema_one), migrate(&two, &schema_two));
    first.unwrap();
    second.unwrap();
    check_schema(&one, &schema()).await.unwrap();
}

async fn an_older_newer_or_edited_schema_is_refused(scratch: &Scratch) {
    let db = scratch.db().await;
    let newer = Migrator::with_migrations(vec![
        migration(1, "things", SCHEMA),
        migration(2, "more", "CREATE TABLE more (id uuid PRIMARY KEY)"),
    ]);
    assert!(matches!(check_schema(&db, &newer).await, Err(SchemaError::Older)));
    migrate(&db, &newer).await.unwrap();
    check_schema(&db, &newer).await.unwrap();
    assert!(matches!(check_schema(&db, &schema()).await, Err(SchemaError::Newer)));
    assert!(matches!(migrate(&db, &schema()).await, Err(SchemaError::Newer)));
    let edited = Migrator::with_migrations(vec![
        migration(1, "things", "SELECT 1"),
        migration(2, "more", "CREATE TABLE more (id uuid PRIMARY KEY)"),
    ]);
    assert!(matches!(check_schema(&db, &edited).await, Err(SchemaError::Changed(1))));
    assert!(matches!(migrate(&db, &edited).await, Err(SchemaError::Changed(1))));
    migrate(&db, &newer).await.unwrap();
}

async fn a_failed_migration_leaves_nothing_behind(scratch: &Scratch) {
    let db = scratch.db().await;
    let bad = Migrator::with_migrations(vec![
        migration(1, "things", SCHEMA),
        migration(2, "bad", "CREATE TABLE half (id uuid PRIMARY KEY); SELECT nonsense"),
    ]);
    assert!(matches!(migrate(&db, &bad).await, Err(SchemaError::Failed(_))));
    check_schema(&db, &schema()).await.unwrap();
    assert!(db.fetch_all::<()>(Query::new("SELECT id FROM half")).await.is_err());
}

async fn a_migration_may_apply_to_one_database_only(scratch: &Scratch) {
    let db = scratch.db().await;
    let both = Migrator::with_migrations(vec![
        migration(1, "things", SCHEMA),
        migration(2, "own.postgres", "CREATE TABLE own (p bigint)"),
        migration(2, "own.sqlite", "CREATE TABLE own (s bigint)"),
    ]);
    migrate(&db, &both).await.unwrap();
    check_schema(&db, &both).await.unwrap();
    let own = match db.backend() {
        Backend::Postgres => Query::new("SELECT p FROM own"),
        Backend::Sqlite => Query::new("SELECT s FROM own WHERE \"s\" IS NOT NULL"),
    };
    assert!(db.fetch_all::<(i64,)>(own).await.unwrap().is_empty());
}

async fn a_check_writes_only_without_recent_writes(scratch: &Scratch) {
    let db = scratch.db().await;
    let beats = async || db.fetch_one::<(i64,)>(Query::new("SELECT beats FROM heartbeat")).await;
    db.untracked().execute(insert(1, "a", None, 0)).await.unwrap();
    db.check().await.unwrap();
    assert_eq!(beats().await.unwrap().0, 0, "that write is proof enough");
    let db = scratch.db().await;
    for _ in 0..5 {
        db.check().await.unwrap();
    }
    assert_eq!(beats().await.unwrap().0, 1);
}

async fn a_closed_database_is_unavailable(scratch: &Scratch) {
    let db = scratch.db().await;
    db.close().await;
    assert!(matches!(db.check().await, Err(Error::Unavailable(_))));
}

async fn refusal(url: &str) -> String {
    match Db::connect(&Options::new(url)).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn connect_errors_give_the_reason_without_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, vec![b'x'; 4096]).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, own).unwrap();
    let below = file.join("data/auth.db");
    for (url, word) in [
        ("mysql://u:hunter2@host/db".to_owned(), "must be postgres://"),
        ("sqlite::memory:".to_owned(), "must be postgres://"),
        ("postgres://u:hunter2@host:port/db".to_owned(), "cannot be read"),
        ("postgres://u:hunter2@127.0.0.1:1/db".to_owned(), "does not answer at 127.0.0.1:1"),
        (format!("sqlite:{}", below.display()), "cannot be written"),
        (format!("sqlite:{}", file.display()), "is not an SQLite database, or is damaged"),
    ] {
        let shown = refusal(&url).await;
        assert!(shown.contains(word) && !shown.contains("hunter2"), "{shown}");
    }
}

mod only_on {
    mod postgres {
        use std::time::Duration;

        use clinic_store::{Query, create_database_if_missing, database_url, migrate};
        use clinic_testdb::{Fixture as _, drop_databases, postgres_server, unique_name};
        use secrecy::ExposeSecret as _;
        use sqlx::migrate::Migrator;

        use crate::operator;
        use crate::{
            Backend, ConnectError, Db, Error, Options, Scratch, count, insert, migration, schema,
        };

        async fn setting(db: &Db, show: &'static str) -> String {
            let found = db.untracked().fetch_all::<(String,)>(Query::new(show)).await.unwrap();
            found.into_iter().next().unwrap().0
        }

        /// Returns a URL whose sessions have a setting, as `name=value`.
        fn with_setting(url: &str, setting: &str) -> String {
            let (name, value) = setting.split_once('=').unwrap();
            let with = if url.contains('?') { '&' } else { '?' };
            format!("{url}{with}options[{name}]={value}")
        }

        #[tokio::test]
        async fn sessions_have_timeouts_and_migrations_have_none() {
            let scratch = Scratch::set_up(Backend::Postgres).await;
            let db = scratch.db().await;
            assert_eq!(setting(&db, "SHOW statement_timeout").await, "1min");
            assert_eq!(setting(&db, "SHOW idle_in_transaction_session_timeout").await, "1min");
            let note = "INSERT INTO things (id, name, good, n, at) \
                 SELECT gen_random_uuid(), current_setting('statement_timeout'), TRUE, 1, now()";
            let two = vec![schema().migrations[0].clone(), migration(2, "note", note)];
            migrate(&db, &Migrator::with_migrations(two)).await.unwrap();
            assert_eq!(setting(&db, "SELECT name FROM things").await, "0");
            assert_eq!(setting(&db, "SHOW statement_timeout").await, "1min");
        }

        #[tokio::test]
        async fn the_url_may_set_other_timeouts() {
            let url = with_setting(postgres_server().expose_secret(), "statement_timeout=7s");
            let db = Db::connect(&Options::new(url)).await.unwrap();
            assert_eq!(setting(&db, "SHOW statement_timeout").await, "7s");
            assert_eq!(setting(&db, "SHOW idle_in_transaction_session_timeout").await, "1min");
        }

        #[tokio::test]
        async fn a_pool_in_use_is_busy_not_unavailable() {
            let scratch = Scratch::set_up(Backend::Postgres).await;
            scratch.db().await.close().await;
            let options = Options { max_connections: 1, ..Options::new(scratch.0.url.clone()) };
            let db = Db::connect(&options).await.unwrap();
            let mut work = db.work(&operator()).await.unwrap();
            work.untracked(insert(1, "a", None, 0)).await.unwrap();
            let waited = db.untracked().execute(insert(2, "a", None, 1)).await;
            assert!(matches!(waited, Err(Error::Busy)), "{waited:?}");
            db.check().await.unwrap();
            work.save().await.unwrap();
            assert_eq!(count(&db).await, 1);
        }

        #[tokio::test]
        async fn an_ended_session_is_unavailable_and_the_next_one_works() {
            let scratch = Scratch::set_up(Backend::Postgres).await;
            scratch.db().await.close().await;
            let mut options = Options { max_connections: 1, ..Options::new(scratch.0.url.clone()) };
            let db = Db::connect(&options).await.unwrap();
            let end = Query::new("SELECT pg_terminate_backend(pg_backend_pid())");
            let ended = db.fetch_one::<(bool,)>(end).await;
            assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
            assert_eq!(count(&db).await, 0);

            let bound = "idle_in_transaction_session_timeout=50ms";
            options.url = with_setting(scratch.0.url.expose_secret(), bound).into();
            let db = Db::connect(&options).await.unwrap();
            let mut work = db.work(&operator()).await.unwrap();
            work.untracked(insert(1, "a", None, 0)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let ended = work.save().await;
            assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
            assert_eq!(count(&db).await, 0);
        }

        const READ_ONLY: &str = "SELECT set_config('default_transaction_read_only', 'on', FALSE)";

        #[tokio::test]
        async fn several_connections_to_a_standby_fail_only_one_write() {
            let scratch = Scratch::set_up(Backend::Postgres).await;
            let db = scratch.db().await;
            let mut held = Vec::new();
            for _ in 0..4 {
                held.push(db.work(&operator()).await.unwrap());
            }
            for mut work in held {
                work.fetch_optional::<(String,)>(Query::new(READ_ONLY)).await.unwrap();
                work.save().await.unwrap();
            }
            let refused = db.untracked().execute(insert(1, "a", None, 0)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            for n in 0..10 {
                db.untracked()
                    .execute(insert(2 + n, "a", None, i64::try_from(n).unwrap()))
                    .await
                    .unwrap();
            }
        }

        #[tokio::test]
        async fn a_read_only_server_is_not_ready_until_it_accepts_writes() {
            let scratch = Scratch::set_up(Backend::Postgres).await;
            let db = scratch.db().await;
            db.check().await.unwrap();
            let (name,): (String,) =
                db.fetch_one(Query::new("SELECT current_database()::text")).await.unwrap();
            let set = async |what: &str| {
                let server = postgres_server();
                let url = with_setting(server.expose_secret(), "default_transaction_read_only=off");
                let db = Db::connect(&Options::new(url)).await.unwrap();
                let sql = format!("ALTER DATABASE {name} {what}");
                db.untracked().execute(Query::new(sql.leak())).await.unwrap();
            };
            set("SET default_transaction_read_only TO on").await;
            // The operator then restarts the sessions.
            let end = "SELECT pg_terminate_backend(pg_backend_pid())";
            db.fetch_one::<(bool,)>(Query::new(end)).await.unwrap_err();
            let refused = db.untracked().execute(insert(1, "a", None, 0)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            for _ in 0..3 {
                assert!(matches!(db.check().await, Err(Error::Unavailable(_))));
                assert_eq!(count(&db).await, 0, "reads still work");
            }
            set("RESET default_transaction_read_only").await;
            // The first check still uses a read-only session, and ends it.
            db.check().await.ok();
            db.check().await.unwrap();
            db.untracked().execute(insert(1, "a", None, 0)).await.unwrap();
        }

        #[tokio::test]
        async fn a_proxy_that_accepts_and_closes_makes_the_database_unavailable() {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let scratch = Scratch::set_up(Backend::Postgres).await;
            scratch.db().await.close().await;
            let url = scratch.0.url.expose_secret().to_owned();
            let (head, rest) = url.split_once('@').unwrap();
            let (server, database) = rest.split_once('/').unwrap();
            let proxied = format!("{head}@{}/{database}", listener.local_addr().unwrap());
            let server = server.to_owned();
            let proxy = tokio::spawn(async move {
                // One connection that tests the URL, and one for the pool.
                for _ in 0..2 {
                    let (mut near, _) = listener.accept().await.unwrap();
                    let mut far = tokio::net::TcpStream::connect(&server).await.unwrap();
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                }
                loop {
                    // Closing after the read does not reset the connection.
                    let (mut near, _) = listener.accept().await.unwrap();
                    tokio::io::AsyncReadExt::read(&mut near, &mut [0; 64]).await.ok();
                }
            });
            let options = Options { max_connections: 1, ..Options::new(proxied) };
            let db = Db::connect(&options).await.unwrap();
            let end = Query::new("SELECT pg_terminate_backend(pg_backend_pid())");
            db.fetch_one::<(bool,)>(end).await.unwrap_err();
            for _ in 0..3 {
                let found = db.fetch_optional::<(i64,)>(Query::new("SELECT 1::bigint")).await;
                assert!(matches!(found, Err(Error::Unavailable(_))), "{found:?}");
                let written = db.untracked().execute(insert(1, "a", None, 0)).await;
                assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
                assert!(matches!(db.check().await, Err(Error::Unavailable(_))));
            }
            proxy.abort();
        }

        #[tokio::test]
        async fn creating_an_existing_database_changes_nothing() {
            let (server, name) = (postgres_server(), unique_name());
            for _ in 0..2 {
                create_database_if_missing(&server, &name).await.unwrap();
            }
            drop_databases(&server, [name]).await;
        }

        #[tokio::test]
        async fn a_missing_database_has_a_separate_error() {
            let missing = database_url(&postgres_server(), "no_such_database");
            let error = match Db::connect(&Options::new(missing)).await {
                Ok(_) => panic!("there is no such database"),
                Err(error) => error,
            };
            assert!(matches!(error, ConnectError::NoDatabase { .. }), "{error}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;

    let scratch = Scratch::set_up(Backend::Sqlite).await;
    let db = scratch.db().await;
    let path = secrecy::ExposeSecret::expose_secret(&scratch.0.url).to_owned();
    let path = PathBuf::from(path.strip_prefix("sqlite:").unwrap());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path) & 0o777, 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")) & 0o777, 0o600);
    assert_eq!(mode(path.parent().unwrap()) & 0o777, 0o700);
    for (setting, value) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
        let found = db.untracked().fetch_all::<(i64,)>(Query::new(setting)).await.unwrap();
        assert_eq!(found, [(value,)], "{setting}");
    }
}
