//! The statements, on SQLite and on PostgreSQL.

mod lists;
mod migrating;
mod writes;

use std::sync::atomic::{AtomicU32, Ordering};

use clinic_clock::Clock;
use clinic_identity::{Principal, User};
use clinic_proto::access::v1::Role;
use clinic_store::{Db, Options, Origin, create_database_if_missing, database_url, migrate};
use uuid::Uuid;

use super::model::Assignment;
use super::store::{self, About, Change, New};
use crate::access::Scope;
use crate::error::Error;

/// A database; SQLite's file is removed with its directory.
struct Scratch {
    db: Db,
    clock: Clock,
    _directory: tempfile::TempDir,
}

async fn scratch(postgres: Option<&str>) -> Scratch {
    let scratch = without_tables(postgres).await;
    migrate(&scratch.db, &crate::MIGRATIONS).await.unwrap();
    scratch
}

async fn without_tables(postgres: Option<&str>) -> Scratch {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let directory = tempfile::tempdir().unwrap();
    let url = match postgres {
        None => format!("sqlite:{}", directory.path().join("test.db").display()).into(),
        Some(server) => {
            let n = COUNT.fetch_add(1, Ordering::SeqCst);
            let name = format!("assignment_test_{}_{n}", std::process::id());
            create_database_if_missing(&server.into(), &name).await.unwrap();
            database_url(&server.into(), &name)
        }
    };
    let db = Db::connect(&Options::new(url)).await.unwrap();
    Scratch { db, clock: Clock::movable(), _directory: directory }
}

/// The server that `cargo xtask test` starts. A test that is left out silently proves nothing.
fn postgres_server() -> String {
    std::env::var("CLINIC_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "CLINIC_TEST_POSTGRES_URL is not set: run the tests by `cargo xtask test`, which starts \
             a PostgreSQL, or leave these out by `cargo xtask test --sqlite-only`"
        )
    })
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                super::$name(&super::scratch(None).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                let server = crate::assignments::tests::postgres_server();
                super::$name(&super::scratch(Some(&server)).await).await;
            })*
        }
    };
}
use on_both;

/// The members of staff who own the patients.
const OWNER: u128 = 1000;
const PATIENT_USER: u128 = 2000;
const DOCTOR_USER: u128 = 3000;

fn account(n: u128, roles: &[Role]) -> Principal {
    Principal::User(User {
        id: Uuid::from_u128(n),
        session_id: Uuid::nil(),
        roles: roles.iter().copied().collect(),
        email_verified: true,
    })
}

fn scope(n: u128, role: Role) -> Scope {
    Scope::see(&account(n, &[role]))
}

fn admin() -> Scope {
    scope(1, Role::Admin)
}

impl Scratch {
    /// Patient and doctor by number; owner and accounts go by the same.
    fn unmade(&self, patient: u128, doctor: u128) -> New {
        New {
            id: self.clock.new_id(),
            patient_id: Uuid::from_u128(patient),
            doctor_id: Uuid::from_u128(doctor),
            patient_owner_id: Some(Uuid::from_u128(OWNER + patient % 3)),
            patient_user_id: Some(Uuid::from_u128(PATIENT_USER + patient)),
            doctor_user_id: Some(Uuid::from_u128(DOCTOR_USER + doctor)),
            assigned_by: Uuid::from_u128(OWNER + patient % 3),
            reason_for_visit: "Fever".into(),
            notes: String::new(),
        }
    }

    fn origin(&self) -> Origin {
        Origin { actor: Uuid::from_u128(OWNER), method: "test".into(), at: self.clock.now() }
    }

    async fn create(&self, patient: u128, doctor: u128) -> Result<Assignment, Error> {
        store::create(&self.db, &self.origin(), None, &admin(), self.unmade(patient, doctor)).await
    }

    fn change<'a>(&self, id: Uuid, scope: &'a Scope, etag: &'a str) -> Change<'a> {
        Change { id, scope, etag, about: About::default(), origin: self.origin() }
    }

    async fn end(&self, id: Uuid) -> Assignment {
        self.change(id, &admin(), "").end(&self.db).await.ok().unwrap()
    }

    async fn count(&self) -> i64 {
        let query = clinic_store::Query::new("SELECT COUNT(*) FROM assignments");
        self.db.fetch_one::<(i64,)>(query).await.unwrap().0
    }
}

/// The error, without asking rows to be printable.
fn error<T>(result: Result<T, Error>) -> Error {
    result.err().unwrap()
}
