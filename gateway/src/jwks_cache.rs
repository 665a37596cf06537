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

    /// Returns the account of an access token. On public methods an expired token, or one with an
    /// unknown key, counts as none: the client may be about to refresh it.
    pub(crate) async fn verify(
        &self,
        token: &str,
        is_public: bool,
    ) -> Result<Option<Arc<Authenticated>>, Error> {
        let mut verified = self.verifier.verify(token);
        if matches!(verified, Err(TokenError::UnknownKey)) {
            self.ask_now().await;
            if self.keys().is_empty() {
                return Err(Error::unavailable(
                    "tokens cannot be verified yet: try again soon",
                    "the keys have not been fetched from auth",
                ));
            }
            verified = self.verifier.verify(token);
        }
        match verified {
            Ok(caller) => Ok(Some(caller)),
            Err(TokenError::Expired | TokenError::UnknownKey) if is_public => Ok(None),
            Err(error) => {
                tracing::debug!(%error, "access token refused");
                Err(Error::invalid_token())
            }
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
        let response = timeout(PATIENCE, auth.get_jwks(request)).await.map_err(|_| ())?;
        let response = response.map_err(|status| {
            tracing::debug!(code = ?status.code(), "cannot fetch the keys from auth");
        })?;
        let keys: Vec<Jwk> = response.into_inner().keys.into_iter().map(Jwk::from).collect();
        self.verifier.set_keys(keys.clone());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}
