//! The only way to update rows of a table with etags.

use chrono::{DateTime, Utc};

use crate::query::{Arg, Query};

/// New column values of a row.
///
/// The update skips a row that already has all of these values, so its etag and `updated_at` stay.
#[derive(Clone, Default)]
pub struct Changes(Vec<(&'static str, Arg)>);

impl Changes {
    /// Adds a column and its new value.
    pub fn set(mut self, column: &'static str, value: impl Into<Arg>) -> Self {
        self.0.push((column, value.into()));
        self
    }

    /// Returns the new value of a column, or `None` if the column stays as it is.
    pub fn get(&self, column: &str) -> Option<&Arg> {
        self.0.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }

    /// Begins `UPDATE table SET … WHERE …` for rows that differ, and raises their version. `also`
    /// appends `, column = expression` for columns that depend on the change. The caller appends
    /// ` AND …` to select the row.
    pub fn update(
        &self,
        table: &'static str,
        now: DateTime<Utc>,
        also: impl FnOnce(&mut Query),
    ) -> Query {
        let mut query = Query::with_statement_capacity();
        query
            .push("UPDATE ")
            .push(table)
            .push(" SET version = version + 1, updated_at = ")
            .push_bind(now);
        let before = query.count();
        for (column, value) in &self.0 {
            query.push(", ").push(column).push(" = ").push_bind(value.clone());
        }
        also(&mut query);
        query.push(" WHERE (");
        for (number, (column, _)) in (1..).zip(&self.0) {
            query.push(if number == 1 { "" } else { " OR " });
            query.push(column).push(" IS DISTINCT FROM ").push_placeholder_of(before + number);
        }
        query.push(if self.0.is_empty() { "FALSE)" } else { ")" });
        query
    }

    /// Appends the condition that a row has all of these values.
    pub fn push_equals(&self, query: &mut Query) {
        query.push("(TRUE");
        for (column, value) in &self.0 {
            query.push(" AND NOT (").push(column).push(" IS DISTINCT FROM ");
            query.push_bind(value.clone()).push(")");
        }
        query.push(")");
    }
}

impl FromIterator<(&'static str, Arg)> for Changes {
    fn from_iter<I: IntoIterator<Item = (&'static str, Arg)>>(columns: I) -> Self {
        Self(columns.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_sends_each_value_once() {
        let changes = Changes::default().set("a", "x").set("b", None::<i64>);
        let also = |query: &mut Query| {
            query.push(", c = c AND a = ").push_bind("x");
        };
        let query = changes.update("t", DateTime::UNIX_EPOCH, also);
        let text = "UPDATE t SET version = version + 1, updated_at = $1, a = $2, b = $3, \
                    c = c AND a = $4 WHERE (a IS DISTINCT FROM $2 OR b IS DISTINCT FROM $3)";
        assert_eq!((query.sql().as_str(), query.args.len()), (text, 4));
    }

    #[test]
    fn an_update_without_columns_matches_no_row() {
        let query = Changes::default().update("t", DateTime::UNIX_EPOCH, |_| ());
        assert!(query.sql().ends_with(" WHERE (FALSE)"));
    }
}
