//! A statement and its values, before it is known which database runs it.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqlSafeStr as _, SqlStr};
use uuid::Uuid;

use crate::error::Error;

/// One SQL statement with its values.
///
/// Its text is made of `&'static str` pieces only, so that no value can ever become SQL. There is
/// no `Debug`: the values are private data.
#[derive(Clone)]
#[must_use = "a query does nothing until it is given to a Db or a Tx"]
pub struct Query {
    pub(crate) sql: Cow<'static, str>,
    pub(crate) args: Vec<Arg>,
    pub(crate) for_share: bool,
}

impl Query {
    /// A statement, with `$1`, `$2` … where [`Query::bind`] gives the values in that order.
    pub fn new(sql: &'static str) -> Self {
        Self { sql: Cow::Borrowed(sql), args: Vec::new(), for_share: false }
    }

    /// The value of the next placeholder.
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Keeps the rows that a SELECT, or an INSERT … SELECT, reads as they are until the transaction
    /// ends: who changes one waits, and who was changing one is waited for. PostgreSQL has
    /// `FOR SHARE` for it; SQLite needs nothing, since what writes there writes alone.
    pub fn for_share(mut self) -> Self {
        self.for_share = true;
        self
    }

    /// Appends to the text.
    pub fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Appends the next placeholder to the text, with its value.
    pub fn push_bind(&mut self, value: impl Into<Arg>) -> &mut Self {
        self.args.push(value.into());
        // Writing to a String cannot fail.
        let _ = write!(self.sql.to_mut(), "${}", self.args.len());
        self
    }

    /// Appends the placeholder of a value that has one already, by its number.
    pub(crate) fn push_again(&mut self, number: usize) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.sql.to_mut(), "${number}");
        self
    }

    /// Appends `(v, v, …)` for `IN`, filled up by repeating the last value to a power of two: the
    /// statement caches then hold ten texts for 500 values, and not one for each length. Without
    /// values it appends `(NULL)`, which nothing is in.
    pub fn push_list(&mut self, values: impl IntoIterator<Item = impl Into<Arg>>) -> &mut Self {
        let mut values: Vec<Arg> = values.into_iter().map(Into::into).collect();
        let Some(last) = values.last().cloned() else {
            return self.push("(NULL)");
        };
        values.resize(values.len().next_power_of_two(), last);
        for (at, value) in values.into_iter().enumerate() {
            self.push(if at == 0 { "(" } else { ", " });
            self.push_bind(value);
        }
        self.push(")")
    }

    /// Whether it may change something.
    pub(crate) fn is_write(&self) -> bool {
        !self.sql.starts_with("SELECT")
    }

    /// For PostgreSQL. A reference, because a read may be repeated.
    pub(crate) fn postgres(&self) -> Result<(SqlStr, PgArguments), Error> {
        let mut sql = self.sql.clone();
        if self.for_share {
            sql.to_mut().push_str(" FOR SHARE");
        }
        let mut arguments = PgArguments::default();
        for arg in &self.args {
            arg.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok((text(sql), arguments))
    }

    /// For SQLite.
    pub(crate) fn sqlite(self) -> Result<(SqlStr, SqliteArguments), Error> {
        let mut arguments = SqliteArguments::default();
        for arg in self.args {
            arg.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok((text(self.sql), arguments))
    }
}

fn text(sql: Cow<'static, str>) -> SqlStr {
    match sql {
        Cow::Borrowed(sql) => sql.into_sql_str(),
        // Safe: `Query` only ever joins `&'static str` pieces and placeholder numbers.
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    }
}

/// A value for a placeholder. `None` is NULL, of a known type: PostgreSQL wants to know it.
#[derive(Clone)]
pub enum Arg {
    /// For a `uuid` column.
    Uuid(Option<Uuid>),
    /// For a `text` column.
    Text(Option<Cow<'static, str>>),
    /// For a `boolean` column.
    Bool(Option<bool>),
    /// For a `bigint` column.
    BigInt(Option<i64>),
    /// For a `timestamptz` column, in whole microseconds.
    Time(Option<DateTime<Utc>>),
    /// For a `date` column.
    Date(Option<NaiveDate>),
    /// For a `bytea` column.
    Bytes(Option<Vec<u8>>),
}

impl Arg {
    fn add_to_postgres(&self, to: &mut PgArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Uuid(value) => to.add(*value),
            Self::Text(value) => to.add(value.as_deref()),
            Self::Bool(value) => to.add(*value),
            Self::BigInt(value) => to.add(*value),
            Self::Time(value) => to.add(*value),
            Self::Date(value) => to.add(*value),
            Self::Bytes(value) => to.add(value.as_deref()),
        }
    }

    fn add_to_sqlite(self, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Uuid(value) => to.add(value),
            Self::Text(value) => to.add(value.map(Cow::into_owned)),
            Self::Bool(value) => to.add(value),
            Self::BigInt(value) => to.add(value),
            // Always six digits and `Z`: sqlx writes as few digits as there are, and texts of
            // different lengths are not equal when the times are.
            Self::Time(value) => {
                to.add(value.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true)))
            }
            Self::Date(value) => to.add(value),
            Self::Bytes(value) => to.add(value),
        }
    }
}

macro_rules! arg_from {
    ($($type:ty => $variant:ident,)*) => {$(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value.into()))
            }
        }

        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )*};
}

arg_from! {
    Uuid => Uuid,
    String => Text,
    &'static str => Text,
    bool => Bool,
    i32 => BigInt,
    i64 => BigInt,
    DateTime<Utc> => Time,
    NaiveDate => Date,
    Vec<u8> => Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_the_order_of_their_values() {
        let mut query = Query::new("SELECT * FROM t WHERE a = $1").bind(1_i64);
        query.push(" AND b = ").push_bind("x").push(" AND c IN ").push_list([1_i64, 2, 3]);
        assert_eq!(query.sql, "SELECT * FROM t WHERE a = $1 AND b = $2 AND c IN ($3, $4, $5, $6)");
        assert_eq!(query.args.len(), 6);
    }

    #[test]
    fn an_empty_list_holds_nothing() {
        let mut query = Query::new("SELECT 1 WHERE 1 IN ");
        query.push_list(Vec::<i64>::new());
        assert_eq!(query.sql, "SELECT 1 WHERE 1 IN (NULL)");
    }
}
