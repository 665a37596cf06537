//! Maps fields of a resource's message to columns.

use std::borrow::Cow;
use std::sync::OnceLock;

use chrono::NaiveDate;
use clinic_proto::time::utc;
use clinic_store::Arg;
use prost_types::Timestamp;
use uuid::Uuid;

use crate::text::{fold, name_key};

/// A field of the message `M` that is stored in a column.
pub struct Field<M: 'static> {
    pub(crate) name: &'static str,
    column: &'static str,
    pub(crate) kind: Kind<M>,
    /// A second column, with a key by which the field is searched or compared.
    key: Option<(&'static str, Key)>,
    pub(crate) is_basic: bool,
}

/// The fields of a message that are stored in columns.
pub struct Fields<M: 'static> {
    pub(crate) all: &'static [Field<M>],
    /// The column lists of the FULL and the BASIC view.
    columns: [OnceLock<&'static str>; 2],
}

impl<M> Fields<M> {
    /// Creates the fields of a resource, in the order of the column list. The first is the id.
    pub const fn new(all: &'static [Field<M>]) -> Self {
        Self { all, columns: [OnceLock::new(), OnceLock::new()] }
    }

    /// Returns the column list for a SELECT or a RETURNING.
    pub(crate) fn columns(&self, with_full: bool) -> &'static str {
        let [full, basic] = &self.columns;
        let columns = || {
            let columns: Vec<_> = self.all.iter().map(|field| field.column(with_full)).collect();
            // Leaks once for each resource and view.
            &*columns.join(", ").leak()
        };
        (if with_full { full } else { basic }).get_or_init(columns)
    }
}

/// The type of a field, and a function that finds it in the message.
pub(crate) enum Kind<M: 'static> {
    /// Text that callers write. Surrounding space is trimmed.
    Text(fn(&mut M) -> &mut String),
    /// A date that callers write, as YYYY-MM-DD.
    Day(fn(&mut M) -> &mut String),
    /// A number that callers write, with its default.
    Int(fn(&mut M) -> &mut i32, i32),
    /// The id of another record, which callers write.
    Reference(fn(&mut M) -> &mut String),
    /// A time that callers write.
    Moment(fn(&mut M) -> &mut Option<Timestamp>),
    /// A boolean that callers write, with its default.
    Flag(fn(&mut M) -> &mut Option<bool>, bool),
    /// Only the service sets this one and the following.
    Id(fn(&mut M) -> &mut String),
    Etag(fn(&mut M) -> &mut String),
    Time(fn(&mut M) -> &mut Option<Timestamp>),
    Bool(fn(&mut M) -> &mut bool),
}

// Derives would also require `M: Clone` and `M: Copy`.
impl<M> Clone for Kind<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Kind<M> {}

/// How a key is computed from text.
#[derive(Clone, Copy)]
enum Key {
    /// Bytes that sort by name.
    Name,
    /// Text for case-insensitive comparison.
    Folded,
}

/// A column with its new value.
pub(crate) struct Value {
    /// The field that it comes from.
    pub(crate) field: &'static str,
    pub(crate) column: &'static str,
    /// Whether the request gives the field. An empty one counts as not given.
    pub(crate) is_given: bool,
    pub(crate) value: Arg,
}

impl<M> Field<M> {
    const fn new(name: &'static str, kind: Kind<M>) -> Self {
        Self { name, column: name, kind, key: None, is_basic: false }
    }

    /// Creates a text field that callers write.
    pub const fn text(name: &'static str, at: fn(&mut M) -> &mut String) -> Self {
        Self::new(name, Kind::Text(at))
    }

    /// Creates a date field that callers write.
    pub const fn day(name: &'static str, at: fn(&mut M) -> &mut String) -> Self {
        Self::new(name, Kind::Day(at))
    }

    /// Creates a number field that callers write.
    pub const fn int(name: &'static str, at: fn(&mut M) -> &mut i32) -> Self {
        Self::new(name, Kind::Int(at, 0))
    }

