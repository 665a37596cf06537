//! Create, update, delete and undelete: one statement each.

use chrono::{DateTime, Utc};
use clinic_net::Context;
use clinic_proto::mask::Mask;
use clinic_server::origin;
use clinic_store::idempotency::{self, Request};
use clinic_store::{Arg, ChangeKind, Changes, Db, Insert, Origin, Query, Write, etag};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::field::Value;
use crate::read::{by_id, by_id_text, live, returning};
use crate::{Error, Record, Resource, Scope, View};

/// A record to create.
pub struct New<R: Resource> {
    pub id: Uuid,
    /// The fields that callers write.
    pub message: R::Message,
    /// Columns that the service sets.
    pub columns: Vec<(&'static str, Arg)>,
    /// The request id, if the client gave one.
    pub request: Option<Request>,
}

/// Creates a record, or returns the one that the same request created before. Fails if that one is
/// no longer in the scope.
pub async fn create<R: Resource>(
    db: &Db,
    origin: &Origin,
    scope: &Scope,
    new: New<R>,
) -> Result<R::Message, Error> {
    let New { id, message, columns, request } = new;
    let mut values: Vec<(&'static str, Arg)> = vec![
        ("id", id.into()),
        ("version", 1_i64.into()),
        ("created_at", origin.at.into()),
        ("updated_at", origin.at.into()),
    ];
    values.extend(columns);
    values.extend(written::<R>(message)?.into_iter().map(|value| (value.column, value.value)));
    let returning = returning::<R>();
    let insert = Insert { record: R::NAME, table: R::TABLE, id, values, returning };
    let find = |id| live::<R>(&by_id(id), scope, View::Full);
    let made: Record<R> = idempotency::create(db, origin, request.as_ref(), insert, find).await?;
    Ok(made.into_message(scope.view(View::Full).unwrap_or(View::Full)))
}

/// Finds the record that the same request created before. Fails if it is no longer in the scope.
pub async fn find_made<R: Resource>(
    db: &Db,
    request: &Request,
    scope: &Scope,
) -> Result<Option<R::Message>, Error> {
    let find = |id| live::<R>(&by_id(id), scope, View::Full);
    let found: Option<Record<R>> = request.find(db, find).await?;
    let view = scope.view(View::Full).unwrap_or(View::Full);
    Ok(found.map(|row| row.into_message(view)))
}

/// Returns the columns that a request writes.
fn written<R: Resource>(mut message: R::Message) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    for field in R::fields().all {
        field
            .take(&mut message, &mut values)
            .map_err(|invalid| Error::invalid_value(R::NAME, invalid))?;
    }
    Ok(values)
}

/// Returns the columns of the fields that an update's mask selects.
pub fn changes<R: Resource>(mask: &Mask, message: R::Message) -> Result<Changes, Error> {
    let values = written::<R>(message)?.into_iter();
    let selected = values.filter(|value| mask.selects(value.field, value.is_given));
    Ok(selected.map(|value| (value.column, value.value)).collect())
}

/// A condition that a record must meet to be changed, and the error if it does not.
pub struct Requires<E> {
    pub condition: Query,
    pub otherwise: E,
}

/// A change of one record.
pub struct Update<'a, E> {
    /// The condition that selects it, such as [`by_id`].
    pub which: Query,
    /// The records that the caller may change.
    pub scope: &'a Scope,
    /// The etag that the record must have; empty for any.
    pub etag: &'a str,
    /// In the order in which the errors are reported.
    pub requires: Vec<Requires<E>>,
    pub origin: Origin,
}

impl<'a, E: From<Error>> Update<'a, E> {
    /// Returns a change of the record with this id, which must not be deleted.
    pub fn of<R: Resource>(
        ctx: &Context,
        id: &str,
        scope: &'a Scope,
        etag: &'a str,
    ) -> Result<Self, E> {
        let is_live = |live: &'static str| Requires {
            condition: live.into(),
            otherwise: Error::NotFound.into(),
        };
        let requires = R::LIVE.map(is_live).into_iter().collect();
        Ok(Self { which: by_id_text(id)?, scope, etag, requires, origin: origin(ctx) })
    }
}

