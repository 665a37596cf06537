//! The rows that a caller may access.

use clinic_store::{Arg, Query};

/// How much of a record a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The fields that are [`crate::Field::basic`].
    Basic,
    /// Everything.
    Full,
}

/// Rows that a caller may access for one reason. An index serves the condition.
#[derive(Clone)]
pub struct Arm {
    condition: Query,
    view: View,
    shows_deleted: bool,
}

impl Arm {
    /// Returns an arm with the rows that match this condition, in the FULL view. Deleted rows are
    /// not shown, but can be undeleted.
    pub fn new(condition: Query) -> Self {
        Self { condition, view: View::Full, shows_deleted: false }
    }

    /// Returns an arm with all rows.
    pub fn all() -> Self {
        Self::new(Query::new("TRUE"))
    }

    /// Returns an arm with the rows that have this value in a column; `column` ends with ` = `.
    pub fn of(column: &'static str, value: impl Into<Arg>) -> Self {
        let mut condition = Query::new(column);
        condition.push_bind(value);
        Self::new(condition)
    }

    /// Restricts the arm to the BASIC view.
    #[must_use]
    pub fn basic(self) -> Self {
        Self { view: View::Basic, ..self }
    }

    /// Shows deleted rows on demand, so that the caller can undelete them.
    #[must_use]
    pub fn with_deleted(self) -> Self {
        Self { shows_deleted: true, ..self }
    }
}

/// The rows that a caller may access with one method: a union of arms.
#[derive(Clone, Default)]
pub struct Scope(Vec<Arm>);

impl Scope {
    /// Returns each arm as a scope, because each is served by an index.
    pub fn arms(&self) -> impl ExactSizeIterator<Item = Self> {
        self.0.iter().map(|arm| Self(vec![arm.clone()]))
    }

    /// Returns whether the scope has no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the view in which the caller sees rows when asking for `asked`; `None` if it depends
    /// on the row.
    pub fn view(&self, asked: View) -> Option<View> {
        let is_full = |arm: &Arm| arm.view == View::Full;
        match asked {
            View::Full if self.0.iter().all(is_full) => Some(View::Full),
            View::Full if self.0.iter().any(is_full) => None,
            View::Basic | View::Full => Some(View::Basic),
        }
    }

    /// Appends the condition that a row is in the scope, deleted or not.
    pub fn push(&self, query: &mut Query) {
        self.push_arms(query, |_| true, |_, _| ());
    }

    /// Appends the condition that a row is in the scope and is shown. `live` is the condition of
    /// rows that are not deleted.
    pub fn push_shown(&self, query: &mut Query, live: Option<&'static str>, with_deleted: bool) {
        let Some(live) = live else { return self.push(query) };
        if !with_deleted {
            query.push(live).push(" AND ");
        }
        self.push_arms(
            query,
            |_| true,
            |arm, query| {
                if with_deleted && !arm.shows_deleted {
                    query.push(") AND (").push(live);
                }
            },
        );
    }

    /// Appends the condition that the caller sees a row of the scope in the FULL view.
    pub(crate) fn push_is_full(&self, query: &mut Query) {
        self.push_arms(query, |arm| arm.view == View::Full, |_, _| ());
        // The condition is NULL if one of its columns is.
        query.push(" IS TRUE");
    }

    fn push_arms(
        &self,
        query: &mut Query,
        which: impl Fn(&Arm) -> bool,
        also: impl Fn(&Arm, &mut Query),
    ) {
        let mut arms = self.0.iter().filter(|arm| which(arm)).peekable();
        if arms.peek().is_none() {
            query.push("FALSE");
            return;
        }
        query.push("(");
        for (at, arm) in arms.enumerate() {
            query.push(if at == 0 { "(" } else { " OR (" });
            query.append(&arm.condition);
            also(arm, query);
            query.push(")");
        }
        query.push(")");
    }
}

impl FromIterator<Arm> for Scope {
    fn from_iter<I: IntoIterator<Item = Arm>>(arms: I) -> Self {
        Self(arms.into_iter().collect())
    }
}
