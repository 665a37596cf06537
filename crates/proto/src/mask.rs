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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(paths: &[&str]) -> [bool; 2] {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mask = Mask::of(Some(FieldMask { paths }));
        [mask.selects("notes", true), mask.selects("reason_for_visit", false)]
    }

    #[test]
    fn without_a_mask_what_is_given_changes_and_with_a_star_everything() {
        assert_eq!(selected(&[]), [true, false]);
        assert_eq!(selected(&["*"]), [true, true]);
        assert_eq!(selected(&["reason_for_visit"]), [false, true]);
    }
}
