//! Get and batch get.

use std::collections::{HashMap, HashSet};

use clinic_store::{Db, Query};
use uuid::Uuid;

use crate::{Error, Found, Resource, Scope, View};

/// The condition that selects a record by its id.
pub fn by_id(id: Uuid) -> Query {
    let mut condition = Query::new("id = ");
    condition.push_bind(id);
    condition
}

/// Reads the record of this condition that is not deleted.
pub async fn get<R: Resource>(
    db: &Db,
    which: &Query,
    scope: &Scope,
    asked: View,
) -> Result<R::Message, Error> {
    let found: Option<Found<R>> = db.find(live::<R>(which, scope, asked)).await?;
    Ok(found.ok_or(Error::NotFound)?.into_message(scope.view(asked).unwrap_or(asked)))
}

/// Reads the records with these ids, in the order of the ids. One that is not there is an error, or
/// left out when it may be missing.
pub async fn batch_get<R: Resource>(
    db: &Db,
    ids: &[String],
    scope: &Scope,
    asked: View,
    allow_missing: bool,
) -> Result<Vec<R::Message>, Error> {
    let ids: Vec<Uuid> = ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
    // The contract compares texts, so it lets the same id in upper and lower case through.
    if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
        let message = "must not name anything twice";
        return Err(Error::Invalid { field: "ids".to_owned(), message });
    }
    let mut which = Query::new("id IN ");
    which.push_list(ids.iter().copied());
    let found: Vec<Found<R>> = db.fetch_all(live::<R>(&which, scope, asked)).await?;
    let mut found: HashMap<Uuid, Found<R>> = found.into_iter().map(|row| (row.id, row)).collect();
    let rows: Vec<Found<R>> = ids.iter().filter_map(|id| found.remove(id)).collect();
    if rows.len() < ids.len() && !allow_missing {
        return Err(Error::NotFound);
    }
    let view = scope.view(asked).unwrap_or(asked);
    Ok(rows.into_iter().map(|row| row.into_message(view)).collect())
}

/// Selects the rows of this condition and this scope that are not deleted.
pub(crate) fn live<R: Resource>(which: &Query, scope: &Scope, asked: View) -> Query {
    let mut query = select::<R>(scope, asked);
    query.push(" WHERE (").append(which).push(") AND ");
    scope.push_shown(&mut query, R::LIVE, false);
    query
}

/// `SELECT … FROM table`, with what the caller may see and has asked for.
pub(crate) fn select<R: Resource>(scope: &Scope, asked: View) -> Query {
    let view = scope.view(asked);
    let mut query = Query::new("SELECT ");
    query.push(R::fields().columns(view != Some(View::Basic)));
    if view.is_none() {
        query.push(", ");
        scope.push_is_full(&mut query);
    }
    query.push(" FROM ").push(R::TABLE);
    query
}

/// What a write returns: everything.
pub(crate) fn returning<R: Resource>() -> Query {
    Query::new(R::fields().columns(true))
}
