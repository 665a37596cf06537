//! Case-insensitive comparison of text and prefix search of names.

/// Returns the key by which a name is sorted and searched.
pub fn name_key(name: &str) -> Vec<u8> {
    fold(name).into_bytes()
}

/// Folds case for comparison.
///
/// Converts each character separately, so that the key of a prefix is a prefix of the key;
/// `str::to_lowercase` looks at the neighbours of a Σ. Converts to upper case first, because some
/// lower-case letters share an upper case: ς and σ, or ß and ss.
pub fn fold(text: &str) -> String {
    text.trim().chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The beginning of a name.
#[derive(Clone)]
pub struct Prefix(Vec<u8>);

impl Prefix {
    /// Returns `None` if the query is blank.
    pub fn new(query: &str) -> Option<Self> {
        Some(name_key(query)).filter(|key| !key.is_empty()).map(Self)
    }

    /// Returns the first key with this prefix.
    pub fn low(&self) -> Vec<u8> {
        self.0.clone()
    }

    /// Returns an upper bound of the keys with this prefix: 0xFF is never in UTF-8.
    pub fn high(&self) -> Vec<u8> {
        let mut high = self.0.clone();
        high.push(0xff);
        high
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
            let (prefix, key) = (Prefix::new(prefix).unwrap(), name_key(name));
            assert!(key.starts_with(&prefix.0), "{name}");
            assert!(key >= prefix.low() && key < prefix.high(), "{name}");
        }
        assert!(
            name_key("smith") >= Prefix::new("smits").unwrap().low()
                || name_key("smith") < name_key("smits")
        );
        assert!(Prefix::new("  ").is_none());
    }
}
