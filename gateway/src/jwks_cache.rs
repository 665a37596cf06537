//! Verifies access tokens with public keys that are fetched from auth and refreshed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clinic_identity::{AccessVerifier, Authenticated, ClaimsSigner, Jwk, TokenError};
use clinic_net::{Context, Error, Upstream};
use clinic_proto::auth::v1::GetJwksRequest;
use clinic_stubs::auth::v1::token_service_client::TokenServiceClient;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How often the keys are refreshed.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
/// How often to retry while auth does not respond.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Minimum time between calls to auth for unknown keys: a flood of forged tokens must not become a
/// flood of calls.
const ASK_EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct JwksCache {
    verifier: AccessVerifier,
    auth: Upstream,
    signer: Arc<ClaimsSigner>,
    known: RwLock<Vec<Jwk>>,
    asked: Mutex<Option<Instant>>,
}

impl JwksCache {
    pub(crate) fn new(auth: Upstream, signer: Arc<ClaimsSigner>, verifier: AccessVerifier) -> Self {
        Self { verifier, auth, signer, known: RwLock::default(), asked: Mutex::new(None) }
    }

    /// Returns the account of an access token that is valid now.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<Authenticated>, TokenRejection> {
        match self.verifier.verify(token) {
            Ok(access) => Ok(access),
            Err(TokenError::UnknownKey) => {
                self.ask_now().await;
                if self.keys().is_empty() {
                    return Err(TokenRejection::NoKeys);
                }
                self.verifier.verify(token).map_err(TokenRejection::Token)
            }
            Err(error) => Err(TokenRejection::Token(error)),
        }
    }

    /// Returns the keys that were last fetched.
    pub(crate) fn keys(&self) -> Vec<Jwk> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refreshes the keys until it is cancelled.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let pause = if self.fetch().await.is_ok() { REFRESH_EVERY } else { RETRY_EVERY };
            sleep(pause).await;
        }
    }

    async fn ask_now(&self) {
        // Callers that wait for the lock use the keys that the first one fetched.
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            // A failure is ignored: `keep_fresh` retries.
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
                tracing::debug!(code = ?status.code(), "cannot fetch the keys from auth");
                Err(())
            }
            Err(_) => Err(()),
        }
    }
}

/// Why a token is rejected.
pub(crate) enum TokenRejection {
    Token(TokenError),
    /// The keys have not been fetched yet.
    NoKeys,
}

impl From<TokenRejection> for Error {
    fn from(refused: TokenRejection) -> Self {
        match refused {
            TokenRejection::Token(error) => {
                tracing::debug!(%error, "access token refused");
                Self::invalid_token()
            }
            TokenRejection::NoKeys => Self::unavailable(
                "tokens cannot be verified yet: try again soon",
                "the keys have not been fetched from auth",
            ),
        }
    }
}
