//! What patients and doctors have in common as rows: they are made once or by a request id, found
//! within a scope, changed under an etag, deleted and undeleted. One statement each.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use clinic_identity::Principal;
use clinic_store::idempotency::{self, Request};
use clinic_store::{ChangeKind, Changes, Db, Origin, Query, Row, Write};
use uuid::Uuid;

use crate::access::{self, Scope};
use crate::columns::Column;
use crate::error::Error;
use crate::listing::Listed;
use clinic_store::etag;

/// A table, and what is read of its rows.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The kind of its records, as changes name it.
    pub(crate) record: &'static str,
    pub(crate) columns: &'static str,
}

/// Which record a request names.
#[derive(Clone, Copy)]
pub(crate) enum Which {
    /// The one with this id.
    Id(Uuid),
    /// `me`: the record of this account.
    OfUser(Uuid),
}

impl Which {
    /// Of a request's `id`, whose form was checked before.
    pub(crate) fn of(id: &str, principal: &Principal) -> Result<Self, Error> {
        if id == "me" {
            return principal.user_id().map(Self::OfUser).ok_or(Error::NotFound);
        }
        Uuid::parse_str(id).map(Self::Id).map_err(|_| Error::NotFound)
    }

    /// The same of an update. With id `me`, a `user_id` in the request must be the caller's own.
    pub(crate) fn of_update(id: &str, user_id: &str, principal: &Principal) -> Result<Self, Error> {
        match Self::of(id, principal)? {
            Self::OfUser(user) if !user_id.is_empty() && Uuid::parse_str(user_id) != Ok(user) => {
                Err(Error::NotFound)
            }
            which => Ok(which),
        }
    }

    fn push(self, query: &mut Query) {
        match self {
            Self::Id(id) => query.push("id = ").push_bind(id),
            Self::OfUser(user) => query.push("user_id = ").push_bind(user),
        };
    }
}

/// Owner and account of a new record. An account's record is made by auth and owned by nobody;
/// people own what they make, and tie it to no account. No other service makes records.
pub(crate) fn whose(
    principal: &Principal,
    user_id: &str,
    field: &'static str,
) -> Result<(Option<Uuid>, Option<Uuid>), Error> {
    match (principal.user_id(), user_id) {
        (Some(owner), "") => Ok((Some(owner), None)),
        (Some(_), _) => Err(Error::Invalid { field, message: "is set by internal services only" }),
        (None, _) if !access::is_registrar(principal) => Err(Error::RoleRequired),
        (None, user_id) => match Uuid::parse_str(user_id) {
            Ok(user) => Ok((None, Some(user))),
            Err(_) => Err(Error::Invalid { field, message: "is required of internal services" }),
        },
    }
}

/// A record to be made.
pub(crate) struct New {
    pub(crate) id: Uuid,
    pub(crate) owner_id: Option<Uuid>,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) columns: Vec<Column>,
}

impl New {
    fn insert(self, table: Table, now: DateTime<Utc>) -> Write {
        let mut values = vec![
            ("id", self.id.into()),
            ("version", 1_i64.into()),
            ("created_at", now.into()),
            ("updated_at", now.into()),
            ("owner_id", self.owner_id.into()),
            ("user_id", self.user_id.into()),
        ];
        values.extend(self.columns.into_iter().map(|column| (column.name, column.value)));
        Write::insert(table.record, table.name, self.id, values, table.columns)
    }
}

/// Makes a record, or answers with the one that the same request made before, when it is there and
/// in the scope.
pub(crate) async fn create<T: Row>(
    db: &Db,
    origin: &Origin,
    table: Table,
    request: Option<Request>,
    scope: &Scope,
    new: New,
) -> Result<T, Error> {
    let write = new.insert(table, origin.at);
    let get = |id| live(table, Which::Id(id), scope);
    Ok(idempotency::create(db, origin, request.as_ref(), write, get).await?)
}

/// A record that is not deleted.
pub(crate) async fn get<T: Row>(
    db: &Db,
    table: Table,
    which: Which,
    scope: &Scope,
) -> Result<T, Error> {
    db.find(live(table, which, scope)).await?.ok_or(Error::NotFound)
}

fn live(table: Table, which: Which, scope: &Scope) -> Query {
    let mut query = Query::new("SELECT ");
    query.push(table.columns).push(" FROM ").push(table.name).push(" WHERE ");
    which.push(&mut query);
    query.push(" AND ");
    scope.push_shown(&mut query, false);
    query
}

/// The records with these ids, in the order of the ids. One that is not there is an error, or left
/// out when it may be missing.
pub(crate) async fn batch_get<T: Listed>(
    db: &Db,
    table: Table,
    ids: &[String],
    scope: &Scope,
    allow_missing: bool,
) -> Result<Vec<T>, Error> {
    let ids: Vec<Uuid> = ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
    // The contract compares texts; the same id in upper and lower case is its hole.
    if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
        return Err(Error::Invalid { field: "ids", message: "must not name anything twice" });
    }
    let mut query = Query::new("SELECT ");
    query.push(table.columns).push(" FROM ").push(table.name).push(" WHERE id IN ");
    query.push_list(ids.iter().copied()).push(" AND ");
    scope.push_shown(&mut query, false);
    let found: Vec<T> = db.fetch_all(query).await?;
    let mut found: HashMap<Uuid, T> = found.into_iter().map(|row| (row.id(), row)).collect();
    let rows: Vec<T> = ids.iter().filter_map(|id| found.remove(id)).collect();
    if rows.len() < ids.len() && !allow_missing { Err(Error::NotFound) } else { Ok(rows) }
}

