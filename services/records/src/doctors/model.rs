//! Between the contract's `Doctor` and the table's row.

use chrono::{DateTime, Utc};
use clinic_proto::records::v1 as proto;
use clinic_proto::time::timestamp;
use uuid::Uuid;

use crate::columns::{Column, text};
use crate::listing::{FIXED_BYTES, Listed};
use crate::names;
use clinic_store::etag::etag;

/// A row. Has no `Debug`: it is private data.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct Doctor {
    pub(super) id: Uuid,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    owner_id: Option<Uuid>,
    user_id: Option<Uuid>,
    first_name: String,
    last_name: String,
    specialization: String,
    license_number: String,
    qualifications: String,
    years_of_experience: i64,
    consultation_fee: String,
    available: bool,
    phone_number: String,
    email: String,
    verified: bool,
}

impl Listed for Doctor {
    fn id(&self) -> Uuid {
        self.id
    }

    fn first_name(&self) -> &str {
        &self.first_name
    }

    fn last_name(&self) -> &str {
        &self.last_name
    }

    fn bytes(&self) -> usize {
        let Self { first_name, last_name, email, specialization, qualifications, .. } = self;
        let texts = [first_name, last_name, email, specialization, qualifications];
        FIXED_BYTES + texts.into_iter().map(String::len).sum::<usize>()
    }
}

impl From<Doctor> for proto::Doctor {
    fn from(row: Doctor) -> Self {
        Self {
            id: row.id.to_string(),
            etag: etag(row.version),
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            deleted_at: row.deleted_at.map(timestamp),
            owner_id: row.owner_id.map(|id| id.to_string()).unwrap_or_default(),
            user_id: row.user_id.map(|id| id.to_string()).unwrap_or_default(),
            first_name: row.first_name,
            last_name: row.last_name,
            specialization: row.specialization,
            license_number: row.license_number,
            qualifications: row.qualifications,
            // Written from an i32, so it always fits.
            years_of_experience: i32::try_from(row.years_of_experience).unwrap_or_default(),
            consultation_fee: row.consultation_fee,
            available: Some(row.available),
            phone_number: row.phone_number,
            email: row.email,
            verified: row.verified,
        }
    }
}

/// What callers may write, in a fixed order. Destructured in full, so that a new field of the
/// contract cannot be forgotten here.
pub(super) fn columns(doctor: proto::Doctor) -> Vec<Column> {
    let proto::Doctor {
        first_name,
        last_name,
        specialization,
        license_number,
        qualifications,
        years_of_experience,
        consultation_fee,
        available,
        phone_number,
        email,
        // Who owns it, whose it is, whether it is verified and when it changed is not the caller's
        // to say.
        id: _,
        etag: _,
        created_at: _,
        updated_at: _,
        deleted_at: _,
        owner_id: _,
        user_id: _,
        verified: _,
    } = doctor;
    vec![
        text("first_name", &first_name),
        names::column("first_name", "first_name_key", &first_name),
        text("last_name", &last_name),
        names::column("last_name", "last_name_key", &last_name),
        text("specialization", &specialization),
        folded("specialization", "specialization_key", &specialization),
        text("license_number", &license_number),
        folded("license_number", "license_key", &license_number),
        text("qualifications", &qualifications),
        Column {
            field: "years_of_experience",
            name: "years_of_experience",
            given: years_of_experience != 0,
            value: years_of_experience.into(),
        },
        text("consultation_fee", &consultation_fee),
        Column {
            field: "available",
            name: "available",
            given: available.is_some(),
            // The contract's default, also when a mask names the field and no value is given.
            value: available.unwrap_or(true).into(),
        },
        text("phone_number", &phone_number),
        text("email", &email),
    ]
}

/// The value by which a text is compared without regard to case.
fn folded(field: &'static str, name: &'static str, value: &str) -> Column {
    let key = names::fold(value);
    Column { field, name, given: !key.is_empty(), value: key.into() }
}

#[cfg(test)]
mod tests {
    use clinic_store::Arg;

    use super::*;

    fn value(columns: &[Column], name: &str) -> Arg {
        columns.iter().find(|column| column.name == name).map(|c| c.value.clone()).unwrap()
    }

    #[test]
    fn licenses_and_specializations_are_compared_without_case_or_surrounding_space() {
        let columns = columns(proto::Doctor {
            specialization: " Cardiology ".into(),
            license_number: "MD-7x".into(),
            ..proto::Doctor::default()
        });
        let text = |name| match value(&columns, name) {
            Arg::Text(Some(text)) => text.into_owned(),
            _ => panic!("{name} is no text"),
        };
        assert_eq!(text("specialization"), "Cardiology");
        assert_eq!(text("specialization_key"), "cardiology");
        assert_eq!((text("license_number"), text("license_key")), ("MD-7x".into(), "md-7x".into()));
    }

    #[test]
    fn a_doctor_takes_patients_unless_it_is_said() {
        let available = |given| {
            let columns = columns(proto::Doctor { available: given, ..proto::Doctor::default() });
            matches!(value(&columns, "available"), Arg::Bool(Some(true)))
        };
        assert!(available(None) && available(Some(true)) && !available(Some(false)));
    }
}
