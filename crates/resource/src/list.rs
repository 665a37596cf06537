//! Lists: keyset pagination and counts. The cost of a page does not grow with the table: each
//! statement reads index ranges and stops when the page is full.

use clinic_identity::Principal;
use clinic_store::page::{self, Cursor};
use clinic_store::{Db, Query};
use prost::Message;
use uuid::Uuid;

use crate::read::select;
use crate::{Error, Record, Resource, Scope, View};

/// Maximum rows per statement. A row can have 84 KB, so at most 5 MiB are read that do not fit into
/// the page. The statements of a page do not share a snapshot: a record that is renamed meanwhile
/// can appear twice or not at all, as it can on two pages.
const ROWS: i64 = 64;

/// A part of a list. The parts follow one another, each in its own order.
pub struct Part {
    /// The column that its rows are sorted by before the id.
    pub key: Option<&'static str>,
    /// Its order, such as `last_name_key, id`.
    pub order: &'static str,
    /// The index ranges whose union is the part.
    pub ranges: Vec<Range>,
}

/// A range of an index.
pub struct Range {
    /// The condition of its rows.
    pub condition: Query,
    /// The order of the index, if it does not begin with the columns of the part's order.
    pub order: Option<Query>,
}

/// The records of a list and their order.
pub trait Listing: Sync {
    /// Returns a part of the list by its number, or the rest of the part after a cursor. Page
    /// tokens contain the numbers, so they must stay the same in later releases.
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part>;

    /// Returns the condition of all rows of the list.
    fn condition(&self) -> Query;
}

/// A list of records.
pub struct List<'a, L> {
    /// The records that the caller may see.
    pub scope: &'a Scope,
    pub asked: View,
    pub listing: L,
}

/// The records of a scope that are not deleted, in order of creation. An index of the column of each
/// arm and the id serves it.
pub struct Created<'a> {
    scope: &'a Scope,
    live: Option<&'static str>,
}

impl<'a> List<'a, Created<'a>> {
    /// Returns the list of all records in a scope.
    pub fn created<R: Resource>(scope: &'a Scope) -> Self {
        Self { scope, asked: View::Full, listing: Created { scope, live: R::LIVE } }
    }
}

impl Listing for Created<'_> {
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part> {
        let after = after.map_or(Uuid::nil(), |cursor| cursor.id);
        let range = |arm: Scope| {
            let mut condition = Query::empty();
            arm.push_shown(&mut condition, self.live, false);
            condition.push(" AND id > ").push_bind(after);
            Range { condition, order: None }
        };
        let ranges = self.scope.arms().map(range).collect();
        (number == 0).then_some(Part { key: None, order: "id", ranges })
    }

    fn condition(&self) -> Query {
        let mut query = Query::empty();
        self.scope.push_shown(&mut query, self.live, false);
        query
    }
}

/// A page of a list.
pub struct Page<R: Resource> {
    rows: Vec<(Cursor, Record<R>)>,
    next: Option<Cursor>,
    view: View,
}

/// Returns the fingerprint of the query that a page token belongs to: the method, its filters, the
/// caller and the caller's roles.
pub fn fingerprint(principal: &Principal, method: &str, filters: &[&[u8]]) -> Vec<u8> {
    let (id, roles) = (principal.id(), principal.roles().bits().to_be_bytes());
    let mut parts = vec![method.as_bytes(), id.as_bytes(), &roles];
    parts.extend_from_slice(filters);
    page::fingerprint(&parts)
}

/// Reads a request's page token, which is empty for the first page.
pub fn after(
    tokens: &page::Tokens,
    token: &str,
    fingerprint: &[u8],
) -> Result<Option<Cursor>, Error> {
    Ok(tokens.after(token, fingerprint)?)
}

