//! Test data that is the same in every run, so that runs can be compared.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clinic_proto::records::v1::{Patient, PatientView};
use clinic_proto::time::timestamp;
use uuid::Uuid;

/// Kind of a row; a part of its id.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Owner = 1,
    Patient = 2,
    Doctor = 3,
    Assignment = 4,
    Account = 5,
}

/// Returns the id of the n-th row of a kind: a UUIDv7 with the time of [`made_at`].
pub(crate) fn id(kind: Kind, n: u64) -> Uuid {
    let millis = u128::from(1_700_000_000_000 + n * 1000);
    let version = 7_u128 << 76;
    let variant = 2_u128 << 62;
    Uuid::from_u128((millis << 80) | version | variant | ((kind as u128) << 48) | u128::from(n))
}

/// Returns the creation time of the n-th row.
pub(crate) fn made_at(n: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000_i64.saturating_add_unsigned(n))
}

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Frances",
    "John",
    "Katherine",
    "Dennis",
    "Margaret",
    "Ken",
    "Radia",
    "Tony",
    "Sophie",
    "Niklaus",
];
const LAST_NAMES: [&str; 16] = [
    "Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Allen", "McCarthy", "Johnson",
    "Ritchie", "Hamilton", "Thompson", "Perlman", "Hoare", "Wilson", "Wirth",
];

/// Returns one of the sixteen names, followed by a number below `numbers`.
fn pick(names: &[&str], n: u64, numbers: u64) -> String {
    let len = names.len() as u64;
    let name = usize::try_from(n % len).ok().and_then(|at| names.get(at)).copied();
    format!("{}{}", name.unwrap_or_default(), (n / len) % numbers)
}

pub(crate) fn first_name(n: u64) -> String {
    // In another order than the last names, so that the pairs differ.
    pick(&FIRST_NAMES, n.wrapping_mul(7), 100)
}

pub(crate) fn last_name(n: u64) -> String {
    pick(&LAST_NAMES, n, 1000)
}

pub(crate) fn birthday(n: u64) -> NaiveDate {
    let days = i64::try_from(n % 30_000).unwrap_or_default();
    NaiveDate::from_ymd_opt(1930, 1, 1).unwrap_or_default() + TimeDelta::days(days)
}

pub(crate) const PHONE: &str = "+1 555 123-4567";
pub(crate) const ADDRESS: &str = "456 Oak Street, Springfield";
pub(crate) const HISTORY: &str =
    "Hypertension since 2015, lisinopril 10 mg daily. Penicillin allergy. Appendectomy 1998.";

pub(crate) fn email(n: u64) -> String {
    format!("patient{n}@example.com")
}

/// Returns the n-th patient as records returns it.
pub(crate) fn patient(n: u64, owner: Uuid) -> Patient {
    Patient {
        id: id(Kind::Patient, n).to_string(),
        etag: "v1".to_owned(),
        created_at: Some(timestamp(made_at(n))),
        updated_at: Some(timestamp(made_at(n))),
        owner_id: owner.to_string(),
        view: PatientView::Full.into(),
        ..new_patient(n)
    }
}

/// Returns the n-th patient as a client creates it.
pub(crate) fn new_patient(n: u64) -> Patient {
    Patient {
        first_name: first_name(n),
        last_name: last_name(n),
        date_of_birth: birthday(n).to_string(),
        gender: "F".to_owned(),
        phone_number: PHONE.to_owned(),
        email: email(n),
        address: ADDRESS.to_owned(),
        medical_history: HISTORY.to_owned(),
        ..Patient::default()
    }
}
