//! The public keys of access tokens, fetched from auth and kept fresh.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clinic_identity::{AccessVerifier, Authenticated, ClaimsSigner, Jwk, TokenError};
use clinic_net::{Context, Error, Upstream};
use clinic_proto::auth::v1::GetJwksRequest;
use clinic_stubs::auth::v1::token_service_client::TokenServiceClient;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How old the keys may get.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
/// How soon to try again while auth does not answer.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How often an unknown key may make the gateway ask auth: a flood of forged tokens must not
/// become a flood of calls.
const ASK_EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Keyring {
    verifier: AccessVerifier,
    auth: Upstream,
    signer: Arc<ClaimsSigner>,
    known: RwLock<Vec<Jwk>>,
    asked: Mutex<Option<Instant>>,
}

impl Keyring {
    pub(crate) fn new(auth: Upstream, signer: Arc<ClaimsSigner>, verifier: AccessVerifier) -> Self {
        Self { verifier, auth, signer, known: RwLock::default(), asked: Mutex::new(None) }
    }

    /// Returns the account of an access token that is valid now.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<Authenticated>, Refused> {
        match self.verifier.verify(token) {
            Ok(access) => Ok(access),
            Err(TokenError::UnknownKey) => {
                self.ask_now().await;
                if self.keys().is_empty() {
                    return Err(Refused::NoKeys);
                }
                self.verifier.verify(token).map_err(Refused::Token)
            }
            Err(error) => Err(Refused::Token(error)),
        }
    }

    /// The keys as auth last gave them.
    pub(crate) fn keys(&self) -> Vec<Jwk> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks auth again and again.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let pause = if self.fetch().await.is_ok() { REFRESH_EVERY } else { RETRY_EVERY };
            sleep(pause).await;
        }
    }

    async fn ask_now(&self) {
        // Those who wait here find the keys that the first one fetched.
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            // Also when it fails: auth is asked in the background all the same.
            let _ = self.fetch().await;
            *asked = Some(Instant::now());
        }
    }

    async fn fetch(&self) -> Result<(), ()> {
        let ctx = Context::anonymous(&self.signer).map_err(|error| {
            tracing::error!(%error, "claims cannot be signed");
        })?;
        let request = ctx.request(GetJwksRequest {});
        let mut auth = TokenServiceClient::new(self.auth.clone());
        match timeout(PATIENCE, auth.get_jwks(request)).await {
            Ok(Ok(answer)) => {
                let keys: Vec<Jwk> = answer.into_inner().keys.into_iter().map(Jwk::from).collect();
                self.verifier.set_keys(keys.clone());
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
                Ok(())
            }
            Ok(Err(status)) => {
                tracing::debug!(code = ?status.code(), "auth gives no keys");
                Err(())
            }
            Err(_) => Err(()),
        }
    }
}

/// Why a token does not count.
pub(crate) enum Refused {
    Token(TokenError),
    /// Auth has not given its keys yet: nothing can be said of the token.
    NoKeys,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Token(error) => {
                tracing::debug!(%error, "access token refused");
                Self::invalid_token()
            }
            Refused::NoKeys => Self::unavailable(
                "tokens cannot be verified yet: try again soon",
                "auth has not given its keys",
            ),
        }
    }
}