impl<E: From<Error>> Update<'_, E> {
    /// Writes these changes. `also` appends `, column = expression` for columns that depend on
    /// them. A record that already has all of the values does not change.
    pub async fn update<R: Resource>(
        self,
        db: &Db,
        changes: &Changes,
        also: impl FnOnce(&mut Query),
    ) -> Result<R::Message, E> {
        self.write::<R>(db, ChangeKind::Update, changes, also).await
    }

    /// Deletes the record.
    pub async fn delete<R: Resource>(self, db: &Db) -> Result<R::Message, E> {
        let deleted = Changes::default().set("deleted_at", self.origin.at);
        self.write::<R>(db, ChangeKind::Delete, &deleted, |_| ()).await
    }

    /// Undeletes the record.
    pub async fn undelete<R: Resource>(self, db: &Db) -> Result<R::Message, E> {
        let undeleted = Changes::default().set("deleted_at", None::<DateTime<Utc>>);
        self.write::<R>(db, ChangeKind::Undelete, &undeleted, |_| ()).await
    }

    async fn write<R: Resource>(
        self,
        db: &Db,
        kind: ChangeKind,
        changes: &Changes,
        also: impl FnOnce(&mut Query),
    ) -> Result<R::Message, E> {
        let mut query = changes.update(R::TABLE, self.origin.at, also);
        query.push(" AND (").append(&self.which).push(") AND ");
        self.scope.push(&mut query);
        for Requires { condition, .. } in &self.requires {
            query.push(" AND (").append(condition).push(")");
        }
        query.push(" AND ");
        etag::push_current(&mut query, self.etag);
        let write = Write::new(R::NAME, kind, query, returning::<R>());
        let written: Option<Record<R>> = db.save(&self.origin, write).await.map_err(Error::from)?;
        match written {
            Some(row) => Ok(row.into_message(View::Full)),
            None => self.untouched::<R>(db, changes).await,
        }
    }

    /// Returns the record if there was nothing to change, and otherwise the reason why it was not
    /// changed. If the caller may not change the record, the reason is always "not found".
    async fn untouched<R: Resource>(self, db: &Db, changes: &Changes) -> Result<R::Message, E> {
        let mut query = Query::new("SELECT ");
        query.append(&returning::<R>());
        for Requires { condition, .. } in &self.requires {
            query.push(", (").append(condition).push(") IS TRUE");
        }
        query.push(", ");
        etag::push_current(&mut query, self.etag);
        query.push(", ");
        changes.push_equals(&mut query);
        query.push(" FROM ").push(R::TABLE).push(" WHERE (").append(&self.which).push(") AND ");
        self.scope.push(&mut query);
        if let Some(live) = R::LIVE {
            // If an account has several records, the one that is not deleted counts.
            query.push(" ORDER BY NOT (").push(live).push(")");
        }
        query.push(" LIMIT 1");
        let found: Option<Untouched<R>> = db.fetch_optional(query).await.map_err(Error::from)?;
        let Untouched { row, facts } = found.ok_or(Error::NotFound)?;
        let mut facts = facts.into_iter();
        for Requires { otherwise, .. } in self.requires {
            if facts.next() == Some(false) {
                return Err(otherwise);
            }
        }
        match (facts.next(), facts.next()) {
            (Some(false), _) => Err(Error::Stale.into()),
            (_, Some(true)) => Ok(row.into_message(View::Full)),
            // Another write made it match after the UPDATE.
            _ => Err(Error::Store(clinic_store::Error::Conflict).into()),
        }
    }
}

/// A row that an update did not change, and the facts that tell why: whether each requirement is
/// met, whether the etag is current, and whether the row already has all of the new values.
struct Untouched<R: Resource> {
    row: Record<R>,
    facts: Vec<bool>,
}

macro_rules! from_row {
    ($row:ty) => {
        impl<'r, R: Resource> FromRow<'r, $row> for Untouched<R> {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                let facts = (R::fields().all.len()..row.len()).map(|at| row.try_get(at));
                let facts = facts.collect::<Result<_, _>>()?;
                Ok(Self { row: Record { is_full: None, ..Record::from_row(row)? }, facts })
            }
        }
    };
}

from_row!(PgRow);
from_row!(SqliteRow);
