//! Get and batch get.

use std::collections::{HashMap, HashSet};

use clinic_store::{Db, Query};
use uuid::Uuid;

use crate::row::IS_FULL;
use crate::{Error, Record, Resource, Scope, View};

/// Returns the condition that selects a record by its id.
pub fn by_id(id: Uuid) -> Query {
    let mut condition = Query::new("id = ");
    condition.push_bind(id);
    condition
}

/// Returns the condition that selects the record with a request's `id`, which has been validated.
pub fn by_id_text(id: &str) -> Result<Query, Error> {
    Uuid::parse_str(id).map(by_id).map_err(|_| Error::NotFound)
}

/// Reads the record that matches this condition and is not deleted.
pub async fn get<R: Resource>(
    db: &Db,
    which: &Query,
    scope: &Scope,
    asked: View,
) -> Result<R::Message, Error> {
    let found: Option<Record<R>> = db.find(live::<R>(which, scope, asked)).await?;
    Ok(found.ok_or(Error::NotFound)?.into_message(scope.view(asked).unwrap_or(asked)))
}

/// Reads the records with these ids, in the order of the ids. A missing record is an error unless
/// `allow_missing` is set.
pub async fn batch_get<R: Resource>(
    db: &Db,
    ids: &[String],
    scope: &Scope,
    asked: View,
    allow_missing: bool,
) -> Result<Vec<R::Message>, Error> {
    let ids: Vec<Uuid> = ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
    // The contract's rule compares text, so it accepts the same id in upper and lower case.
    if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
        let message = "must not contain duplicates";
        return Err(Error::Invalid { field: "ids".to_owned(), message });
    }
    let mut which = Query::new("id IN ");
    which.push_list(ids.iter().copied());
    let found: Vec<Record<R>> = db.fetch_all(live::<R>(&which, scope, asked)).await?;
    let mut found: HashMap<Uuid, Record<R>> = found.into_iter().map(|row| (row.id, row)).collect();
    let rows: Vec<Record<R>> = ids.iter().filter_map(|id| found.remove(id)).collect();
    if rows.len() < ids.len() && !allow_missing {
        return Err(Error::NotFound);
    }
    let view = scope.view(asked).unwrap_or(asked);
    Ok(rows.into_iter().map(|row| row.into_message(view)).collect())
}

/// Selects the rows that match this condition, are in this scope and are not deleted.
pub(crate) fn live<R: Resource>(which: &Query, scope: &Scope, asked: View) -> Query {
    let mut query = select::<R>(scope, asked);
    query.push(" WHERE (").append(which).push(") AND ");
    scope.push_shown(&mut query, R::LIVE, false);
    query
}

/// Returns `SELECT … FROM table` with the columns that the caller asked for and may see.
pub(crate) fn select<R: Resource>(scope: &Scope, asked: View) -> Query {
    let view = scope.view(asked);
    let mut query = Query::new("SELECT ");
    query.push(R::fields().columns(view != Some(View::Basic)));
    if view.is_none() {
        query.push(", ");
        scope.push_is_full(&mut query);
        query.push(" AS ").push(IS_FULL);
    }
    query.push(" FROM ").push(R::TABLE);
    query
}

/// Returns the column list of a RETURNING: all columns.
pub(crate) fn returning<R: Resource>() -> Query {
    Query::new(R::fields().columns(true))
}
