//! The fields of a patient.

use clinic_proto::records::v1::{self as proto, PatientView};
use clinic_resource::{Fields, Resource, View};

use crate::listing::LIVE;

type Field = clinic_resource::Field<proto::Patient>;

static FIELDS: Fields<proto::Patient> = Fields::new(&[
    Field::id("id", |p| &mut p.id).basic(),
    Field::etag(|p| &mut p.etag),
    Field::time("created_at", |p| &mut p.created_at),
    Field::time("updated_at", |p| &mut p.updated_at),
    Field::time("deleted_at", |p| &mut p.deleted_at),
    Field::id("owner_id", |p| &mut p.owner_id),
    Field::id("user_id", |p| &mut p.user_id),
    Field::text("first_name", |p| &mut p.first_name).searched_by("first_name_key").basic(),
    Field::text("last_name", |p| &mut p.last_name).searched_by("last_name_key").basic(),
    Field::day("date_of_birth", |p| &mut p.date_of_birth).basic(),
    Field::text("gender", |p| &mut p.gender).basic(),
    Field::text("phone_number", |p| &mut p.phone_number),
    Field::text("email", |p| &mut p.email),
    Field::text("address", |p| &mut p.address),
    Field::text("medical_history", |p| &mut p.medical_history),
]);

/// The patients of the table `patients`.
pub(crate) struct Patient;

impl Resource for Patient {
    type Message = proto::Patient;

    const NAME: &'static str = "patient";
    const TABLE: &'static str = "patients";
    const DERIVED: &'static [&'static str] = &["view"];
    const LIVE: Option<&'static str> = Some(LIVE);

    fn fields() -> &'static Fields<proto::Patient> {
        &FIELDS
    }

    fn complete(patient: &mut proto::Patient, view: View) {
        patient.view = match view {
            View::Basic => PatientView::Basic,
            View::Full => PatientView::Full,
        }
        .into();
    }
}

/// Returns the view that a request asks for. The default is FULL.
pub(super) fn asked(view: PatientView) -> View {
    match view {
        PatientView::Basic => View::Basic,
        PatientView::Unspecified | PatientView::Full => View::Full,
    }
}