impl<L: Listing> List<'_, L> {
    /// Reads a page.
    pub async fn page<R: Resource>(
        &self,
        db: &Db,
        size: i64,
        after: Option<Cursor>,
    ) -> Result<Page<R>, Error> {
        // One extra row tells whether another page follows.
        let mut wanted = size + 1;
        let (mut rows, mut measured, mut bytes, mut is_read) = (Vec::new(), 0, 0, false);
        let mut number = after.as_ref().map_or(0, |cursor| cursor.branch);
        let mut after = after;
        let _permit = db.long_read().await?;
        while wanted > 0 && bytes <= page::MAX_BYTES {
            let Some(part) = self.listing.part(number, after.as_ref()) else {
                is_read = true;
                break;
            };
            let limit = wanted.min(ROWS);
            let found: Vec<Record<R>> = match self.select::<R>(&part, limit) {
                Some(query) => db.fetch_all(query).await?,
                None => Vec::new(),
            };
            let count = i64::try_from(found.len()).unwrap_or(limit);
            wanted -= count;
            rows.reserve(found.len());
            for mut row in found {
                let key = row.key(part.key)?;
                rows.push((Cursor { branch: number, id: row.id, key }, row));
            }
            if count < limit {
                (number, after) = (number.saturating_add(1), None);
            } else {
                after = rows.last().map(|(cursor, _)| cursor.clone());
            }
            if wanted > 0 {
                let read = rows.get(measured..).unwrap_or_default();
                bytes += read.iter().map(|(_, row)| row.message.encoded_len()).sum::<usize>();
                measured = rows.len();
            }
        }
        let is_cut = wanted == 0 || (bytes > page::MAX_BYTES && !is_read);
        rows.truncate(usize::try_from(size).unwrap_or_default());
        let next = rows.last().filter(|_| is_cut).map(|(cursor, _)| cursor.clone());
        Ok(Page { rows, next, view: self.scope.view(self.asked).unwrap_or(self.asked) })
    }

    /// Counts the records on all pages.
    pub async fn count<R: Resource>(&self, db: &Db) -> Result<i64, Error> {
        let mut query = Query::new("SELECT COUNT(*) FROM ");
        query.push(R::TABLE).push(" WHERE (").append(&self.listing.condition()).push(") AND ");
        self.scope.push(&mut query);
        let (count,) = db.fetch_one(query).await?;
        Ok(count)
    }

    /// Counts the records on all pages if `wanted` is set.
    pub async fn total<R: Resource>(&self, db: &Db, wanted: bool) -> Result<Option<i64>, Error> {
        if wanted { self.count::<R>(db).await.map(Some) } else { Ok(None) }
    }

    /// Returns the statement that reads rows of a part; `None` if the part has no ranges.
    pub fn select<R: Resource>(&self, part: &Part, limit: i64) -> Option<Query> {
        let mut query = select::<R>(self.scope, self.asked);
        query.push(" WHERE ");
        match part.ranges.as_slice() {
            [] => return None,
            [range] => {
                query.append(&range.condition).push(" AND ");
                self.push_scope(&mut query);
                range.push_order(part, &mut query, limit);
                return Some(query);
            }
            ranges => {
                // An OR would scan all rows for a caller who can see only a few of them. Each range
                // yields at most `limit` rows.
                for (at, range) in ranges.iter().enumerate() {
                    query.push(if at == 0 { "id IN (" } else { " UNION " });
                    query.push("SELECT id FROM (SELECT id FROM ").push(R::TABLE).push(" WHERE ");
                    query.append(&range.condition);
                    range.push_order(part, &mut query, limit);
                    query.push(") AS part");
                }
            }
        }
        query.push(") AND ");
        self.push_scope(&mut query);
        query.push(" ORDER BY ").push(part.order).push_limit(limit);
        Some(query)
    }

    /// Appends the condition that a row is in the scope, whatever the ranges are. No index serves
    /// the condition in this form, so the ranges determine which index the database uses.
    fn push_scope(&self, query: &mut Query) {
        self.scope.push(query);
        query.push(" IS TRUE");
    }
}

impl Range {
    fn push_order(&self, part: &Part, query: &mut Query, limit: i64) {
        query.push(" ORDER BY ");
        match &self.order {
            Some(order) => query.append(order),
            None => query.push(part.order),
        };
        query.push_limit(limit);
    }
}

impl<R: Resource> Record<R> {
    /// Returns the value of a key column. A cursor without it would lead to the same rows again.
    fn key(&mut self, column: Option<&str>) -> Result<Vec<u8>, Error> {
        let Some(column) = column else { return Ok(Vec::new()) };
        let key = R::fields().all.iter().find_map(|field| field.key_in(column, &mut self.message));
        key.ok_or(Error::Defect("a list is sorted by a column that is not a name key"))
    }
}

impl<R: Resource> Page<R> {
    /// Returns the messages, so that the caller can look up related records.
    pub fn messages(&self) -> impl Iterator<Item = &R::Message> {
        self.rows.iter().map(|(_, row)| &row.message)
    }

    /// Returns the position of the next page.
    pub fn next(&self) -> Option<&Cursor> {
        self.next.as_ref()
    }

    /// Returns the items of the response, as many as fit, and the token of the next page.
    pub fn into_items<T: Message>(
        self,
        tokens: &page::Tokens,
        fingerprint: &[u8],
        item: impl Fn(R::Message) -> T,
    ) -> Result<(Vec<T>, String), Error> {
        let Self { rows, next, view } = self;
        let items = rows.into_iter().map(|(at, row)| (at, item(row.into_message(view)))).collect();
        let (items, next) =
            page::fit(items, next, |(_, item)| item.encoded_len(), |(at, _)| at.clone());
        let token = tokens.token(next.as_ref(), fingerprint)?;
        Ok((items.into_iter().map(|(_, item)| item).collect(), token))
    }
}
