//! The password rules: those of Django's four validators, which the systems that Clinic replaces
//! enforce, with 8 to 128 characters.

use std::collections::HashMap;

use super::common::is_common;

const LENGTHS: std::ops::RangeInclusive<usize> = 8..=128;

/// The owner of a password. The password must not resemble these attributes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Person<'a> {
    pub(crate) email: &'a str,
    pub(crate) username: &'a str,
    pub(crate) name: &'a str,
}

/// Returns a message for each rule that a password breaks.
pub(crate) fn problems(password: &str, person: &Person<'_>) -> Vec<&'static str> {
    let mut problems = Vec::new();
    let lower = password.to_lowercase();
    if !LENGTHS.contains(&password.chars().count()) {
        problems.push("must be 8 to 128 characters long");
    }
    if is_common(lower.trim()) {
        problems.push("must not be a common password");
    }
    if password.chars().all(char::is_numeric) {
        problems.push("must not be all digits");
    }
    if person.attributes().any(|attribute| resembles(&lower, &attribute)) {
        problems.push("must not be close to the e-mail address, username or name");
    }
    problems
}

impl Person<'_> {
    /// Returns each attribute and its parts, in lower case.
    fn attributes(&self) -> impl Iterator<Item = String> {
        [self.email, self.username, self.name].into_iter().flat_map(|attribute| {
            let lower = attribute.to_lowercase();
            let local = lower.split('@').next().unwrap_or_default().to_owned();
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let words = lower.split(|c| !is_word(c)).map(str::to_owned).collect::<Vec<_>>();
            words.into_iter().chain([local, lower]).filter(|part| !part.is_empty())
        })
    }
}

/// Returns whether at least 70 % of the characters are the same, in any order. This is the measure
/// of Django's validator (Python's `SequenceMatcher.quick_ratio`), so its passwords remain valid.
fn resembles(password: &str, attribute: &str) -> bool {
    let (mine, theirs) = (password.chars().count(), attribute.chars().count());
    let mut available: HashMap<char, usize> = HashMap::new();
    for c in attribute.chars() {
        *available.entry(c).or_default() += 1;
    }
    let mut shared = 0;
    for c in password.chars() {
        if let Some(left) = available.get_mut(&c).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    // 2 · shared / (mine + theirs) ≥ 0.7, without fractions.
    20 * shared >= 7 * (mine + theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOHN: Person<'_> = Person {
        email: "john.smith@clinic.example",
        username: "jsmith77",
        name: "John O. Smithers",
    };

    #[test]
    fn the_passwords_that_the_documentation_shows_are_taken() {
        let test = Person { email: "test@example.com", username: "", name: "Test User" };
        let doctor = Person { email: "doctor@example.com", username: "doctor", name: "Dr House" };
        for password in ["testpass123", "securepassword123"] {
            for person in [test, doctor, JOHN] {
                assert_eq!(problems(password, &person), Vec::<&str>::new(), "{password}");
            }
        }
    }

    #[test]
    fn common_passwords_are_refused_whatever_their_case() {
        for password in [
            "password",
            "12345678",
            "qwerty123",
            "password123",
            "iloveyou",
            "PassWord1",
            "QWERTYUIOP",
        ] {
            assert!(
                problems(password, &JOHN).contains(&"must not be a common password"),
                "{password}"
            );
        }
    }

    #[test]
    fn length_counts_characters() {
        let message = "must be 8 to 128 characters long";
        assert!(problems("äöüßéèà", &JOHN).contains(&message));
        assert!(problems("äöüßéèàñ", &JOHN).is_empty());
        assert!(problems(&"äb".repeat(64), &JOHN).is_empty());
        assert!(problems(&"äb".repeat(65), &JOHN).contains(&message));
    }

    #[test]
    fn digits_alone_are_refused() {
        assert_eq!(problems("90817263544", &JOHN), ["must not be all digits"]);
    }

    #[test]
    fn a_password_close_to_the_person_is_refused() {
        let message = "must not be close to the e-mail address, username or name";
        for password in [
            "john.smith@clinic.example",
            "John.Smith1",
            "jsmith778",
            "smithers1",
            "1srehtims",
            "clinic.example",
            "johno.smithers",
        ] {
            assert!(problems(password, &JOHN).contains(&message), "{password}");
        }
        assert!(problems("correct horse battery", &JOHN).is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        assert_eq!(problems("1234567", &JOHN).len(), 2);
        assert_eq!(problems("12345678", &JOHN).len(), 2);
    }
}
