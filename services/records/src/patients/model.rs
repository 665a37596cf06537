//! Between the contract's `Patient` and the table's row.

use chrono::{DateTime, NaiveDate, Utc};
use clinic_proto::records::v1::{self as proto, PatientView};
use clinic_proto::time::timestamp;
use uuid::Uuid;

use crate::access::Scope;
use crate::columns::{Column, text};
use crate::error::Error;
use crate::listing::{FIXED_BYTES, Listed};
use crate::names;
use clinic_store::etag::etag;

/// A row. Has no `Debug`: it is private data.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct Patient {
    pub(super) id: Uuid,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    owner_id: Option<Uuid>,
    user_id: Option<Uuid>,
    first_name: String,
    last_name: String,
    date_of_birth: Option<NaiveDate>,
    gender: String,
    phone_number: String,
    email: String,
    address: String,
    medical_history: String,
}

impl Listed for Patient {
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
        let Self { first_name, last_name, email, address, medical_history, .. } = self;
        let texts = [first_name, last_name, email, address, medical_history];
        FIXED_BYTES + texts.into_iter().map(String::len).sum::<usize>()
    }
}

impl Patient {
    /// As much as the scope gives, and no more than was asked for.
    pub(super) fn into_proto(self, scope: &Scope, asked: PatientView) -> proto::Patient {
        if asked != PatientView::Basic && scope.is_full(self.owner_id, self.user_id) {
            self.into_full()
        } else {
            self.into_basic()
        }
    }

    pub(super) fn into_full(self) -> proto::Patient {
        let Self { id, version, created_at, updated_at, deleted_at, owner_id, user_id, .. } = self;
        let Self { first_name, last_name, date_of_birth, gender, phone_number, email, .. } = self;
        let Self { address, medical_history, .. } = self;
        proto::Patient {
            id: id.to_string(),
            etag: etag(version),
            created_at: Some(timestamp(created_at)),
            updated_at: Some(timestamp(updated_at)),
            deleted_at: deleted_at.map(timestamp),
            owner_id: owner_id.map(|id| id.to_string()).unwrap_or_default(),
            user_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
            first_name,
            last_name,
            date_of_birth: day(date_of_birth),
            gender,
            phone_number,
            email,
            address,
            medical_history,
            view: PatientView::Full.into(),
        }
    }

    fn into_basic(self) -> proto::Patient {
        proto::Patient {
            id: self.id.to_string(),
            first_name: self.first_name,
            last_name: self.last_name,
            date_of_birth: day(self.date_of_birth),
            gender: self.gender,
            view: PatientView::Basic.into(),
            ..proto::Patient::default()
        }
    }
}

fn day(date: Option<NaiveDate>) -> String {
    date.map(|day| day.to_string()).unwrap_or_default()
}

/// What callers may write, in a fixed order. Destructured in full, so that a new field of the
/// contract cannot be forgotten here.
pub(super) fn columns(patient: proto::Patient) -> Result<Vec<Column>, Error> {
    let proto::Patient {
        first_name,
        last_name,
        date_of_birth,
        gender,
        phone_number,
        email,
        address,
        medical_history,
        // Who owns it, whose it is and when it changed is not the caller's to say.
        id: _,
        etag: _,
        created_at: _,
        updated_at: _,
        deleted_at: _,
        owner_id: _,
        user_id: _,
        view: _,
    } = patient;
    Ok(vec![
        text("first_name", &first_name),
        names::column("first_name", "first_name_key", &first_name),
        text("last_name", &last_name),
        names::column("last_name", "last_name_key", &last_name),
        birth_date(&date_of_birth)?,
        text("gender", &gender),
        text("phone_number", &phone_number),
        text("email", &email),
        text("address", &address),
        text("medical_history", &medical_history),
    ])
}

fn birth_date(text: &str) -> Result<Column, Error> {
    let date: Option<NaiveDate> = match text.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| Error::Invalid {
            field: "patient.date_of_birth",
            message: "must be a day as YYYY-MM-DD",
        })?),
    };
    let name = "date_of_birth";
    Ok(Column { field: name, name, given: date.is_some(), value: date.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Patient {
        let at = DateTime::UNIX_EPOCH;
        Patient {
            id: Uuid::from_u128(1),
            version: 3,
            created_at: at,
            updated_at: at,
            deleted_at: None,
            owner_id: Some(Uuid::from_u128(2)),
            user_id: None,
            first_name: "Ann".into(),
            last_name: "Lee".into(),
            date_of_birth: NaiveDate::from_ymd_opt(1980, 2, 29),
            gender: "F".into(),
            phone_number: "+1 555".into(),
            email: "ann@example.com".into(),
            address: "here".into(),
            medical_history: "BP <120".into(),
        }
    }

    #[test]
    fn the_basic_view_has_names_gender_and_birth_date_only() {
        let basic = row().into_basic();
        let expected = proto::Patient {
            id: Uuid::from_u128(1).to_string(),
            first_name: "Ann".into(),
            last_name: "Lee".into(),
            date_of_birth: "1980-02-29".into(),
            gender: "F".into(),
            view: PatientView::Basic.into(),
            ..proto::Patient::default()
        };
        assert!(basic == expected);
    }

    #[test]
    fn the_full_view_has_everything() {
        let full = row().into_full();
        assert_eq!((full.medical_history.as_str(), full.etag.as_str()), ("BP <120", "v3"));
        assert_eq!((full.owner_id, full.user_id), (Uuid::from_u128(2).to_string(), String::new()));
    }
}
