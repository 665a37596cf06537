//! Lists: pages by keyset, and counts. The cost of a page does not grow with the table: each
//! statement reads ranges of indexes, and stops when the page is full.

use clinic_identity::Principal;
use clinic_store::page::{self, Cursor};
use clinic_store::{Db, Query};
use prost::Message;

use crate::read::select;
use crate::{Error, Found, Resource, Scope, View};

/// Rows that one statement reads at most. A row can have 84 KB, so what does not fit into a page is
/// not more than 5 MiB.
const ROWS: i64 = 64;

/// A part of a list. The parts follow one another, each in its own order.
pub struct Part {
    /// The column that its rows are sorted by before the id.
    pub key: Option<&'static str>,
    /// Its order, as `last_name_key, id`.
    pub order: &'static str,
    /// Ranges of indexes whose union it is.
    pub ranges: Vec<Range>,
}

/// A range of an index.
pub struct Range {
    /// The condition of its rows.
    pub condition: Query,
    /// The columns by which the index sorts them, if they begin with others than the part's order.
    pub order: Option<Query>,
}

/// Gives a part of a list by its number, or the rest of it after a cursor.
pub type Parts<'a> = Box<dyn Fn(u8, Option<&Cursor>) -> Option<Part> + Send + Sync + 'a>;

/// A list of records.
pub struct List<'a> {
    /// The records that the caller may see.
    pub scope: &'a Scope,
    pub asked: View,
    /// The condition of all its rows.
    pub condition: Query,
    /// Its parts, numbered from 0.
    pub part: Parts<'a>,
}

/// A page of a list.
pub struct Page<R: Resource> {
    rows: Vec<(Cursor, Found<R>)>,
    next: Option<Cursor>,
}

/// What a page token belongs to: the method, its filters, and the caller with the caller's roles.
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

impl List<'_> {
    /// Reads a page.
    pub async fn page<R: Resource>(
        &self,
        db: &Db,
        size: i64,
        after: Option<Cursor>,
    ) -> Result<Page<R>, Error> {
        // One row more than the page tells whether another page follows.
        let mut wanted = size + 1;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut number = after.as_ref().map_or(0, |cursor| cursor.branch);
        let mut after = after;
        while wanted > 0 && bytes <= page::MAX_BYTES {
            let Some(part) = (self.part)(number, after.as_ref()) else { break };
            let limit = wanted.min(ROWS);
            let found: Vec<Found<R>> = match self.select::<R>(&part, limit) {
                Some(query) => db.fetch_all(query).await?,
                None => Vec::new(),
            };
            let count = i64::try_from(found.len()).unwrap_or(limit);
            wanted -= count;
            for mut row in found {
                bytes += row.message.encoded_len();
                let key = part.key.and_then(|key| row.key(key)).unwrap_or_default();
                rows.push((Cursor { branch: number, id: row.id, key }, row));
            }
            if count < limit {
                (number, after) = (number.saturating_add(1), None);
            } else {
                after = rows.last().map(|(cursor, _)| cursor.clone());
            }
        }
        let is_cut = wanted == 0 || bytes > page::MAX_BYTES;
        rows.truncate(usize::try_from(size).unwrap_or_default());
        let next = rows.last().filter(|_| is_cut).map(|(cursor, _)| cursor.clone());
        Ok(Page { rows, next })
    }

    /// Counts the records on all pages.
    pub async fn count<R: Resource>(&self, db: &Db) -> Result<i64, Error> {
        let mut query = Query::new("SELECT COUNT(*) FROM ");
        query.push(R::TABLE).push(" WHERE ").append(&self.condition);
        let (count,) = db.fetch_one(query).await?;
        Ok(count)
    }

    /// The statement that reads rows of a part; none when there are none to see.
    pub fn select<R: Resource>(&self, part: &Part, limit: i64) -> Option<Query> {
        let mut query = select::<R>(self.scope, self.asked);
        query.push(" WHERE ");
        match part.ranges.as_slice() {
            [] => return None,
            [range] => {
                range.push(part, &mut query, limit);
                return Some(query);
            }
            ranges => {
                // A disjunction would be a scan of everybody's rows for a caller who sees few of them.
                // Each range alone yields as many rows as can be on the page.
                for (at, range) in ranges.iter().enumerate() {
                    query.push(if at == 0 { "id IN (" } else { " UNION " });
                    query.push("SELECT id FROM (SELECT id FROM ").push(R::TABLE).push(" WHERE ");
                    range.push(part, &mut query, limit);
                    query.push(") AS part");
                }
            }
        }
        query.push(") ORDER BY ").push(part.order).push(" LIMIT ").push_bind(limit);
        Some(query)
    }
}

impl Range {
    fn push(&self, part: &Part, query: &mut Query, limit: i64) {
        query.append(&self.condition).push(" ORDER BY ");
        match &self.order {
            Some(order) => query.append(order),
            None => query.push(part.order),
        };
        query.push(" LIMIT ").push_bind(limit);
    }
}

impl<R: Resource> Found<R> {
    /// The value of a key column.
    fn key(&mut self, column: &str) -> Option<Vec<u8>> {
        R::FIELDS.iter().find_map(|field| field.key_in(column, &mut self.message))
    }
}

impl<R: Resource> Page<R> {
    /// The messages, for looking up what belongs to them.
    pub fn messages(&self) -> impl Iterator<Item = &R::Message> {
        self.rows.iter().map(|(_, row)| &row.message)
    }

    /// Where the next page begins.
    pub fn next(&self) -> Option<&Cursor> {
        self.next.as_ref()
    }

    /// The items of the response, as many as fit, and the token of the next page.
    pub fn into_items<T: Message>(
        self,
        asked: View,
        tokens: &page::Tokens,
        fingerprint: &[u8],
        item: impl Fn(R::Message) -> T,
    ) -> Result<(Vec<T>, String), Error> {
        let rows = self.rows.into_iter();
        let items = rows.map(|(cursor, row)| (cursor, item(row.into_message(asked)))).collect();
        let (items, next) =
            page::fit(items, self.next, |(_, item)| item.encoded_len(), |(at, _)| at.clone());
        let token = tokens.token(next.as_ref(), fingerprint)?;
        Ok((items.into_iter().map(|(_, item)| item).collect(), token))
    }
}
