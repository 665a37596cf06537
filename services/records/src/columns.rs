//! What a request writes: columns with their values.

use clinic_proto::mask::Mask;
use clinic_store::{Arg, Changes};

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

/// What an update changes: the columns of the fields that its mask selects.
pub(crate) fn changes(mask: &Mask, columns: Vec<Column>) -> Changes {
    let selected = columns.into_iter().filter(|c| mask.selects(c.field, c.given));
    selected.map(|column| (column.name, column.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrounding_space_is_trimmed_and_nothing_else() {
        assert!(matches!(text("email", " a  b\t").value, Arg::Text(Some(text)) if text == "a  b"));
        assert!(!text("email", " ").given);
    }
}
