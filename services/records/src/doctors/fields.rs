//! The fields of a doctor.

use clinic_proto::records::v1 as proto;
use clinic_resource::{Fields, Resource};
use clinic_store::{Changes, Query};

use crate::listing::LIVE;

type Field = clinic_resource::Field<proto::Doctor>;

static FIELDS: Fields<proto::Doctor> = Fields::new(&[
    Field::id("id", |d| &mut d.id),
    Field::etag(|d| &mut d.etag),
    Field::time("created_at", |d| &mut d.created_at),
    Field::time("updated_at", |d| &mut d.updated_at),
    Field::time("deleted_at", |d| &mut d.deleted_at),
    Field::id("owner_id", |d| &mut d.owner_id),
    Field::id("user_id", |d| &mut d.user_id),
    Field::text("first_name", |d| &mut d.first_name).searched_by("first_name_key"),
    Field::text("last_name", |d| &mut d.last_name).searched_by("last_name_key"),
    Field::text("specialization", |d| &mut d.specialization).compared_by("specialization_key"),
    Field::text("license_number", |d| &mut d.license_number).compared_by("license_key"),
    Field::text("qualifications", |d| &mut d.qualifications),
    Field::int("years_of_experience", |d| &mut d.years_of_experience),
    Field::text("consultation_fee", |d| &mut d.consultation_fee),
    Field::flag("available", |d| &mut d.available, true),
    Field::text("phone_number", |d| &mut d.phone_number),
    Field::text("email", |d| &mut d.email),
    Field::bool("verified", |d| &mut d.verified),
]);

/// The doctors of the table `doctors`. All callers see all fields of a doctor.
pub(crate) struct Doctor;

impl Resource for Doctor {
    type Message = proto::Doctor;

    const NAME: &'static str = "doctor";
    const TABLE: &'static str = "doctors";
    const LIVE: Option<&'static str> = Some(LIVE);

    fn fields() -> &'static Fields<proto::Doctor> {
        &FIELDS
    }
}

/// Key columns of the fields that an ADMIN checks to verify a doctor. Case does not matter.
const VERIFIED_COLUMNS: [&str; 2] = ["specialization_key", "license_key"];

/// Appends `, verified = …` to an update of these columns: a verified doctor stays verified only if
/// their values do not change.
pub(super) fn push_still_verified(query: &mut Query, changes: &Changes) {
    let written =
        VERIFIED_COLUMNS.into_iter().filter_map(|column| Some((column, changes.get(column)?)));
    for (at, (column, value)) in written.enumerate() {
        query.push(if at == 0 { ", verified = verified AND " } else { " AND " });
        query.push(column).push(" = ").push_bind(value.clone());
    }
}
