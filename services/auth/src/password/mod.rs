//! Passwords: which ones are accepted, and how they are stored.

mod change;
mod common;
mod gate;
mod hasher;
mod rules;
mod turns;

pub(crate) use hasher::{Hasher, Permit, Verdict};
pub(crate) use rules::{Person, problems};
use secrecy::SecretString;

/// Without letters that look like others, because people type these passwords from a screen.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// Generates a password of 100 random bits, such as `k7f2m-9xqtw-…`.
pub fn generate_password() -> SecretString {
    let mut text = String::with_capacity(23);
    for (at, byte) in clinic_random::bytes::<20>().into_iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        // 32 divides 256: every character is equally likely.
        let letter = ALPHABET.get(usize::from(byte) % ALPHABET.len()).copied();
        text.push(char::from(letter.unwrap_or(b'x')));
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_generated_password_is_long_new_and_readable() {
        assert_eq!(ALPHABET.iter().collect::<HashSet<_>>().len(), 32);
        let (one, two) = (generate_password(), generate_password());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert_eq!(one.expose_secret().len(), 23);
        assert!(problems(one.expose_secret(), &Person::default()).is_empty());
    }
}
