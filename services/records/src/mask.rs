//! What a request writes: columns with their values, and which of them an update changes.

use clinic_store::{Arg, Query};
use prost_types::FieldMask;

/// A column with its new value.
pub(crate) struct Column {
    /// The field of the resource that it comes from.
    pub(crate) field: &'static str,
    /// The column's name.
    pub(crate) name: &'static str,
    /// Whether the request gives the field: an empty one counts as not given.
    pub(crate) given: bool,
    /// What is written.
    pub(crate) value: Arg,
}

/// Text of a field: surrounding space is trimmed, everything else stays as it was given.
pub(crate) fn text(field: &'static str, value: &str) -> Column {
    let value = value.trim();
    Column { field, name: field, given: !value.is_empty(), value: value.to_owned().into() }
}

/// Which fields an update changes (AIP-134).
pub(crate) enum Mask {
    /// Those that are given.
    Given,
    /// All that may change.
    All,
    /// These.
    Only(Vec<String>),
}

impl Mask {
    /// Of a request. Paths that are no field have been refused before.
    pub(crate) fn of(mask: Option<FieldMask>) -> Self {
        match mask {
            None => Self::Given,
            Some(FieldMask { paths }) if paths.is_empty() => Self::Given,
            Some(FieldMask { paths }) if paths.iter().any(|path| path == "*") => Self::All,
            Some(FieldMask { paths }) => Self::Only(paths),
        }
    }

    fn selects(&self, column: &Column) -> bool {
        match self {
            Self::Given => column.given,
            Self::All => true,
            Self::Only(paths) => paths.iter().any(|path| path == column.field),
        }
    }

    /// Appends `, name = value` for every column that changes.
    pub(crate) fn push_changes(&self, query: &mut Query, columns: Vec<Column>) {
        for column in columns.into_iter().filter(|column| self.selects(column)) {
            query.push(", ").push(column.name).push(" = ").push_bind(column.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(paths: &[&str]) -> Vec<&'static str> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mask = Mask::of(Some(FieldMask { paths }));
        [text("first_name", " Ann "), text("email", " "), text("address", "")]
            .iter()
            .filter(|column| mask.selects(column))
            .map(|column| column.name)
            .collect()
    }

    #[test]
    fn without_a_mask_what_is_given_changes_and_with_a_star_everything() {
        assert_eq!(selected(&[]), ["first_name"]);
        assert_eq!(selected(&["*"]), ["first_name", "email", "address"]);
        assert_eq!(selected(&["email"]), ["email"]);
    }

    #[test]
    fn surrounding_space_is_trimmed() {
        assert!(matches!(text("email", " a b\t").value, Arg::Text(Some(text)) if text == "a b"));
    }
}
