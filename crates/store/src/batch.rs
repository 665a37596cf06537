//! One statement of PostgreSQL for many that have the same text and each its own values.
//!
//! `SELECT x FROM t WHERE id = $1 AND owner = $2`, for many:
//! ```sql
//! SELECT found.*, member.ordinal
//! FROM unnest((SELECT $1), (SELECT $2)) WITH ORDINALITY AS member (v1, v2, ordinal)
//! CROSS JOIN LATERAL (SELECT * FROM (
//!     SELECT x FROM t WHERE id = member.v1 AND owner = member.v2
//! ) AS one LIMIT 1) AS found
//! ```
//! Each member's conditions stay as they are, with its own values; the ordinal says whose a row is.

use std::mem::{Discriminant, discriminant};

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, query_with};

use crate::error::{Cause, Error};
use crate::lease::Lease;
use crate::postgres::Manager;
use crate::query::{Arg, Query};

/// The statement for many of one text.
pub(crate) struct Batch {
    sql: SqlStr,
    types: Vec<Discriminant<Arg>>,
}

impl Batch {
    /// For queries of this text and these types of values.
    pub(crate) fn of(query: &Query) -> Self {
        Self { sql: text(&query.sql(), query.args.len()), types: types(query).collect() }
    }

    /// Whether that query can be a member. The same text with values of other types is another
    /// statement; without values there is nothing to tell members by.
    pub(crate) fn takes(&self, query: &Query) -> bool {
        !self.types.is_empty() && types(query).eq(self.types.iter().copied())
    }

    /// Runs the statement; gives each member the first row that it finds.
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
        share_out(lease.seen(found)?, count)
    }
}

/// Gives each member its row, if there is one. A row that is nobody's fails all of them: it would
/// be a defect, and no row is given away on a guess.
fn share_out(rows: Vec<PgRow>, members: usize) -> Result<Vec<Option<PgRow>>, Error> {
    let mut shares: Vec<Option<PgRow>> = Vec::new();
    shares.resize_with(members, || None);
    for row in rows {
        // The last column, so that a tuple reads the others from the first one on.
        let ordinal: i64 = row.try_get(row.len().saturating_sub(1))?;
        let at = usize::try_from(ordinal).ok().and_then(|ordinal| ordinal.checked_sub(1));
        match at.and_then(|at| shares.get_mut(at)) {
            Some(share @ None) => *share = Some(row),
            _ => return Err(Error::Internal(Cause::new("a row of a batch that is nobody's"))),
        }
    }
    Ok(shares)
}

fn types(query: &Query) -> impl Iterator<Item = Discriminant<Arg>> {
    query.args.iter().map(discriminant)
}

fn text(sql: &str, values: usize) -> SqlStr {
    let join =
        |piece: &dyn Fn(usize) -> String| (1..=values).map(piece).collect::<Vec<_>>().join(", ");
    // `(SELECT $1)` keeps the length of the array from the planner. Else it would find each short
    // batch cheaper with a plan of its own, and plan it every time.
    let arrays = join(&|n| format!("(SELECT ${n})"));
    let columns = join(&|n| format!("v{n}"));
    let one = with_columns(sql);
    // LIMIT keeps the statement a whole, which is planned and run for each member as it would be
    // alone: never a join that reads the table.
    let sql = format!(
        "SELECT found.*, member.ordinal \
         FROM unnest({arrays}) WITH ORDINALITY AS member ({columns}, ordinal) \
         CROSS JOIN LATERAL (SELECT * FROM ({one}) AS one LIMIT 1) AS found"
    );
    // Safe: a query's text is made of `&'static str` pieces and numbers of placeholders.
    AssertSqlSafe(sql).into_sql_str()
}

/// `member.v1` for `$1`, wherever it does not stand in quotes.
fn with_columns(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() * 2);
    for (at, part) in sql.split('\'').enumerate() {
        if at > 0 {
            text.push('\'');
        }
        if at % 2 == 0 {
            text.push_str(&part.replace('$', "member.v"));
        } else {
            text.push_str(part);
        }
    }
    text
}

/// Adds one placeholder's values as an array, with the type of the first one.
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
                        _ => Err("a batch of several types"),
                    });
                    to.add(array.collect::<Result<Vec<_>, _>>()?)
                })*
                None => Err("a batch of nobody".into()),
            }
        };
    }
    add!(Uuid Text Bool BigInt Time Date Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_becomes_a_column_and_nothing_else_does() {
        let sql = "SELECT '$1 it''s', $1 FROM t WHERE a = $10 AND b IN ($2, $1)";
        let text = "SELECT '$1 it''s', member.v1 FROM t \
                    WHERE a = member.v10 AND b IN (member.v2, member.v1)";
        assert_eq!(with_columns(sql), text);
    }

    #[test]
    fn only_the_same_types_in_the_same_order_are_a_batch() {
        let query = || Query::new("SELECT $1, $2");
        let batch = Batch::of(&query().bind(1_i64).bind("a"));
        assert!(batch.takes(&query().bind(2_i64).bind(None::<String>)));
        assert!(!batch.takes(&query().bind("a").bind(1_i64)));
        assert!(!batch.takes(&query().bind(1_i64)));
        assert!(!batch.takes(&query().bind(1_i64).bind("a").bind("b")));
        assert!(!Batch::of(&query()).takes(&query()));
    }
}
