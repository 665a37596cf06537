//! Lists of patients and doctors, in order of creation or by name.

use clinic_resource::text::Prefix;
use clinic_resource::{List, Listing, Part, Range, Scope, View};
use clinic_store::Query;
use clinic_store::page::Cursor;

/// The condition of rows that are not deleted.
pub(crate) const LIVE: &str = "deleted_at IS NULL";

/// The records that a list is restricted to.
pub(crate) struct Filter<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) show_deleted: bool,
    /// Prefix of the first or last name.
    pub(crate) prefix: Option<Prefix>,
    /// Other conditions, as ` AND …`.
    pub(crate) also: Query,
}

/// The columns that names are searched by, in the order in which their matches are listed.
const NAMES: [(&str, &str); 2] =
    [("last_name_key", "last_name_key, id"), ("first_name_key", "first_name_key, id")];

impl<'a> Filter<'a> {
    /// Returns the list of the matching records.
    pub(crate) fn list(self, asked: View) -> List<'a, Self> {
        List { scope: self.scope, asked, listing: self }
    }

    /// Returns the condition of the rows of an arm after a cursor: all of them, or those that match
    /// by the column with this index in [`NAMES`] and by none before it.
    fn range(&self, arm: &Scope, names: Option<usize>, after: Option<&Cursor>) -> Query {
        let mut query = Query::empty();
        arm.push_shown(&mut query, Some(LIVE), self.show_deleted);
        query.append(&self.also);
        let (Some(prefix), Some(names)) = (&self.prefix, names) else {
            if let Some(after) = after {
                query.push(" AND id > ").push_bind(after.id);
            }
            return query;
        };
        for (at, (column, _)) in (0..=names).zip(NAMES) {
            if at == names {
                match after {
                    None => query.push(" AND ").push(column).push(" >= ").push_bind(prefix.low()),
                    Some(after) => query
                        .push(" AND (")
                        .push(column)
                        .push(", id) > (")
                        .push_bind(after.key.clone())
                        .push(", ")
                        .push_bind(after.id)
                        .push(")"),
                };
                query.push(" AND ").push(column).push(" < ").push_bind(prefix.high());
            } else {
                // Already listed.
                query.push(" AND NOT (").push(column).push(" >= ").push_bind(prefix.low());
                query.push(" AND ").push(column).push(" < ").push_bind(prefix.high()).push(")");
            }
        }
        query
    }
}

impl Listing for Filter<'_> {
    // Part 0 is in order of ids, 1 by last name, 2 by first name.
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part> {
        let names = usize::from(number).checked_sub(1);
        let (key, order) = match (&self.prefix, names) {
            (None, None) => (None, "id"),
            // A search by name has no rows in part 0.
            (Some(_), None) => return Some(Part { key: None, order: "id", ranges: Vec::new() }),
            (None, Some(_)) => return None,
            (Some(_), Some(at)) => {
                let (key, order) = *NAMES.get(at)?;
                (Some(key), order)
            }
        };
        let range = |arm: Scope| Range { condition: self.range(&arm, names, after), order: None };
        Some(Part { key, order, ranges: self.scope.arms().map(range).collect() })
    }

    fn condition(&self) -> Query {
        let mut query = Query::empty();
        self.scope.push_shown(&mut query, Some(LIVE), self.show_deleted);
        query.append(&self.also);
        if let Some(prefix) = &self.prefix {
            for (at, (column, _)) in NAMES.iter().enumerate() {
                query.push(if at == 0 { " AND (" } else { " OR " });
                query.push(column).push(" >= ").push_bind(prefix.low());
                query.push(" AND ").push(column).push(" < ").push_bind(prefix.high());
            }
            query.push(")");
        }
        query
    }
}
