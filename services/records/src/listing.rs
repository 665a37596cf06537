//! Lists of patients and doctors: in the order in which they were made, or by name.

use clinic_resource::text::Prefix;
use clinic_resource::{List, Part, Range, Scope, View};
use clinic_store::Query;
use clinic_store::page::Cursor;

/// The condition of rows that are not deleted.
pub(crate) const LIVE: &str = "deleted_at IS NULL";

/// What a list is restricted to.
pub(crate) struct Filter<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) show_deleted: bool,
    /// The beginning of the first or last name.
    pub(crate) prefix: Option<Prefix>,
    /// ` AND …` for everything else.
    pub(crate) also: Query,
}

/// The columns that names are searched by, in the order in which their matches are listed.
const NAMES: [(&str, &str); 2] =
    [("last_name_key", "last_name_key, id"), ("first_name_key", "first_name_key, id")];

impl<'a> Filter<'a> {
    /// The records that it lets through.
    pub(crate) fn list(self, asked: View) -> List<'a> {
        let (scope, condition) = (self.scope, self.condition());
        let part = Box::new(move |number, after: Option<&Cursor>| self.part(number, after));
        List { scope, asked, condition, part }
    }

    /// A part of the list by its number, or the rest of it after a cursor.
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part> {
        let (key, order) = match (&self.prefix, number) {
            (None, 0) => (None, "id"),
            (Some(_), number) => {
                let (key, order) = *NAMES.get(usize::from(number))?;
                (Some(key), order)
            }
            _ => return None,
        };
        let range = |arm: Scope| Range { condition: self.range(&arm, number, after), order: None };
        Some(Part { key, order, ranges: self.scope.arms().map(range).collect() })
    }

    /// The rows of an arm of the scope that are in a part of the list, after a cursor.
    fn range(&self, arm: &Scope, number: u8, after: Option<&Cursor>) -> Query {
        let mut query = Query::empty();
        arm.push_shown(&mut query, Some(LIVE), self.show_deleted);
        query.append(&self.also);
        let Some(prefix) = &self.prefix else {
            if let Some(after) = after {
                query.push(" AND id > ").push_bind(after.id);
            }
            return query;
        };
        for (at, (column, _)) in (0..=number).zip(NAMES) {
            if at == number {
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
                // It was listed before.
                query.push(" AND NOT (").push(column).push(" >= ").push_bind(prefix.low());
                query.push(" AND ").push(column).push(" < ").push_bind(prefix.high()).push(")");
            }
        }
        query
    }

    /// The condition of all rows of the list.
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
