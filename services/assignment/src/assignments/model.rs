//! Between the contract's `Assignment` and the table's row.

use chrono::{DateTime, Utc};
use clinic_identity::Principal;
use clinic_proto::assignment::v1::{self as proto, AssignmentStatus};
use clinic_proto::time::timestamp;
use uuid::Uuid;

use crate::error::Error;
use clinic_proto::mask::Mask;
use clinic_store::etag::etag;

/// A row. Has no `Debug`: it is private data.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct Assignment {
    pub(super) id: Uuid,
    pub(super) version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    pub(super) patient_id: Uuid,
    pub(super) doctor_id: Uuid,
    assigned_by: Uuid,
    reason_for_visit: String,
    notes: String,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl Assignment {
    /// Whether it is in force no more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    pub(super) fn into_proto(self) -> proto::Assignment {
        let status = match self.ended_at {
            None => AssignmentStatus::Active,
            Some(_) => AssignmentStatus::Ended,
        };
        let Self { id, version, created_at, updated_at, patient_id, doctor_id, .. } = self;
        let Self { assigned_by, reason_for_visit, notes, started_at, ended_at, .. } = self;
        proto::Assignment {
            id: id.to_string(),
            etag: etag(version),
            created_at: Some(timestamp(created_at)),
            updated_at: Some(timestamp(updated_at)),
            deleted_at: None,
            patient_id: patient_id.to_string(),
            doctor_id: doctor_id.to_string(),
            assigned_by: assigned_by.to_string(),
            reason_for_visit,
            notes,
            status: status.into(),
            started_at: Some(timestamp(started_at)),
            ended_at: ended_at.map(timestamp),
        }
    }
}

/// What a Create asks for.
pub(super) struct Asked {
    pub(super) patient_id: Uuid,
    pub(super) doctor_id: Uuid,
    pub(super) reason_for_visit: String,
    pub(super) notes: String,
}

/// What an update changes; `None` stays as it is.
pub(super) struct Changes {
    pub(super) reason_for_visit: Option<String>,
    pub(super) notes: Option<String>,
}

/// What callers may write. Destructured in full, so that a new field of the contract cannot be
/// forgotten here.
impl TryFrom<proto::Assignment> for Asked {
    type Error = Error;

    fn try_from(assignment: proto::Assignment) -> Result<Self, Error> {
        let proto::Assignment {
            patient_id,
            doctor_id,
            reason_for_visit,
            notes,
            // By whom and since when is not the caller's to say.
            id: _,
            etag: _,
            created_at: _,
            updated_at: _,
            deleted_at: _,
            assigned_by: _,
            status: _,
            started_at: _,
            ended_at: _,
        } = assignment;
        let id = |field, text: &str| {
            Uuid::parse_str(text)
                .map_err(|_| Error::Invalid { field, message: "must be the UUID of a record" })
        };
        Ok(Self {
            patient_id: id("assignment.patient_id", &patient_id)?,
            doctor_id: id("assignment.doctor_id", &doctor_id)?,
            reason_for_visit: reason_for_visit.trim().to_owned(),
            notes: notes.trim().to_owned(),
        })
    }
}

impl Changes {
    /// Of an update's assignment, by its mask.
    pub(super) fn of(mask: &Mask, assignment: &proto::Assignment) -> Self {
        Self {
            reason_for_visit: mask.text("reason_for_visit", &assignment.reason_for_visit),
            notes: mask.text("notes", &assignment.notes),
        }
    }

    /// Whether an assignment already has these values.
    pub(super) fn are_in(&self, row: &Assignment) -> bool {
        let Self { reason_for_visit, notes } = self;
        reason_for_visit.as_ref().is_none_or(|reason| *reason == row.reason_for_visit)
            && notes.as_ref().is_none_or(|notes| *notes == row.notes)
    }
}

/// A patient or doctor that a list is restricted to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one with this id.
    Id(Uuid),
    /// `me`: the one whose account this is.
    OfUser(Uuid),
}

impl Which {
    /// Of a filter, whose form was checked before; an empty one does not restrict.
    pub(super) fn of(id: &str, principal: &Principal) -> Result<Option<Self>, Error> {
        match id {
            "" => Ok(None),
            "me" => principal.user_id().map(|user| Some(Self::OfUser(user))).ok_or(Error::NotFound),
            id => Uuid::parse_str(id).map(|id| Some(Self::Id(id))).map_err(|_| Error::NotFound),
        }
    }
}

/// Whether an assignment is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The doctor treats the patient.
    Active,
    /// The doctor treated the patient.
    Ended,
}

impl State {
    /// Of a filter; `Unspecified` does not restrict.
    pub(super) fn of(status: AssignmentStatus) -> Option<Self> {
        match status {
            AssignmentStatus::Unspecified => None,
            AssignmentStatus::Active => Some(Self::Active),
            AssignmentStatus::Ended => Some(Self::Ended),
        }
    }
}

/// What a list is restricted to.
#[derive(Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) patient: Option<Which>,
    pub(super) doctor: Option<Which>,
    pub(super) state: Option<State>,
}
