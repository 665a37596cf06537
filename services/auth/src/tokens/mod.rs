//! The tokens of a signed-in client.

mod refresh;

use clinic_identity::User as Subject;
use clinic_proto::auth::v1::{GetJwksResponse, Tokens};
use clinic_proto::time::timestamp;
pub(crate) use refresh::RefreshToken;

use crate::Auth;
use crate::error::Error;
use crate::sessions::SignIn;
use crate::users::User;

impl Auth {
    /// Returns the tokens of a session. The access token has the account's current roles.
    pub(crate) fn tokens(&self, user: &User, sign_in: &SignIn) -> Result<Tokens, Error> {
        let subject = Subject {
            id: user.id,
            session_id: sign_in.session_id,
            roles: user.roles(),
            email_verified: user.email_verified,
        };
        let (access, access_expires_at) = self.access.sign(&subject).map_err(Error::internal)?;
        Ok(Tokens {
            access,
            refresh: sign_in.refresh.text(),
            access_expires_at: Some(timestamp(access_expires_at)),
            refresh_expires_at: Some(timestamp(sign_in.refresh_expires_at)),
        })
    }

    pub(crate) fn get_jwks(&self) -> GetJwksResponse {
        GetJwksResponse { keys: self.access.jwks().into_iter().map(Into::into).collect() }
    }
}
