//! Tests of the statements, on SQLite and on PostgreSQL.

mod lists;
mod migrating;
mod writes;

use clinic_clock::Clock;
use clinic_identity::{Claims, Principal, User};
use clinic_net::{Context, settings};
use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{self as proto, EndAssignmentRequest, GetAssignmentRequest};
use clinic_resource::{Error as ResourceError, New, Scope, write};
use clinic_store::idempotency::Request;
use clinic_store::{Backend, Db, Query, migrate, page};
use clinic_stubs::assignment::v1::AssignmentServiceHandler as _;
use clinic_testdb::{Fixture, TestDatabase, on_both};
use http::HeaderValue;
use uuid::Uuid;

use super::Assignments;
use super::fields::Assignment;
use crate::error::Error;
use crate::records_client::RecordsClient;
use crate::scopes;

/// A new database.
struct Scratch {
    db: Db,
    clock: Clock,
    _database: TestDatabase,
}

impl Fixture for Scratch {
    async fn set_up(backend: Backend) -> Self {
        let scratch = Self::without_tables(backend).await;
        migrate(&scratch.db, &crate::MIGRATIONS).await.unwrap();
        scratch
    }
}

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
    scopes::scope(scopes::visible(principal))
}

impl Scratch {
    async fn without_tables(backend: Backend) -> Self {
        let database = TestDatabase::create(backend).await;
        Self { db: database.connect().await, clock: Clock::movable(), _database: database }
    }

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

    async fn end(&self, id: &str) -> Result<proto::Assignment, Error> {
        let request = EndAssignmentRequest { id: id.to_owned(), etag: String::new() };
        self.service().await.end_assignment(&self.call(&admin()), request).await
    }
}

fn is_not_found<T>(result: Result<T, Error>) -> bool {
    matches!(result.err(), Some(Error::Resource(ResourceError::NotFound)))
}

/// Returns the error. Unlike `unwrap_err`, does not require `T: Debug`.
fn error<T>(result: Result<T, Error>) -> Error {
    result.err().unwrap()
}
