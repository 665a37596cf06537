//! The table of assignments: made once or by a request id, found within a scope, changed under an
//! etag. One statement each; the pages are in `listing`.

use chrono::{DateTime, Utc};
use clinic_store::idempotency::{self, Request};
use clinic_store::{ChangeKind, Changes, Db, Origin, Query, Write};
use uuid::Uuid;

use super::model::{self, Assignment};
use crate::access::Scope;
use crate::error::Error;
use clinic_store::etag;

/// What is read of a row. Whose it is decides the statement, and nobody after it.
pub(super) const COLUMNS: &str = "id, version, created_at, updated_at, patient_id, doctor_id, \
    assigned_by, reason_for_visit, notes, started_at, ended_at";

/// An assignment to be made.
pub(super) struct New {
    pub(super) id: Uuid,
    pub(super) patient_id: Uuid,
    pub(super) doctor_id: Uuid,
    pub(super) patient_owner_id: Option<Uuid>,
    pub(super) patient_user_id: Option<Uuid>,
    pub(super) doctor_user_id: Option<Uuid>,
    pub(super) assigned_by: Uuid,
    pub(super) reason_for_visit: String,
    pub(super) notes: String,
}

impl New {
    fn insert(self, now: DateTime<Utc>) -> Write {
        let values = vec![
            ("id", self.id.into()),
            ("version", 1_i64.into()),
            ("created_at", now.into()),
            ("updated_at", now.into()),
            ("patient_id", self.patient_id.into()),
            ("doctor_id", self.doctor_id.into()),
            ("patient_owner_id", self.patient_owner_id.into()),
            ("patient_user_id", self.patient_user_id.into()),
            ("doctor_user_id", self.doctor_user_id.into()),
            ("assigned_by", self.assigned_by.into()),
            ("reason_for_visit", self.reason_for_visit.into()),
            ("notes", self.notes.into()),
            ("ended", false.into()),
            ("started_at", now.into()),
        ];
        Write::insert("assignment", "assignments", self.id, values, COLUMNS)
    }
}

/// The assignment of the scope that the same request made before, if the request was here.
pub(super) async fn find_made_by(
    db: &Db,
    request: &Request,
    scope: &Scope,
) -> Result<Option<Assignment>, Error> {
    Ok(request.find(db, |id| by_id(id, scope)).await?)
}

/// Makes an assignment, or answers with the one that the same request made before: also when that
/// one is in force, which the unique index would refuse.
pub(super) async fn create(
    db: &Db,
    origin: &Origin,
    request: Option<Request>,
    scope: &Scope,
    new: New,
) -> Result<Assignment, Error> {
    let write = new.insert(origin.at);
    Ok(idempotency::create(db, origin, request.as_ref(), write, |id| by_id(id, scope)).await?)
}

/// An assignment of the scope.
pub(super) async fn get(db: &Db, id: Uuid, scope: &Scope) -> Result<Assignment, Error> {
    db.find(by_id(id, scope)).await?.ok_or(Error::NotFound)
}

fn by_id(id: Uuid, scope: &Scope) -> Query {
    let mut query = Query::new("SELECT ");
    query.push(COLUMNS).push(" FROM assignments WHERE id = ").push_bind(id).push(" AND ");
    scope.push(&mut query);
    query
}

/// A change of one assignment.
pub(super) struct Change<'a> {
    pub(super) id: Uuid,
    pub(super) scope: &'a Scope,
    /// Empty when the client does not mind what others did.
    pub(super) etag: &'a str,
    /// Whom it is about for all that the request says.
    pub(super) about: About,
    pub(super) origin: Origin,
}

/// Who treats whom, as far as a request says so. It never changes.
#[derive(Default)]
pub(super) struct About {
    pub(super) patient_id: Option<Uuid>,
    pub(super) doctor_id: Option<Uuid>,
}

impl About {
    /// What of it is not so.
    fn contradiction(&self, row: &Assignment) -> Option<Error> {
        let message = "cannot be changed: end this assignment and make another";
        let differs = |said: Option<Uuid>, is: Uuid| said.is_some_and(|said| said != is);
        if differs(self.patient_id, row.patient_id) {
            return Some(Error::Invalid { field: "assignment.patient_id", message });
        }
        differs(self.doctor_id, row.doctor_id)
            .then_some(Error::Invalid { field: "assignment.doctor_id", message })
    }
}

impl Change<'_> {
    /// Makes these changes, unless the assignment has ended. Where there is nothing to change it
    /// stays as it is.
    pub(super) async fn update(
        &self,
        db: &Db,
        changes: &model::Changes,
    ) -> Result<Assignment, Error> {
        let model::Changes { reason_for_visit, notes } = changes;
        let texts = [("reason_for_visit", reason_for_visit), ("notes", notes)];
        let given = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?.into())));
        if let Some(row) = self.write(db, given.collect()).await? {
            return Ok(row);
        }
        let row = get(db, self.id, self.scope).await?;
        match self.about.contradiction(&row) {
            Some(error) => Err(error),
            None if row.has_ended() => Err(Error::Ended),
            None if etag::is_current(self.etag, row.version) && changes.are_in(&row) => Ok(row),
            None => Err(self.lost()),
        }
    }

    /// Ends the assignment. One that has ended stays as it is.
    pub(super) async fn end(&self, db: &Db) -> Result<Assignment, Error> {
        let ended = Changes::default().set("ended", true).set("ended_at", self.origin.at);
        if let Some(row) = self.write(db, ended).await? {
            return Ok(row);
        }
        let row = get(db, self.id, self.scope).await?;
        if row.has_ended() && etag::is_current(self.etag, row.version) {
            Ok(row)
        } else {
            Err(self.lost())
        }
    }

    /// None when there is no such assignment in force, it is not as it was, or there is nothing to
    /// change.
    async fn write(&self, db: &Db, changes: Changes) -> Result<Option<Assignment>, Error> {
        let mut query = changes.update("assignments", self.origin.at, |_| ());
        query.push(" AND id = ").push_bind(self.id).push(" AND NOT ended AND ");
        self.scope.push(&mut query);
        for (column, said) in [
            (" AND patient_id = ", self.about.patient_id),
            (" AND doctor_id = ", self.about.doctor_id),
        ] {
            if let Some(said) = said {
                query.push(column).push_bind(said);
            }
        }
        query.push(" AND ");
        etag::push_current(&mut query, self.etag);
        let write = Write::new("assignment", ChangeKind::Update, query, COLUMNS);
        Ok(db.save(&self.origin, write).await?)
    }

    /// Why an assignment was not changed that is there and may be changed.
    fn lost(&self) -> Error {
        if self.etag.is_empty() {
            // It was made after the statement that did not find it.
            Error::Store(clinic_store::Error::Conflict)
        } else {
            Error::Stale
        }
    }
}