    /// Creates an enum field that callers write. The default replaces UNSPECIFIED.
    pub const fn enumeration(name: &'static str, at: fn(&mut M) -> &mut i32, default: i32) -> Self {
        Self::new(name, Kind::Int(at, default))
    }

    /// Creates a field that callers write with the id of another record.
    pub const fn reference(name: &'static str, at: fn(&mut M) -> &mut String) -> Self {
        Self::new(name, Kind::Reference(at))
    }

    /// Creates a time field that callers write.
    pub const fn timestamp(name: &'static str, at: fn(&mut M) -> &mut Option<Timestamp>) -> Self {
        Self::new(name, Kind::Moment(at))
    }

    /// Creates a boolean field that callers write.
    pub const fn flag(
        name: &'static str,
        at: fn(&mut M) -> &mut Option<bool>,
        default: bool,
    ) -> Self {
        Self::new(name, Kind::Flag(at, default))
    }

    /// Creates an id field that the service sets; empty if the column is NULL.
    pub const fn id(name: &'static str, at: fn(&mut M) -> &mut String) -> Self {
        Self::new(name, Kind::Id(at))
    }

    /// Creates the etag field, from the column `version`.
    pub const fn etag(at: fn(&mut M) -> &mut String) -> Self {
        Self { column: "version", ..Self::new("etag", Kind::Etag(at)) }
    }

    /// Creates a time field that the service sets.
    pub const fn time(name: &'static str, at: fn(&mut M) -> &mut Option<Timestamp>) -> Self {
        Self::new(name, Kind::Time(at))
    }

    /// Creates a boolean field that the service sets.
    pub const fn bool(name: &'static str, at: fn(&mut M) -> &mut bool) -> Self {
        Self::new(name, Kind::Bool(at))
    }

    /// Adds the field to the BASIC view.
    #[must_use]
    pub const fn basic(self) -> Self {
        Self { is_basic: true, ..self }
    }

    /// Adds a key column by which names are searched and sorted.
    #[must_use]
    pub const fn searched_by(self, column: &'static str) -> Self {
        Self { key: Some((column, Key::Name)), ..self }
    }

    /// Adds a key column for case-insensitive comparison.
    #[must_use]
    pub const fn compared_by(self, column: &'static str) -> Self {
        Self { key: Some((column, Key::Folded)), ..self }
    }

