//! A public Ed25519 key as a JSON Web Key (RFC 8037).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A public Ed25519 key. The fields are those of RFC 7517 and RFC 8037.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: `OKP`.
    pub kty: String,
    /// Curve: `Ed25519`.
    pub crv: String,
    /// The public key, base64url.
    pub x: String,
    /// Key id: the `kid` of the tokens that it signs.
    pub kid: String,
    /// Algorithm: `EdDSA`.
    pub alg: String,
    /// Use: `sig`.
    #[serde(rename = "use")]
    pub usage: String,
}

impl Jwk {
    pub(crate) fn new(kid: &str, public_key: &[u8]) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(public_key),
            kid: kid.to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
        }
    }

    /// Returns the public key's 32 bytes. None if this is not an Ed25519 key for signatures.
    pub(crate) fn public_key(&self) -> Option<[u8; 32]> {
        let key: [u8; 32] = BASE64_URL_SAFE_NO_PAD.decode(&self.x).ok()?.try_into().ok()?;
        (!self.kid.is_empty() && *self == Self::new(&self.kid, &key)).then_some(key)
    }
}

impl From<Jwk> for clinic_proto::auth::v1::Jwk {
    fn from(Jwk { kty, crv, x, kid, alg, usage }: Jwk) -> Self {
        Self { kty, crv, x, kid, alg, r#use: usage }
    }
}

impl From<clinic_proto::auth::v1::Jwk> for Jwk {
    fn from(jwk: clinic_proto::auth::v1::Jwk) -> Self {
        let clinic_proto::auth::v1::Jwk { kty, crv, x, kid, alg, r#use } = jwk;
        Self { kty, crv, x, kid, alg, usage: r#use }
    }
}
