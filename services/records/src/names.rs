//! How names are searched: without regard to case, by their beginning.

use clinic_store::Query;

use crate::columns::Column;

/// What a name is sorted and found by: without case, as UTF-8.
pub(crate) fn key(name: &str) -> Vec<u8> {
    fold(name).into_bytes()
}

/// The column that a name is searched by.
pub(crate) fn column(field: &'static str, name: &'static str, text: &str) -> Column {
    let key = key(text);
    Column { field, name, given: !key.is_empty(), value: key.into() }
}

/// Text for comparing without regard to case.
///
/// Character by character, unlike `str::to_lowercase`, which looks at the neighbours of a Σ: the key
/// of a prefix must be a prefix of the key. By way of the upper case, because some lower-case letters
/// share theirs: ς and σ, or ß and ss.
pub(crate) fn fold(text: &str) -> String {
    text.trim().chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The beginning of a name.
#[derive(Clone)]
pub(crate) struct Prefix(Vec<u8>);

impl Prefix {
    /// None when there is nothing to search for.
    pub(crate) fn new(query: &str) -> Option<Self> {
        Some(key(query)).filter(|key| !key.is_empty()).map(Self)
    }

    /// The first key with this prefix.
    pub(crate) fn low(&self) -> Vec<u8> {
        self.0.clone()
    }

    /// What every key with this prefix comes before: 0xFF is in no UTF-8.
    pub(crate) fn high(&self) -> Vec<u8> {
        let mut high = self.0.clone();
        high.push(0xff);
        high
    }

    /// Appends the condition that either name has the prefix.
    pub(crate) fn push_either(&self, query: &mut Query) {
        query.push("(last_name_key >= ").push_bind(self.low());
        query.push(" AND last_name_key < ").push_bind(self.high());
        query.push(" OR first_name_key >= ").push_bind(self.low());
        query.push(" AND first_name_key < ").push_bind(self.high()).push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_prefix_is_a_prefix_of_the_key() {
        for (prefix, name) in [
            ("mc", " McDonald"),
            ("ÉM", "émile"),
            ("ΟΔΟΣ", "Οδοσακις"),
            ("ΟΔΟΣ", "οδος"),
            ("GROSS", "Große"),
            ("groß", "GROSSE"),
            ("İ", "İnci"),
            ("李", "李雷"),
        ] {
            let (prefix, key) = (Prefix::new(prefix).unwrap(), key(name));
            assert!(key.starts_with(&prefix.0), "{name}");
            assert!(key >= prefix.low() && key < prefix.high(), "{name}");
        }
        assert!(key("smith") >= Prefix::new("smits").unwrap().low() || key("smith") < key("smits"));
        assert!(Prefix::new("  ").is_none());
    }
}
