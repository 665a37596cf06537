//! The fields of an assignment.

use clinic_proto::assignment::v1::{self as proto, AssignmentStatus};
use clinic_resource::{Fields, Resource, View};

type Field = clinic_resource::Field<proto::Assignment>;

static FIELDS: Fields<proto::Assignment> = Fields::new(&[
    Field::id("id", |a| &mut a.id),
    Field::etag(|a| &mut a.etag),
    Field::time("created_at", |a| &mut a.created_at),
    Field::time("updated_at", |a| &mut a.updated_at),
    Field::id("patient_id", |a| &mut a.patient_id),
    Field::id("doctor_id", |a| &mut a.doctor_id),
    Field::id("assigned_by", |a| &mut a.assigned_by),
    Field::text("reason_for_visit", |a| &mut a.reason_for_visit),
    Field::text("notes", |a| &mut a.notes),
    Field::time("started_at", |a| &mut a.started_at),
    Field::time("ended_at", |a| &mut a.ended_at),
]);

/// The assignments of the table `assignments`.
pub(super) struct Assignment;

impl Resource for Assignment {
    type Message = proto::Assignment;

    const NAME: &'static str = "assignment";
    const TABLE: &'static str = "assignments";
    // Assignments end. They are never deleted, so `deleted_at` stays empty.
    const DERIVED: &'static [&'static str] = &["status", "deleted_at"];

    fn fields() -> &'static Fields<proto::Assignment> {
        &FIELDS
    }

    fn complete(assignment: &mut proto::Assignment, _: View) {
        assignment.status = match assignment.ended_at {
            None => AssignmentStatus::Active,
            Some(_) => AssignmentStatus::Ended,
        }
        .into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_contract_is_known() {
        let contract = clinic_proto::field_names("clinic.assignment.v1.Assignment");
        assert_eq!(clinic_resource::field_names::<Assignment>(), contract);
    }
}
