//! The table of doctors, and how it is searched.

use clinic_proto::records::v1::ListDoctorsRequest;
use clinic_store::{Changes, Query};

use crate::names::{self, Prefix};
use crate::rows::Table;

/// Rows with everything: everybody sees all of a doctor.
pub(super) const TABLE: Table = Table {
    name: "doctors",
    record: "doctor",
    columns: "id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
              last_name, specialization, license_number, qualifications, years_of_experience, \
              consultation_fee, available, phone_number, email, verified",
};

/// What an ADMIN has confirmed of a verified doctor, without regard to case.
const CONFIRMED: [&str; 2] = ["specialization_key", "license_key"];

/// Appends `, verified = …`, where the update writes what an ADMIN has confirmed: verified stays who
/// was, and does not become something else.
pub(super) fn push_confirmed(query: &mut Query, changes: &Changes) {
    let written = CONFIRMED.into_iter().filter_map(|column| Some((column, changes.get(column)?)));
    for (at, (column, value)) in written.enumerate() {
        query.push(if at == 0 { ", verified = verified AND " } else { " AND " });
        query.push(column).push(" = ").push_bind(value.clone());
    }
}

/// The filters of a list.
pub(crate) struct Filter {
    specialization_key: String,
    available: Option<bool>,
    by_name: bool,
}

impl Filter {
    pub(crate) fn of(request: &ListDoctorsRequest) -> Self {
        Self {
            specialization_key: names::fold(&request.specialization),
            available: request.available,
            by_name: Prefix::new(&request.query).is_some(),
        }
    }

    /// Appends ` AND …` for each filter that is set.
    pub(crate) fn push(&self, query: &mut Query) {
        if !self.specialization_key.is_empty() {
            query.push(" AND specialization_key = ").push_bind(self.specialization_key.clone());
        }
        if let Some(available) = self.available {
            // Half of all doctors are: by name it is no `=`, because SQLite would take the index
            // that begins with it, and sort that half for each page.
            if self.by_name {
                query.push(" AND NOT (available IS DISTINCT FROM ").push_bind(available).push(")");
            } else {
                query.push(" AND available = ").push_bind(available);
            }
        }
    }
}