    /// Returns the column, or an empty value of its type if the field is not in the view.
    fn column(&self, with_full: bool) -> &'static str {
        match (self.is_basic || with_full, &self.kind) {
            (true, _) => self.column,
            (false, Kind::Text(_)) => "''",
            (false, Kind::Day(_)) => "CAST(NULL AS date)",
            (false, Kind::Int(..) | Kind::Etag(_)) => "CAST(0 AS bigint)",
            (false, Kind::Flag(..) | Kind::Bool(_)) => "FALSE",
            (false, Kind::Id(_) | Kind::Reference(_)) => "CAST(NULL AS uuid)",
            (false, Kind::Time(_) | Kind::Moment(_)) => "CAST(NULL AS timestamptz)",
        }
    }

    /// Clears the field if it is not in the BASIC view.
    pub(crate) fn hide(&self, message: &mut M) {
        if self.is_basic {
            return;
        }
        match self.kind {
            Kind::Text(at)
            | Kind::Day(at)
            | Kind::Id(at)
            | Kind::Reference(at)
            | Kind::Etag(at) => {
                at(message).clear();
            }
            Kind::Int(at, _) => *at(message) = 0,
            Kind::Flag(at, _) => *at(message) = None,
            Kind::Time(at) | Kind::Moment(at) => *at(message) = None,
            Kind::Bool(at) => *at(message) = false,
        }
    }

    /// Computes the key in this column from a message.
    pub(crate) fn key_in(&self, column: &str, message: &mut M) -> Option<Vec<u8>> {
        match (self.key, self.kind) {
            (Some((own, Key::Name)), Kind::Text(at)) if own == column => {
                Some(name_key(at(message)))
            }
            _ => None,
        }
    }

    /// Takes the value that a request writes, for the field's column and its key column.
    pub(crate) fn take(&self, message: &mut M, into: &mut Vec<Value>) -> Result<(), InvalidValue> {
        let Self { name: field, column, .. } = *self;
        let (is_given, value) = match self.kind {
            Kind::Text(at) => {
                let text = std::mem::take(at(message));
                let trimmed = text.trim();
                if let Some((column, key)) = self.key {
                    let value: Arg = match key {
                        Key::Name => name_key(trimmed).into(),
                        Key::Folded => fold(trimmed).into(),
                    };
                    into.push(Value { field, column, is_given: !trimmed.is_empty(), value });
                }
                let text = if trimmed.len() == text.len() { text } else { trimmed.to_owned() };
                (!text.is_empty(), Arg::Text(Some(Cow::Owned(text))))
            }
            Kind::Day(at) => match at(message).trim() {
                "" => (false, Arg::Date(None)),
                text => {
                    let day: NaiveDate = text.parse().map_err(|_| InvalidValue {
                        field,
                        message: "must be a date in the form YYYY-MM-DD",
                    })?;
                    (true, day.into())
                }
            },
            Kind::Int(at, default) => match *at(message) {
                0 => (false, default.into()),
                number => (true, number.into()),
            },
            Kind::Reference(at) => match at(message).as_str() {
                "" => (false, Arg::Uuid(None)),
                id => (
                    true,
                    Uuid::parse_str(id)
                        .map_err(|_| InvalidValue { field, message: "must be a UUID" })?
                        .into(),
                ),
            },
            // The contract's rules have refused times that cannot be converted.
            Kind::Moment(at) => {
                let time = at(message).take();
                (time.is_some(), time.and_then(utc).into())
            }
            // Also uses the default if a mask names the field and no value is given.
            Kind::Flag(at, default) => {
                let flag = *at(message);
                (flag.is_some(), flag.unwrap_or(default).into())
            }
            Kind::Id(_) | Kind::Etag(_) | Kind::Time(_) | Kind::Bool(_) => return Ok(()),
        };
        into.push(Value { field, column, is_given, value });
        Ok(())
    }
}

/// Text that cannot be converted. The contract's rules already refuse most such texts.
pub(crate) struct InvalidValue {
    pub(crate) field: &'static str,
    pub(crate) message: &'static str,
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[derive(Default)]
    struct Visit {
        doctor_id: String,
        at: Option<Timestamp>,
        status: i32,
    }

    const FIELDS: [Field<Visit>; 3] = [
        Field::reference("doctor_id", |visit| &mut visit.doctor_id),
        Field::timestamp("at", |visit| &mut visit.at),
        Field::enumeration("status", |visit| &mut visit.status, 1),
    ];

    fn taken(mut visit: Visit) -> Vec<(bool, Arg)> {
        let mut values = Vec::new();
        for field in FIELDS {
            assert!(field.take(&mut visit, &mut values).is_ok());
        }
        values.into_iter().map(|value| (value.is_given, value.value)).collect()
    }

    #[test]
    fn links_times_and_choices_are_written_as_given_or_with_their_default() {
        let id = Uuid::from_u128(7);
        let given = Visit { doctor_id: id.to_string(), at: Some(Timestamp::default()), status: 2 };
        let values = taken(given);
        let [
            (true, Arg::Uuid(Some(doctor_id))),
            (true, Arg::Time(Some(at))),
            (true, Arg::BigInt(Some(2))),
        ] = values.as_slice()
        else {
            panic!("the given values are written");
        };
        assert_eq!((*doctor_id, *at), (id, DateTime::UNIX_EPOCH));
        let values = taken(Visit::default());
        let [(false, Arg::Uuid(None)), (false, Arg::Time(None)), (false, Arg::BigInt(Some(1)))] =
            values.as_slice()
        else {
            panic!("the defaults are written");
        };
    }
}
