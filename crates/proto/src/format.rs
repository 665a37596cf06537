//! The text formats of the rules: standard ones of protovalidate, and the predefined ones of
//! `clinic/access/v1/formats.proto`, where CEL expressions define the same checks.

use std::sync::LazyLock;

use chrono::{NaiveDate, TimeDelta, Utc};
use regex::Regex;

/// A text format: its error message and its check.
pub struct Format {
    pub message: &'static str,
    pub is_valid: fn(&str) -> bool,
}

pub const EMAIL: Format = Format {
    message: "must be an e-mail address",
    is_valid: |text| {
        // The HTML standard's definition, which protovalidate uses too.
        #[expect(clippy::unwrap_used, reason = "a constant expression, compiled by every test")]
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(concat!(
                r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?",
                r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
            ))
            .unwrap()
        });
        PATTERN.is_match(text)
    },
};
pub const UUID: Format = Format { message: "must be a UUID", is_valid: is_uuid };
pub const LINE: Format = Format {
    message: "must be one line of text without control characters",
    is_valid: |text| {
        !text.chars().any(char::is_control) && text.chars().any(|c| !c.is_whitespace())
    },
};
pub const PROSE: Format = Format {
    message: "must not contain control characters other than line feed and tab \
              (lines end in \\n, not in \\r\\n)",
    is_valid: |text| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')),
};
pub const ID_OR_ME: Format = Format {
    message: "must be a UUID, or `me` for your own",
    is_valid: |text| text == "me" || is_uuid(text),
};
pub const BIRTH_DATE: Format = Format {
    message: "must be a date in the form YYYY-MM-DD, not in the future and at most 150 years ago",
    is_valid: is_birth_date,
};
pub const AMOUNT: Format = Format {
    message: "must be an amount with at most 8 digits and 2 decimals, such as 150.50",
    is_valid: |text| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        digits(whole, 8) && digits(decimals, 2)
    },
};
pub const PHONE: Format = Format {
    message: "must be a telephone number: 5 to 20 digits, spaces and + - . ( ) / x",
    is_valid: |text| {
        let rest = text.strip_prefix('+').unwrap_or(text);
        (5..=20).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_digit() || b" ().-/x".contains(&b))
            && rest.bytes().any(|b| b.is_ascii_digit())
    },
};
pub const USERNAME: Format = Format {
    message: "must be 3 to 64 letters, digits and . _ -, beginning with a letter or digit",
    is_valid: |text| {
        (3..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    },
};

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// 150 years. The longest known life is 122 years.
const MAX_AGE: TimeDelta = TimeDelta::days(54_788);

fn is_birth_date(text: &str) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a rule of the contract has no access to the clock"
    )]
    let today = Utc::now().date_naive();
    text.len() == 10
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .is_ok_and(|day| (TimeDelta::zero()..=MAX_AGE).contains(&(today - day)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(format: &Format, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((format.is_valid)(text), "{text:?} should pass: {}", format.message);
        }
        for text in bad {
            assert!(!(format.is_valid)(text), "{text:?} should fail: {}", format.message);
        }
    }

    #[test]
    fn formats_accept_valid_texts_and_reject_others() {
        judge(
            &EMAIL,
            &["a@b", "test@example.com", "x+y@sub.example.org"],
            &["", "a", "a@", "@b", "a b@c", "a@b c"],
        );
        judge(&LINE, &["Ann", "Zoë O'Neil", "山田"], &["", " ", "a\nb", "a\0", "\u{85}x"]);
        judge(
            &PROSE,
            &["", "BP <120\n\tfine"],
            &["a\0b", "\u{1b}[31m", "two\r\nlines", "two\rlines", "\u{b}", "\u{85}"],
        );
        judge(
            &BIRTH_DATE,
            &["1985-05-15", "2000-02-29"],
            &[
                "",
                "1985-5-15",
                "2001-02-29",
                "2999-01-01",
                "1800-01-01",
                "+985-05-15",
                "15.05.1985",
            ],
        );
        judge(
            &AMOUNT,
            &["0", "150", "150.5", "99999999.99"],
            &["", ".5", "1.", "1.234", "-1", "1e3", "123456789"],
        );
        judge(
            &PHONE,
            &["5551234567", "+1 (555) 123-4567"],
            &["", "1234", "call me", "-----", "1234567890123456789012"],
        );
        judge(&USERNAME, &["ann", "dr.who_1"], &["", "ab", ".ann", "a b c", "ann@x"]);
        judge(
            &ID_OR_ME,
            &["me", "01890a5d-ac96-774b-bcce-b302099a8057"],
            &["", "ME", "1", "01890a5dac96774bbcceb302099a8057----"],
        );
    }

    /// Returns the pattern in the CEL expression of a predefined rule.
    fn pattern_in_cel(rule: &str) -> Regex {
        let contract = include_str!("../../../proto/clinic/access/v1/formats.proto");
        let (_, text) = contract.split_once(&format!("optional bool {rule} = ")).unwrap();
        let (_, text) = text.split_once("this.matches('").unwrap();
        let (pattern, _) = text.split_once("')").unwrap();
        // Escaped twice: a CEL string within a protobuf string.
        Regex::new(&pattern.replace(r"\\\\", r"\")).unwrap()
    }

    #[test]
    fn line_and_prose_agree_with_the_contract_on_every_control_character() {
        for (rule, format) in [("line", &LINE), ("prose", &PROSE)] {
            let pattern = pattern_in_cel(rule);
            for character in '\0'..='\u{ff}' {
                let text = format!("a{character}b");
                let is_valid = (format.is_valid)(&text);
                assert_eq!(pattern.is_match(&text), is_valid, "{rule}: {character:?}");
            }
        }
    }
}
