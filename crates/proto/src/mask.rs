//! Which fields an update changes (AIP-134).

use prost_types::FieldMask;

/// See the module. Paths that are no field have been refused when the request was decoded.
pub enum Mask {
    /// Those that are given.
    Given,
    /// All that may change.
    All,
    /// These.
    Only(Vec<String>),
}

impl Mask {
    /// What a request's mask asks for.
    pub fn of(mask: Option<FieldMask>) -> Self {
        match mask {
            None => Self::Given,
            Some(FieldMask { paths }) if paths.is_empty() => Self::Given,
            Some(FieldMask { paths }) if paths.iter().any(|path| path == "*") => Self::All,
            Some(FieldMask { paths }) => Self::Only(paths),
        }
    }

    /// Whether a field changes; `given` says whether the request holds a value for it.
    pub fn selects(&self, field: &str, given: bool) -> bool {
        match self {
            Self::Given => given,
            Self::All => true,
            Self::Only(paths) => paths.iter().any(|path| path == field),
        }
    }

    /// The new value of a text field, unless it stays as it is. Surrounding space is trimmed; an
    /// empty text counts as not given.
    pub fn text(&self, field: &str, value: &str) -> Option<String> {
        let value = value.trim();
        self.selects(field, !value.is_empty()).then(|| value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(paths: &[&str]) -> [Option<String>; 2] {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mask = Mask::of(Some(FieldMask { paths }));
        [mask.text("notes", " BP <120\n"), mask.text("reason_for_visit", " ")]
    }

    #[test]
    fn without_a_mask_what_is_given_changes_and_with_a_star_everything() {
        let (notes, empty) = (Some("BP <120".to_owned()), Some(String::new()));
        assert_eq!(changed(&[]), [notes.clone(), None]);
        assert_eq!(changed(&["*"]), [notes, empty.clone()]);
        assert_eq!(changed(&["reason_for_visit"]), [None, empty]);
    }
}
