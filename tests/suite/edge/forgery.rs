//! Tokens and claims with any content, signed with any key.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clinic_testkit::Suite;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The header, claims and key of a token that is not signed yet.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) header: Header,
    pub(crate) claims: Value,
    pub(crate) key: EncodingKey,
}

impl Forged {
    /// Returns a valid access token of an account, with auth's key.
    pub(crate) fn access(suite: &Suite, user_id: &str) -> Self {
        let key = newest(&suite.keys().path().join("access"));
        Self::new(suite, "at+jwt", &key, "clinic", "clinic", user_claims(suite, user_id))
    }

    /// Returns claims of an account, with the issuer's key.
    pub(crate) fn claims(suite: &Suite, issuer: &str, user_id: &str) -> Self {
        let mut claims = user_claims(suite, user_id);
        claims["kind"] = json!("user");
        Self::issued(suite, issuer, claims)
    }

    /// Returns other claims, with the issuer's key.
    pub(crate) fn issued(suite: &Suite, issuer: &str, claims: Value) -> Self {
        let key = newest(&suite.keys().path().join("issuers").join(issuer));
        Self::new(suite, "clinic-claims+jwt", &key, issuer, "clinic-internal", claims)
    }

    fn new(suite: &Suite, typ: &str, key: &Path, iss: &str, aud: &str, mut claims: Value) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(key.file_stem().unwrap().to_str().unwrap().to_owned());
        let now = suite.clock.unix();
        claims["iss"] = json!(iss);
        claims["aud"] = json!(aud);
        claims["iat"] = json!(now);
        claims["nbf"] = json!(now);
        claims["exp"] = json!(now + 50);
        claims["jti"] = json!(suite.clock.new_id());
        let key = EncodingKey::from_ed_der(pem::parse(fs::read(key).unwrap()).unwrap().contents());
        Self { header, claims, key }
    }

    pub(crate) fn with(mut self, claim: &str, value: Value) -> Self {
        self.claims[claim] = value;
        self
    }

    pub(crate) fn without(mut self, claim: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(claim);
        self
    }

    pub(crate) fn typ(mut self, typ: Option<&str>) -> Self {
        self.header.typ = typ.map(str::to_owned);
        self
    }

    pub(crate) fn kid(mut self, kid: Option<&str>) -> Self {
        self.header.kid = kid.map(str::to_owned);
        self
    }

    pub(crate) fn key(mut self, key: EncodingKey) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.header.alg = algorithm;
        self
    }

    pub(crate) fn sign(&self) -> String {
        jsonwebtoken::encode(&self.header, &self.claims, &self.key).unwrap()
    }

    /// Encodes the token without a signature, with this spelling of `none` as its algorithm.
    pub(crate) fn unsigned(&self, none: &str) -> String {
        let header = json!({ "alg": none, "typ": self.header.typ, "kid": self.header.kid });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&header), part(&self.claims))
    }
}

/// Generates an Ed25519 key that no verifier knows.
pub(crate) fn unknown_key() -> EncodingKey {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    EncodingKey::from_ed_der(&key.serialize_der())
}

fn user_claims(suite: &Suite, user_id: &str) -> Value {
    json!({
        "sub": user_id,
        "sid": suite.clock.new_id(),
        "roles": ["staff"],
        "email_verified": false,
    })
}

fn newest(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "pem")).max().unwrap()
}
