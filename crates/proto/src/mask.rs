//! Update masks (AIP-134).

use prost_types::FieldMask;

/// The fields that an update changes. Validation has already refused unknown paths.
pub enum Mask {
    /// The fields with a value in the request.
    Given,
    /// All fields that can change.
    All,
    /// These fields.
    Only(Vec<String>),
}

impl Mask {
    /// Converts the mask of a request.
    pub fn of(mask: Option<FieldMask>) -> Self {
        match mask {
            None => Self::Given,
            Some(FieldMask { paths }) if paths.is_empty() => Self::Given,
            Some(FieldMask { paths }) if paths.iter().any(|path| path == "*") => Self::All,
            Some(FieldMask { paths }) => Self::Only(paths),
        }
    }

    /// Returns whether a field changes. `given` is whether the request has a value for it.
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
    fn an_empty_mask_selects_the_given_fields_and_a_star_selects_all() {
        assert_eq!(selected(&[]), [true, false]);
        assert_eq!(selected(&["*"]), [true, true]);
        assert_eq!(selected(&["reason_for_visit"]), [false, true]);
    }
}
