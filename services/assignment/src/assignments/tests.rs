//! Tests of the statements, on SQLite and on PostgreSQL.

mod lists;
mod migrating;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clinic_clock::Clock;
use clinic_identity::{Claims, Principal, User};
use clinic_net::{Context, settings};
use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{
    self as proto, EndAssignmentRequest, GetAssignmentRequest, UpdateAssignmentRequest,
};
use clinic_resource::{Error as ResourceError, New, Scope, write};
use clinic_store::idempotency::Request;
use clinic_store::{Db, Options, Query, create_database_if_missing, database_url, migrate, page};
use clinic_stubs::assignment::v1::AssignmentServiceHandler as _;
use http::HeaderValue;
use uuid::Uuid;

use super::Assignments;
use super::fields::Assignment;
use crate::error::Error;
use crate::records_client::RecordsClient;
use crate::scopes;

/// A database. The directory of SQLite's file is removed on drop.
#[derive(Clone)]
struct Scratch {
    db: Db,
    clock: Clock,
    _directory: Arc<tempfile::TempDir>,
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
    Scratch { db, clock: Clock::movable(), _directory: directory.into() }
}

/// Returns the URL of the server that `cargo xtask test` starts. Panics without one, because a test
/// that is silently skipped proves nothing.
fn postgres_server() -> String {
    std::env::var("CLINIC_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "CLINIC_TEST_POSTGRES_URL is not set: run `cargo xtask test`, which starts PostgreSQL, \
             or skip these tests with `cargo xtask test --sqlite-only`"
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

/// First account id of the members of staff who own the patients.
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

fn admin() -> Principal {
    account(1, &[Role::Admin])
}

/// Returns the assignments that a caller sees.
fn scope(principal: &Principal) -> Scope {
    scopes::scope(scopes::see(principal))
}

impl Scratch {
    /// Returns the service. Records is unavailable: none of these tests calls it.
    async fn service(&self) -> Assignments {
        let records =
            RecordsClient::new(&settings::upstream("records", "http://127.0.0.1:1").unwrap());
        let pages = page::Tokens::open(&self.db).await.unwrap();
        Assignments::new(self.db.clone(), pages, self.clock.clone(), records)
    }

    /// Returns a call that begins now.
    fn call(&self, principal: &Principal) -> Context {
        let claims = Claims { principal: principal.clone(), client_ip: None };
        Context::new(claims.into(), HeaderValue::from_static("unused"), self.clock.now())
    }

    /// Returns a new assignment. The ids of owner and accounts follow from the numbers.
    fn unmade(&self, patient: u128, doctor: u128, request: Option<Request>) -> New<Assignment> {
        let owner = Uuid::from_u128(OWNER + patient % 3);
        let message =
            proto::Assignment { reason_for_visit: "Fever".into(), ..proto::Assignment::default() };
        let columns = vec![
            ("patient_id", Uuid::from_u128(patient).into()),
            ("doctor_id", Uuid::from_u128(doctor).into()),
            ("patient_owner_id", owner.into()),
            ("patient_user_id", Uuid::from_u128(PATIENT_USER + patient).into()),
            ("doctor_user_id", Uuid::from_u128(DOCTOR_USER + doctor).into()),
            ("assigned_by", owner.into()),
            ("ended", false.into()),
            ("started_at", self.clock.now().into()),
        ];
        New { id: self.clock.new_id(), message, columns, request }
    }

    async fn make(&self, by: &Principal, new: New<Assignment>) -> Result<proto::Assignment, Error> {
        let origin = clinic_server::origin(&self.call(by));
        Ok(write::create(&self.db, &origin, &scope(by), new).await?)
    }

    async fn create(&self, patient: u128, doctor: u128) -> Result<proto::Assignment, Error> {
        self.make(&admin(), self.unmade(patient, doctor, None)).await
    }

    async fn get(&self, by: &Principal, id: &str) -> Result<proto::Assignment, Error> {
        let request = GetAssignmentRequest { id: id.to_owned() };
        self.service().await.get_assignment(&self.call(by), request).await
    }

    /// Updates the fields that the assignment gives, with its etag.
    async fn update(
        &self,
        by: &Principal,
        id: &str,
        assignment: proto::Assignment,
    ) -> Result<proto::Assignment, Error> {
        let assignment = Some(assignment);
        let request = UpdateAssignmentRequest { id: id.to_owned(), assignment, update_mask: None };
        self.service().await.update_assignment(&self.call(by), request).await
    }

    async fn end(&self, by: &Principal, id: &str, etag: &str) -> Result<proto::Assignment, Error> {
        let request = EndAssignmentRequest { id: id.to_owned(), etag: etag.to_owned() };
        self.service().await.end_assignment(&self.call(by), request).await
    }

    async fn count(&self) -> i64 {
        let query = Query::new("SELECT COUNT(*) FROM assignments");
        self.db.fetch_one::<(i64,)>(query).await.unwrap().0
    }
}

fn is_not_found<T>(result: Result<T, Error>) -> bool {
    matches!(result.err(), Some(Error::Resource(ResourceError::NotFound)))
}

fn is_stale<T>(result: Result<T, Error>) -> bool {
    matches!(result.err(), Some(Error::Resource(ResourceError::Stale)))
}

/// Returns the error. Unlike `unwrap_err`, does not require `T: Debug`.
fn error<T>(result: Result<T, Error>) -> Error {
    result.err().unwrap()
}
