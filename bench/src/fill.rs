//! Fills databases with large statements, in seconds instead of an hour through the API.

use std::ops::Range;

use anyhow::{Context as _, Result};
use clinic_clock::Clock;
use clinic_store::{Arg, Backend, Db, Origin, Query};
use indicatif::{ProgressBar, ProgressStyle};

use crate::sample::{self, Kind};
use crate::suite::Data;
use crate::tokens;

/// Rows per statement: SQLite accepts at most 32,766 values.
const ROWS: u64 = 1000;

/// Patients of the calling owner.
pub(crate) const PATIENTS: u64 = 10_000;
const OTHER_OWNERS: u64 = 100;
const PATIENTS_OF_EACH: u64 = 10;
const DOCTORS: u64 = 500;
const ASSIGNMENTS: u64 = 10_000;
/// Doctors of each patient with assignments.
pub(crate) const DOCTORS_OF_A_PATIENT: u64 = 4;

/// Inserts the rows for all groups except growth.
pub(crate) async fn usual(data: &Data) -> Result<()> {
    let records = data.databases.open("records").await?;
    patients(data, &records, PATIENTS).await?;
    let others = PATIENTS..PATIENTS + OTHER_OWNERS * PATIENTS_OF_EACH;
    let of_others =
        |n| patient(n, sample::id(Kind::Owner, 1 + (n - PATIENTS) / PATIENTS_OF_EACH).into());
    insert(data, &records, "patients of others", PATIENT, others, of_others).await?;
    insert(data, &records, "doctors", DOCTOR, 0..DOCTORS, doctor).await?;
    analyze(&records).await?;
    let assigned = data.databases.open("assignment").await?;
    insert(data, &assigned, "assignments", ASSIGNMENT, 0..ASSIGNMENTS, assignment).await?;
    analyze(&assigned).await
}

/// Inserts only `count` patients of the calling owner.
pub(crate) async fn patients_only(data: &Data, count: u64) -> Result<()> {
    let records = data.databases.open("records").await?;
    patients(data, &records, count).await?;
    analyze(&records).await
}

async fn patients(data: &Data, db: &Db, count: u64) -> Result<()> {
    let of_owner = |n| patient(n, tokens::owner().into());
    insert(data, db, "patients", PATIENT, 0..count, of_owner).await
}

/// Collects statistics for the planner, which a server does by itself after a while.
async fn analyze(db: &Db) -> Result<()> {
    db.untracked().execute(Query::new("ANALYZE")).await?;
    db.close().await;
    Ok(())
}

const PATIENT: &str = "INSERT INTO patients (id, version, created_at, updated_at, owner_id, \
    first_name, first_name_key, last_name, last_name_key, date_of_birth, gender, phone_number, \
    email, address, medical_history) VALUES ";

fn patient(n: u64, owner: Arg) -> Vec<Arg> {
    let (first, last) = (sample::first_name(n), sample::last_name(n));
    vec![
        sample::id(Kind::Patient, n).into(),
        1_i64.into(),
        sample::made_at(n).into(),
        sample::made_at(n).into(),
        owner,
        first.clone().into(),
        first.to_lowercase().into_bytes().into(),
        last.clone().into(),
        last.to_lowercase().into_bytes().into(),
        sample::birthday(n).into(),
        "F".into(),
        sample::PHONE.into(),
        sample::email(n).into(),
        sample::ADDRESS.into(),
        sample::HISTORY.into(),
    ]
}

const DOCTOR: &str = "INSERT INTO doctors (id, version, created_at, updated_at, first_name, \
    first_name_key, last_name, last_name_key, specialization, specialization_key, license_number, \
    license_key, qualifications, years_of_experience, consultation_fee, available, phone_number, \
    email, verified) VALUES ";

fn doctor(n: u64) -> Vec<Arg> {
    let (first, last) = (sample::first_name(n), sample::last_name(n));
    vec![
        sample::id(Kind::Doctor, n).into(),
        1_i64.into(),
        sample::made_at(n).into(),
        sample::made_at(n).into(),
        first.clone().into(),
        first.to_lowercase().into_bytes().into(),
        last.clone().into(),
        last.to_lowercase().into_bytes().into(),
        "Cardiology".into(),
        "cardiology".into(),
        format!("LIC{n:06}").into(),
        format!("lic{n:06}").into(),
        "MD".into(),
        10_i64.into(),
        "150.50".into(),
        true.into(),
        sample::PHONE.into(),
        sample::email(n).into(),
        true.into(),
    ]
}

const ASSIGNMENT: &str = "INSERT INTO assignments (id, version, created_at, updated_at, patient_id, \
    doctor_id, patient_owner_id, assigned_by, reason_for_visit, notes, ended, started_at) VALUES ";

fn assignment(n: u64) -> Vec<Arg> {
    vec![
        sample::id(Kind::Assignment, n).into(),
        1_i64.into(),
        sample::made_at(n).into(),
        sample::made_at(n).into(),
        sample::id(Kind::Patient, n / DOCTORS_OF_A_PATIENT).into(),
        sample::id(Kind::Doctor, n * 7 % DOCTORS).into(),
        tokens::owner().into(),
        tokens::owner().into(),
        "Regular checkup".into(),
        "fasting".into(),
        false.into(),
        sample::made_at(n).into(),
    ]
}

/// Inserts a row for each number, with a progress bar.
async fn insert(
    data: &Data,
    db: &Db,
    what: &str,
    into: &'static str,
    numbers: Range<u64>,
    row: impl Fn(u64) -> Vec<Arg>,
) -> Result<()> {
    let what = format!("{}: {what}", data.store.name());
    let bar = ProgressBar::new(numbers.end - numbers.start).with_message(what.clone());
    bar.set_style(ProgressStyle::with_template("{msg:32} {bar:40} {human_pos}/{human_len}")?);
    if db.backend() == Backend::Sqlite {
        // The indexes of a million rows do not fit into the default cache.
        db.untracked().execute(Query::new("PRAGMA cache_size = -500000")).await?;
    }
    let mut work = db.work(&Origin::operator(Clock::system().now())).await?;
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + ROWS);
        let mut query = Query::new(into);
        for n in next..end {
            for (at, value) in row(n).into_iter().enumerate() {
                query.push(match (at, n == next) {
                    (0, true) => "(",
                    (0, false) => ", (",
                    _ => ", ",
                });
                query.push_bind(value);
            }
            query.push(")");
        }
        work.untracked(query).await.with_context(|| what.clone())?;
        bar.inc(end - next);
        next = end;
    }
    work.save().await?;
    bar.finish();
    Ok(())
}
