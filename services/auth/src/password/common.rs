//! The list of common passwords; see `data/README.md` for where it comes from.

/// Sorted by byte, one per line, in lower case.
const LIST: &str = include_str!("../../data/common-passwords.txt");

/// Returns whether a lower-case password is on the list. Searches the embedded text, so no copy is
/// kept in memory.
pub(super) fn is_common(password: &str) -> bool {
    let (mut rest, wanted) = (LIST.as_bytes(), password.as_bytes());
    while !rest.is_empty() {
        let (before, after) = rest.split_at(rest.len() / 2);
        // The line that contains the middle.
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = after.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| before.len() + at);
        match rest.get(start..end).unwrap_or_default().cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => rest = rest.get(end + 1..).unwrap_or_default(),
            std::cmp::Ordering::Greater => rest = rest.get(..start).unwrap_or_default(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_password_of_the_list_is_found_and_nothing_else() {
        let lines: Vec<_> = LIST.lines().collect();
        assert!(lines.is_sorted() && lines.len() > 8000);
        for line in &lines {
            assert!(is_common(line), "{line}");
            assert!(!is_common(&format!("{line}\n")), "{line}");
        }
        for password in ["", "\n", "!", "zzzzzzzzzzzzzz", "testpass123", "securepassword123"] {
            assert!(!is_common(password), "{password}");
        }
    }
}
