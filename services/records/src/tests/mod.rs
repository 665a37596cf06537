//! Tests of the service with a real database, on SQLite and on PostgreSQL. The suite's tests cover
//! the wire, the access rules and the validation of messages.

mod journals;
mod migrating;
mod patients;
mod plans;

use chrono::TimeDelta;
use clinic_clock::Clock;
use clinic_identity::{Claims, Principal, User};
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::records::v1 as proto;
use clinic_store::{Backend, Db, migrate, page};
use clinic_stubs::records::v1::{DoctorServiceHandler as _, PatientServiceHandler as _};
use clinic_testdb::{Fixture, TestDatabase, on_both};
use http::HeaderValue;
use uuid::Uuid;

use crate::DoctorPatientView;
use crate::doctors::Doctors;
use crate::error::Error;
use crate::patients::Patients;
use clinic_resource::Error as ResourceError;

/// Time between two records, so that their order does not depend on the system's clock.
const TICK: TimeDelta = TimeDelta::milliseconds(2);

/// The service with a new database.
pub(super) struct Records {
    pub(super) db: Db,
    pub(super) patients: Patients,
    pub(super) doctors: Doctors,
    clock: Clock,
    _database: TestDatabase,
}

impl Fixture for Records {
    async fn set_up(backend: Backend) -> Self {
        let database = TestDatabase::create(backend).await;
        let db = database.connect().await;
        migrate(&db, &crate::MIGRATIONS).await.unwrap();
        Self::over(database, db).await
    }
}

/// Returns a call of an account with these roles.
pub(super) fn user(n: u128, roles: &[Role]) -> Context {
    call_of(Principal::User(User {
        id: Uuid::from_u128(n),
        session_id: Uuid::nil(),
        roles: roles.iter().copied().collect(),
        email_verified: true,
    }))
}

fn call_of(principal: Principal) -> Context {
    let claims = Claims { principal, client_ip: None };
    Context::new(claims.into(), HeaderValue::from_static("unused"), Clock::system().now())
}

pub(super) fn staff() -> Context {
    user(1, &[Role::Staff])
}

pub(super) fn other_staff() -> Context {
    user(2, &[Role::Staff])
}

pub(super) fn admin() -> Context {
    user(3, &[Role::Admin])
}

pub(super) fn patient() -> Context {
    user(4, &[Role::Patient])
}

pub(super) fn doctor() -> Context {
    user(5, &[Role::Doctor])
}

pub(super) fn auth() -> Context {
    call_of(Principal::service("auth"))
}

pub(super) fn user_id(caller: &Context) -> String {
    caller.principal().user_id().map(|id| id.to_string()).unwrap_or_default()
}

pub(super) fn a_patient(first_name: &str, last_name: &str) -> proto::Patient {
    proto::Patient {
        first_name: first_name.into(),
        last_name: last_name.into(),
        ..proto::Patient::default()
    }
}

pub(super) fn a_doctor(last_name: &str, license_number: &str) -> proto::Doctor {
    proto::Doctor {
        first_name: "Doc".into(),
        last_name: last_name.into(),
        specialization: "Cardiology".into(),
        license_number: license_number.into(),
        ..proto::Doctor::default()
    }
}

pub(super) fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

impl Records {
    /// Returns the service on a database with tables.
    pub(super) async fn over(database: TestDatabase, db: Db) -> Self {
        let (clock, view) = (Clock::movable(), DoctorPatientView::Basic);
        let pages = page::Tokens::open(&db).await.unwrap();
        Self {
            patients: Patients::new(db.clone(), pages.clone(), clock.clone(), view),
            doctors: Doctors::new(db.clone(), pages, clock.clone()),
            clock,
            db,
            _database: database,
        }
    }

    pub(super) async fn add(&self, caller: &Context, patient: proto::Patient) -> proto::Patient {
        self.clock.advance(TICK);
        let request = proto::CreatePatientRequest { patient: Some(patient), ..Default::default() };
        self.patients.create_patient(caller, request).await.unwrap()
    }

    pub(super) async fn add_doctor(
        &self,
        caller: &Context,
        doctor: proto::Doctor,
    ) -> proto::Doctor {
        self.clock.advance(TICK);
        let request = proto::CreateDoctorRequest { doctor: Some(doctor), ..Default::default() };
        self.doctors.create_doctor(caller, request).await.unwrap()
    }

    /// Creates the record of an account, as auth does.
    pub(super) async fn register(&self, caller: &Context) -> proto::Patient {
        let patient = proto::Patient { user_id: user_id(caller), ..a_patient("Pat", "Ient") };
        self.add(&auth(), patient).await
    }

    /// Creates the record of an account, as auth does, and verifies it as an ADMIN if `verified`.
    pub(super) async fn register_doctor(&self, caller: &Context, verified: bool) -> proto::Doctor {
        let doctor = proto::Doctor {
            user_id: user_id(caller),
            ..a_doctor("Self", &format!("L{}", caller.principal().id()))
        };
        let made = self.add_doctor(&auth(), doctor).await;
        if !verified {
            return made;
        }
        let request = proto::VerifyDoctorRequest { id: made.id, etag: String::new() };
        self.doctors.verify_doctor(&admin(), request).await.unwrap()
    }
}

macro_rules! assert_fails {
    ($call:expr, $error:pat) => {
        match $call {
            Ok(_) => panic!("it succeeded"),
            Err(error) => assert!(matches!(error, $error), "{error:?}"),
        }
    };
}
pub(super) use assert_fails;

#[test]
fn every_field_of_the_contract_is_known() {
    use clinic_resource::field_names;
    let contract = clinic_proto::field_names("clinic.records.v1.Patient");
    assert_eq!(field_names::<crate::patients::Patient>(), contract);
    let contract = clinic_proto::field_names("clinic.records.v1.Doctor");
    assert_eq!(field_names::<crate::doctors::Doctor>(), contract);
}

#[test]
fn the_basic_view_has_names_gender_and_birth_date_only() {
    let names = clinic_resource::basic_field_names::<crate::patients::Patient>();
    assert_eq!(names, ["id", "first_name", "last_name", "date_of_birth", "gender"]);
}

#[test]
fn every_not_found_is_the_same_to_the_byte() {
    let status =
        || tonic::Status::from(clinic_net::Error::from(Error::Resource(ResourceError::NotFound)));
    assert_eq!(status().code(), tonic::Code::NotFound);
    assert_eq!(status().into_http::<()>().headers(), status().into_http::<()>().headers());
}