/// What a change begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// A record that is not deleted.
    Live,
    /// A deleted one.
    Deleted,
}

/// The account that a request says a record is of. It never changes.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    user_id: Uuid,
    /// Where the request says so.
    field: &'static str,
}

impl Account {
    /// Of a field whose form was checked before; none where it is empty.
    pub(crate) fn of(user_id: &str, field: &'static str) -> Option<Self> {
        Uuid::parse_str(user_id).ok().map(|user_id| Self { user_id, field })
    }
}

/// A change of one record.
pub(crate) struct Change<'a> {
    pub(crate) which: Which,
    pub(crate) scope: &'a Scope,
    /// Empty when the client does not mind what others did.
    pub(crate) etag: &'a str,
    /// Whose record it is for all that the request says.
    pub(crate) account: Option<Account>,
    pub(crate) before: Before,
    pub(crate) origin: Origin,
}

/// A row that a change did not touch, and the facts that tell why.
#[derive(sqlx::FromRow)]
struct Untouched<T> {
    #[sqlx(flatten)]
    row: T,
    /// Whether it is what the change begins with: deleted, or not deleted.
    is_before: bool,
    /// Whether it is the account's that the request names.
    is_of_account: bool,
    /// Whether it still is as it was when the etag was read.
    is_current: bool,
    /// Whether it already has all of the new values.
    is_changed: bool,
}

impl Change<'_> {
    /// Makes the change; `also` appends `, column = expression` for what follows from it. A row that
    /// has all of the values already stays as it is.
    pub(crate) async fn update<T: Row>(
        &self,
        db: &Db,
        table: Table,
        changes: &Changes,
        also: impl FnOnce(&mut Query),
    ) -> Result<T, Error> {
        self.write(db, table, ChangeKind::Update, changes, also).await
    }

    async fn write<T: Row>(
        &self,
        db: &Db,
        table: Table,
        kind: ChangeKind,
        changes: &Changes,
        also: impl FnOnce(&mut Query),
    ) -> Result<T, Error> {
        let mut query = changes.update(table.name, self.origin.at, also);
        query.push(" AND ");
        self.which.push(&mut query);
        query.push(" AND ");
        self.push_before(&mut query);
        query.push(" AND ");
        self.scope.push(&mut query);
        query.push(" AND ");
        self.push_account(&mut query);
        query.push(" AND ");
        etag::push_current(&mut query, self.etag);
        let write = Write::new(table.record, kind, query, table.columns);
        match db.save(&self.origin, write).await? {
            Some(row) => Ok(row),
            None => self.untouched(db, table, changes).await,
        }
    }

    /// Deletes the record.
    pub(crate) async fn delete<T: Row>(&self, db: &Db, table: Table) -> Result<T, Error> {
        let deleted = Changes::default().set("deleted_at", self.origin.at);
        self.write(db, table, ChangeKind::Delete, &deleted, |_| ()).await
    }

    /// Brings a deleted record back.
    pub(crate) async fn undelete<T: Row>(&self, db: &Db, table: Table) -> Result<T, Error> {
        let undeleted = Changes::default().set("deleted_at", None::<DateTime<Utc>>);
        self.write(db, table, ChangeKind::Undelete, &undeleted, |_| ()).await
    }

    fn push_before(&self, query: &mut Query) {
        query.push(match self.before {
            Before::Live => "deleted_at IS NULL",
            Before::Deleted => "deleted_at IS NOT NULL",
        });
    }

    fn push_account(&self, query: &mut Query) {
        match self.account {
            None => query.push("TRUE"),
            // Not `=`, which is NULL for a row without an account.
            Some(Account { user_id, .. }) => {
                query.push("NOT (user_id IS DISTINCT FROM ").push_bind(user_id).push(")")
            }
        };
    }

    /// Returns the row that the statement did not touch if there was nothing to change, and otherwise
    /// the reason why it was not changed. Without a row that the caller may change it is always "not
    /// found".
    async fn untouched<T: Row>(
        &self,
        db: &Db,
        table: Table,
        changes: &Changes,
    ) -> Result<T, Error> {
        let mut query = Query::new("SELECT ");
        query.push(table.columns).push(", ");
        self.push_before(&mut query);
        query.push(" AS is_before, ");
        self.push_account(&mut query);
        query.push(" AS is_of_account, ");
        etag::push_current(&mut query, self.etag);
        query.push(" AS is_current, ");
        changes.push_are_there(&mut query);
        query.push(" AS is_changed FROM ").push(table.name).push(" WHERE ");
        self.which.push(&mut query);
        query.push(" AND ");
        self.scope.push(&mut query);
        // Of an account's records the one that is not deleted counts.
        query.push(" ORDER BY deleted_at IS NOT NULL LIMIT 1");
        let found: Option<Untouched<T>> = db.fetch_optional(query).await?;
        let Some(found) = found else { return Err(Error::NotFound) };
        Err(match (self.before, self.account) {
            (Before::Live, _) if !found.is_before => Error::NotFound,
            (Before::Deleted, _) if !found.is_before => Error::NotDeleted,
            (_, Some(Account { field, .. })) if !found.is_of_account => {
                Error::Invalid { field, message: "cannot be changed" }
            }
            _ if !found.is_current => Error::Stale,
            _ if found.is_changed => return Ok(found.row),
            // It came to be what it should be after the statement that did not find it so.
            _ => Error::Store(clinic_store::Error::Conflict),
        })
    }
}
