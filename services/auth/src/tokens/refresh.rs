//! Refresh tokens: 256 random bits, of which only the SHA-256 is stored.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Separates this use of the token as a key from any other.
const SUCCESSOR: &[u8] = b"clinic refresh token successor";

/// A refresh token. No `Debug`: it is as good as a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken([u8; 32]);

impl RefreshToken {
    /// Generates a token.
    pub(crate) fn generate() -> Self {
        Self(clinic_random::bytes())
    }

    /// Parses a token that a client sent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Returns the text that the client gets.
    pub(crate) fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the hash that is stored. The token is random, so a fast hash without salt is enough.
    pub(crate) fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.0).as_ref().to_vec()
    }

    /// Derives the next token. The result is always the same for the same token and salt. It cannot
    /// be derived from the salt and the hashes, which are all that is stored.
    pub(crate) fn successor(&self, salt: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(salt);
        context.update(SUCCESSOR);
        let mut token = [0; 32];
        for (to, from) in token.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Self(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_text() {
        let token = RefreshToken::generate();
        assert!(RefreshToken::parse(&token.text()) == Some(token.clone()));
        assert_ne!(token.hash(), RefreshToken::generate().hash());
        for text in ["", "x", &token.text()[1..], &format!("{}A", token.text()), "…"] {
            assert!(RefreshToken::parse(text).is_none());
        }
    }

    #[test]
    fn the_successor_depends_on_token_and_salt_alone() {
        let token = RefreshToken::generate();
        assert!(token.successor(b"salt") == token.successor(b"salt"));
        assert!(token.successor(b"salt") != token.successor(b"other"));
        assert!(token.successor(b"salt") != RefreshToken::generate().successor(b"salt"));
    }
}
