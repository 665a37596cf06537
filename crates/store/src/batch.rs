//! One PostgreSQL statement for many queries with the same text and different values.
//!
//! `SELECT x FROM t WHERE id = $1 AND owner = $2` becomes:
//! ```sql
//! SELECT found.*, member.ordinal
//! FROM unnest((SELECT $1), (SELECT $2)) WITH ORDINALITY AS member (v1, v2, ordinal)
//! CROSS JOIN LATERAL (SELECT * FROM (
//!     SELECT x FROM t WHERE id = member.v1 AND owner = member.v2
//! ) AS one LIMIT 1) AS found
//! ```
//! Each member keeps its conditions and values. The ordinal identifies the member of a row.

use std::mem::{Discriminant, discriminant};

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, query_with};

use crate::error::{Cause, Error};
use crate::lease::{Kind, Lease};
use crate::postgres::Manager;
use crate::query::{Arg, Query};

/// The statement for all queries of one text.
pub(crate) struct Batch {
    sql: SqlStr,
    types: Vec<Discriminant<Arg>>,
}

impl Batch {
    /// Builds the statement for queries with this text and these argument types.
    pub(crate) fn of(query: &Query) -> Self {
        Self { sql: batch_sql(&query.sql(), query.args.len()), types: types(query).collect() }
    }

    /// Whether the query can be a member: it needs the same argument types, and at least one
    /// argument, because `unnest` makes a row per member from the arguments.
    pub(crate) fn accepts(&self, query: &Query) -> bool {
        !self.types.is_empty() && types(query).eq(self.types.iter().copied())
    }

    /// Runs the statement. Returns each member's first row, in the order of the members.
    pub(crate) async fn read<'q>(
        &self,
        mut lease: Lease<Manager>,
        members: impl ExactSizeIterator<Item = &'q Query> + Clone,
    ) -> Result<Vec<Option<PgRow>>, Error> {
        let count = members.len();
        let mut args = PgArguments::default();
        for at in 0..self.types.len() {
            let values = members.clone().map(|query| query.args.get(at));
            add_array(values, &mut args).map_err(sqlx::Error::Encode)?;
        }
        let found = query_with(self.sql.clone(), args).fetch_all(lease.connection()?).await;
        let rows = lease.finish(Kind::Read, found)?;
        drop(lease);
        rows_by_member(rows, count)
    }
}

/// Assigns each row to its member. A row with an unknown or repeated ordinal is a defect and fails
/// the whole batch: a guess could give a caller the row of another one.
fn rows_by_member(rows: Vec<PgRow>, members: usize) -> Result<Vec<Option<PgRow>>, Error> {
    let mut by_member: Vec<Option<PgRow>> = (0..members).map(|_| None).collect();
    for row in rows {
        // The ordinal is the last column, because tuples read columns from the first one on.
        let ordinal: i64 = row.try_get(row.len().saturating_sub(1))?;
        let at = usize::try_from(ordinal).ok().and_then(|ordinal| ordinal.checked_sub(1));
        match at.and_then(|at| by_member.get_mut(at)) {
            Some(slot @ None) => *slot = Some(row),
            _ => return Err(Error::Internal(Cause::new("a batch row has a wrong ordinal"))),
        }
    }
    Ok(by_member)
}

fn types(query: &Query) -> impl Iterator<Item = Discriminant<Arg>> {
    query.args.iter().map(discriminant)
}

fn batch_sql(sql: &str, values: usize) -> SqlStr {
    let join =
        |piece: &dyn Fn(usize) -> String| (1..=values).map(piece).collect::<Vec<_>>().join(", ");
    // `(SELECT $1)` hides the length of the array from the planner. Otherwise a custom plan would
    // look cheaper for each short batch, and PostgreSQL would plan every execution.
    let arrays = join(&|n| format!("(SELECT ${n})"));
    let columns = join(&|n| format!("v{n}"));
    let one = with_columns(sql);
    // LIMIT keeps the planner from turning the subquery into a join that scans the table. It runs
    // once per member, with the plan of a single query.
    let sql = format!(
        "SELECT found.*, member.ordinal \
         FROM unnest({arrays}) WITH ORDINALITY AS member ({columns}, ordinal) \
         CROSS JOIN LATERAL (SELECT * FROM ({one}) AS one LIMIT 1) AS found"
    );
    // Safe: a query's text consists of `&'static str` pieces and placeholder numbers.
    AssertSqlSafe(sql).into_sql_str()
}

/// Replaces `$1` with `member.v1` outside of quotes.
fn with_columns(sql: &str) -> String {
    let parts = sql.split('\'').enumerate().map(|(at, part)| {
        let is_quoted = at % 2 == 1;
        if is_quoted { part.to_owned() } else { part.replace('$', "member.v") }
    });
    parts.collect::<Vec<_>>().join("'")
}

/// Adds the values of one placeholder as an array of the first value's type.
fn add_array<'q>(
    values: impl Iterator<Item = Option<&'q Arg>> + Clone,
    to: &mut PgArguments,
) -> Result<(), BoxDynError> {
    macro_rules! add {
        ($($variant:ident)*) => {
            match values.clone().next().flatten() {
                $(Some(Arg::$variant(_)) => {
                    let array = values.map(|value| match value {
                        Some(Arg::$variant(value)) => Ok(value.as_ref()),
                        _ => Err("a batch with mixed argument types"),
                    });
                    to.add(array.collect::<Result<Vec<_>, _>>()?)
                })*
                None => Err("a batch without members".into()),
            }
        };
    }
    add!(Uuid Text Bool BigInt Time Date Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_outside_of_quotes_become_columns() {
        let sql = "SELECT '$1 it''s', $1 FROM t WHERE a = $10 AND b IN ($2, $1)";
        let text = "SELECT '$1 it''s', member.v1 FROM t \
                    WHERE a = member.v10 AND b IN (member.v2, member.v1)";
        assert_eq!(with_columns(sql), text);
    }

    #[test]
    fn a_batch_accepts_only_the_same_types_in_the_same_order() {
        let query = || Query::new("SELECT $1, $2");
        let batch = Batch::of(&query().bind(1_i64).bind("a"));
        assert!(batch.accepts(&query().bind(2_i64).bind(None::<String>)));
        assert!(!batch.accepts(&query().bind("a").bind(1_i64)));
        assert!(!batch.accepts(&query().bind(1_i64)));
        assert!(!batch.accepts(&query().bind(1_i64).bind("a").bind("b")));
        assert!(!Batch::of(&query()).accepts(&query()));
    }
}
