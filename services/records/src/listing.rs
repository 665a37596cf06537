//! Pages of records. The cost of a page does not grow with the table: each statement reads one
//! range of one index for each part of the caller's scope, and stops when the page is full.

use clinic_identity::Principal;
use clinic_store::page::{self, Cursor};
use clinic_store::{Db, Query, Row};
use uuid::Uuid;

use crate::access::Scope;
use crate::error::Error;
use crate::names::{self, Prefix};
use crate::rows::Table;

/// What a page token belongs to: the method, its filters, and who asks with which roles.
pub(crate) fn fingerprint(principal: &Principal, method: &str, filters: &[&[u8]]) -> Vec<u8> {
    let (id, roles) = (principal.id(), principal.roles().bits().to_be_bytes());
    let mut parts = vec![method.as_bytes(), id.as_bytes(), &roles];
    parts.extend_from_slice(filters);
    page::fingerprint(&parts)
}

/// What a list request asks for, whatever it lists.
pub(crate) struct List<'a> {
    pub(crate) table: Table,
    pub(crate) scope: &'a Scope,
    pub(crate) show_deleted: bool,
    pub(crate) prefix: Option<Prefix>,
    /// Appends ` AND …` for every filter.
    pub(crate) filter: &'a (dyn Fn(&mut Query) + Send + Sync),
}

/// Bytes in an answer for what is never long: ids, times, numbers.
pub(crate) const FIXED_BYTES: usize = 512;

/// A row that can be the last one of a page.
pub(crate) trait Listed: Row {
    fn id(&self) -> Uuid;
    fn first_name(&self) -> &str;
    fn last_name(&self) -> &str;
    /// About how many bytes it has in an answer.
    fn bytes(&self) -> usize;
}

/// The ranges that make up a list, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    /// All, in the order in which they were made.
    Made,
    /// Those whose last name has the prefix, by last name.
    LastName,
    /// Those whose first name has it, and whose last name has not, by first name.
    FirstName,
}

impl Range {
    const fn branch(self) -> u8 {
        match self {
            Self::Made => 0,
            Self::LastName => 1,
            Self::FirstName => 2,
        }
    }

    fn cursor(self, row: &impl Listed) -> Cursor {
        let key = match self {
            Self::Made => Vec::new(),
            Self::LastName => names::key(row.last_name()),
            Self::FirstName => names::key(row.first_name()),
        };
        Cursor { branch: self.branch(), id: row.id(), key }
    }

    const fn order(self) -> &'static str {
        match self {
            Self::Made => " ORDER BY id LIMIT ",
            Self::LastName => " ORDER BY last_name_key, id LIMIT ",
            Self::FirstName => " ORDER BY first_name_key, id LIMIT ",
        }
    }
}

