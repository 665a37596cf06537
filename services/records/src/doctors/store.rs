//! The table of doctors, and how it is searched.

use clinic_proto::records::v1::ListDoctorsRequest;
use clinic_store::Query;

use crate::names;
use crate::rows::Table;

/// Rows with everything: everybody sees all of a doctor.
pub(super) const TABLE: Table = Table {
    name: "doctors",
    columns: "id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
              last_name, specialization, license_number, qualifications, years_of_experience, \
              consultation_fee, available, phone_number, email, verified",
};

/// The filters of a list.
pub(super) struct Filter {
    specialization_key: String,
    available: Option<bool>,
}

impl Filter {
    pub(super) fn of(request: &ListDoctorsRequest) -> Self {
        Self {
            specialization_key: names::fold(&request.specialization),
            available: request.available,
        }
    }

    /// Appends ` AND …` for each filter that is set.
    pub(super) fn push(&self, query: &mut Query) {
        if !self.specialization_key.is_empty() {
            query.push(" AND specialization_key = ").push_bind(self.specialization_key.clone());
        }
        if let Some(available) = self.available {
            query.push(" AND available = ").push_bind(available);
        }
    }
}
