//! Rows that a caller may reach.

use clinic_store::{Arg, Query};

/// How much of a record a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The fields that are [`crate::Field::basic`].
    Basic,
    /// Everything.
    Full,
}

/// Rows that a caller may reach on one ground. An index serves the condition.
#[derive(Clone)]
pub struct Arm {
    condition: Query,
    view: View,
    shows_deleted: bool,
}

impl Arm {
    /// Rows of this condition, in the FULL view, deleted ones only to undelete them.
    pub fn new(condition: Query) -> Self {
        Self { condition, view: View::Full, shows_deleted: false }
    }

    /// All rows.
    pub fn all() -> Self {
        Self::new(Query::new("TRUE"))
    }

    /// Rows with this value in a column; `column` ends with ` = `.
    pub fn of(column: &'static str, value: impl Into<Arg>) -> Self {
        let mut condition = Query::new(column);
        condition.push_bind(value);
        Self::new(condition)
    }

    /// In the BASIC view.
    #[must_use]
    pub fn basic(self) -> Self {
        Self { view: View::Basic, ..self }
    }

    /// Deleted rows are shown on demand: the caller may undelete them.
    #[must_use]
    pub fn with_deleted(self) -> Self {
        Self { shows_deleted: true, ..self }
    }
}

/// The rows that a caller may reach by one method: a union of arms.
#[derive(Clone, Default)]
pub struct Scope(Vec<Arm>);

impl Scope {
    /// The arms, each of which an index serves.
    pub fn arms(&self) -> impl ExactSizeIterator<Item = Self> {
        self.0.iter().map(|arm| Self(vec![arm.clone()]))
    }

    /// Whether there is nothing to reach.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The view in which the caller sees all rows that are asked for in a view; none if that depends
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

    /// Appends the condition that a row is in the scope and to be shown. `live` is the condition of
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

    /// Appends the condition that a row of the scope is seen in the FULL view.
    pub(crate) fn push_is_full(&self, query: &mut Query) {
        // NULL where a column of the condition is.
        self.push_arms(query, |arm| arm.view == View::Full, |_, _| ());
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