impl List<'_> {
    /// A page, and where the next one begins.
    pub(crate) async fn page<T: Listed>(
        &self,
        db: &Db,
        size: i64,
        after: Option<Cursor>,
    ) -> Result<(Vec<T>, Option<Cursor>), Error> {
        let ranges: &[Range] = match self.prefix {
            None => &[Range::Made],
            Some(_) => &[Range::LastName, Range::FirstName],
        };
        let begin = after.as_ref().map_or(0, |cursor| cursor.branch);
        // One row more than the page tells whether another page follows.
        let mut wanted = size + 1;
        let mut rows: Vec<(Range, T)> = Vec::new();
        for range in ranges.iter().copied().filter(|range| range.branch() >= begin) {
            if wanted == 0 || self.scope.is_empty() {
                break;
            }
            let after = after.as_ref().filter(|cursor| cursor.branch == range.branch());
            let mut query = Query::empty();
            self.push_select(&mut query, range, after, wanted);
            let found: Vec<T> = db.fetch_all(query).await?;
            wanted -= i64::try_from(found.len()).unwrap_or(wanted);
            rows.extend(found.into_iter().map(|row| (range, row)));
        }
        let cursor = |(range, row): &(Range, T)| range.cursor(row);
        let (rows, next) = page::cut(rows, size, cursor);
        let (rows, next) = page::fit(rows, next, |(_, row)| row.bytes(), cursor);
        Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
    }

    /// How many records there are on all pages.
    pub(crate) async fn count(&self, db: &Db) -> Result<i64, Error> {
        let mut query = Query::new("SELECT COUNT(*) FROM ");
        query.push(self.table.name).push(" WHERE ");
        self.scope.push_shown(&mut query, self.show_deleted);
        (self.filter)(&mut query);
        if let Some(prefix) = &self.prefix {
            query.push(" AND ");
            prefix.push_either(&mut query);
        }
        let (count,) = db.fetch_one(query).await?;
        Ok(count)
    }

    fn push_select(&self, query: &mut Query, range: Range, after: Option<&Cursor>, limit: i64) {
        query.push("SELECT ").push(self.table.columns).push(" FROM ").push(self.table.name);
        query.push(" WHERE ");
        if self.scope.is_single() {
            self.push_range(query, self.scope, range, after);
        } else {
            // A disjunction would be a scan of everybody's rows for who sees few of them. Each part
            // alone is a range of an index, and yields as many rows as can be on the page.
            query.push("id IN (");
            for (at, part) in self.scope.parts().enumerate() {
                query.push(if at == 0 { "" } else { " UNION " });
                query.push("SELECT id FROM (SELECT id FROM ").push(self.table.name);
                query.push(" WHERE ");
                self.push_range(query, &part, range, after);
                query.push(range.order()).push_bind(limit).push(") AS part");
            }
            query.push(")");
        }
        query.push(range.order()).push_bind(limit);
    }

    /// How the database answers each range, with a cursor and without one.
    #[cfg(test)]
    pub(crate) fn explain(&self, explain: &'static str) -> Vec<Query> {
        let ranges: &[Range] = match self.prefix {
            None => &[Range::Made],
            Some(_) => &[Range::LastName, Range::FirstName],
        };
        let cursors = ranges.iter().flat_map(|range| {
            let key = self.prefix.as_ref().map(Prefix::low).unwrap_or_default();
            let cursor = Cursor { branch: range.branch(), id: Uuid::from_u128(1 << 100), key };
            [(*range, None), (*range, Some(cursor))]
        });
        cursors
            .map(|(range, cursor)| {
                let mut query = Query::new(explain);
                self.push_select(&mut query, range, cursor.as_ref(), 51);
                query
            })
            .collect()
    }

    fn push_range(&self, query: &mut Query, scope: &Scope, range: Range, after: Option<&Cursor>) {
        scope.push_shown(query, self.show_deleted);
        (self.filter)(query);
        match (range, after) {
            (Range::Made, None) => {}
            (Range::Made, Some(after)) => {
                query.push(" AND id > ").push_bind(after.id);
            }
            (Range::LastName, None) => {
                self.push_from(query, " AND last_name_key >= ");
            }
            (Range::LastName, Some(after)) => {
                push_after(query, " AND (last_name_key, id) > (", after);
            }
            (Range::FirstName, None) => {
                self.push_from(query, " AND first_name_key >= ");
            }
            (Range::FirstName, Some(after)) => {
                push_after(query, " AND (first_name_key, id) > (", after);
            }
        }
        if let Some(prefix) = &self.prefix {
            match range {
                Range::Made => {}
                Range::LastName => {
                    query.push(" AND last_name_key < ").push_bind(prefix.high());
                }
                Range::FirstName => {
                    query.push(" AND first_name_key < ").push_bind(prefix.high());
                    query.push(" AND NOT (last_name_key >= ").push_bind(prefix.low());
                    query.push(" AND last_name_key < ").push_bind(prefix.high()).push(")");
                }
            }
        }
    }

    fn push_from(&self, query: &mut Query, from: &'static str) {
        if let Some(prefix) = &self.prefix {
            query.push(from).push_bind(prefix.low());
        }
    }
}

fn push_after(query: &mut Query, after: &'static str, cursor: &Cursor) {
    query.push(after).push_bind(cursor.key.clone());
    query.push(", ").push_bind(cursor.id).push(")");
}
