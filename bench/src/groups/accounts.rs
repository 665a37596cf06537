//! Signing in, which is bound by argon2 (slow by design), and tokens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use argon2::{Argon2, Block};
use clinic_clock::Clock;
use clinic_identity::AccessVerifier;
use clinic_proto::auth::v1::{LoginRequest, RefreshRequest, RegisterRequest};
use clinic_stubs::auth::v1::auth_service_client::AuthServiceClient;
use tokio::sync::Mutex;
use tonic::Code;
use tonic::transport::Channel;

use super::Stage as _;
use crate::load::{CONNECTIONS, Outcome, own};
use crate::measure::{Case, contest};
use crate::process::Watched;
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::{Data, Suite};
use crate::tokens;

pub(crate) const GROUP: &str = "accounts";
pub(crate) const LOGIN: &str = "Login";
pub(crate) const ARGON2: &str = "argon2 alone, all cores";

const PASSWORD: &str = "correct-horse-battery";

/// The suite with accounts that are signed in.
pub(crate) struct Stage<'a> {
    setting: &'a Setting,
    suite: Suite,
    /// The accounts' current refresh tokens; each is used once.
    tokens: Vec<Arc<Mutex<String>>>,
}

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let stage = Stage::start(setting, data).await?;
    let argon2 = Case::new(ARGON2, vec![], |time| async move {
        tokio::task::spawn_blocking(move || hashing(time)).await?
    });
    contest(report, GROUP, vec![stage.login(), argon2]).await?;
    if !setting.quick {
        contest(report, GROUP, vec![stage.refresh()]).await?;
        verification(data, report)?;
    }
    stage.stop().await
}

impl<'a> Stage<'a> {
    pub(crate) async fn start(setting: &'a Setting, data: &Data) -> Result<Self> {
        let suite = Suite::start(setting, data)?;
        let gateway = suite.gateway.address;
        register(gateway).await?;
        let mut tokens = Vec::new();
        for number in 0..CONNECTIONS {
            let response = client(gateway).await?.login(login_of(number)).await?.into_inner();
            tokens.push(Arc::new(Mutex::new(response.tokens.context("no tokens")?.refresh)));
        }
        Ok(Self { setting, suite, tokens })
    }

    fn login(&self) -> Case<'_> {
        let gateway = self.suite.gateway.address;
        Case::new(LOGIN, self.watched(), move |time| sign_in(gateway, time))
    }

    /// Returns the case of Refresh. Each caller continues with its own token across rounds.
    fn refresh(&self) -> Case<'_> {
        let gateway = self.suite.gateway.address;
        Case::new("Refresh", self.watched(), move |time| async move {
            let connect = async |number: u32| {
                let token = usize::try_from(number).ok().and_then(|at| self.tokens.get(at));
                Ok((client(gateway).await?, token.cloned().context("no token")?))
            };
            own::run(time, connect, |(mut auth, token)| async move {
                let mut known = token.lock().await;
                let request = RefreshRequest { refresh: known.clone() };
                let tokens = auth.refresh(request).await?.into_inner().tokens;
                let next = tokens.context("no tokens")?.refresh;
                ensure!(next != *known, "the same token again");
                *known = next;
                drop(known);
                Ok((auth, token))
            })
            .await
        })
    }

    fn watched(&self) -> Vec<Watched> {
        [self.suite.watched(), vec![self.setting.postgres.watched()]].concat()
    }
}

impl super::Stage for Stage<'_> {
    const GROUP: &'static str = GROUP;
    const TURNS: u32 = 2;

    fn cases(&self) -> Vec<Case<'_>> {
        let refresh = (!self.setting.quick).then(|| self.refresh());
        [self.login()].into_iter().chain(refresh).collect()
    }

    async fn stop(self) -> Result<()> {
        self.suite.stop()
    }
}

/// Creates the accounts that sign in, unless an earlier case has created them.
pub(super) async fn register(gateway: SocketAddr) -> Result<()> {
    for number in 0..CONNECTIONS {
        let mut auth = client(gateway).await?;
        let request = RegisterRequest {
            email: email(number),
            name: "Some Body".to_owned(),
            password: PASSWORD.to_owned(),
            ..RegisterRequest::default()
        };
        match auth.register(request).await {
            Err(status) if status.code() != Code::AlreadyExists => return Err(status.into()),
            Err(_) | Ok(_) => {}
        }
    }
    Ok(())
}

/// Signs all accounts in repeatedly.
pub(super) async fn sign_in(gateway: SocketAddr, time: Duration) -> Result<Outcome> {
    let connect = async |number| Ok((client(gateway).await?, number));
    own::run(time, connect, |(mut auth, number)| async move {
        let response = auth.login(login_of(number)).await?.into_inner();
        ensure!(response.user.is_some_and(|user| user.email == email(number)), "another's account");
        Ok((auth, number))
    })
    .await
}

async fn client(gateway: SocketAddr) -> Result<AuthServiceClient<Channel>> {
    AuthServiceClient::connect(format!("http://{gateway}")).await.context("cannot connect")
}

fn email(number: u32) -> String {
    format!("caller{number}@example.com")
}

fn login_of(number: u32) -> LoginRequest {
    let (email, password) = (email(number), PASSWORD.to_owned());
    LoginRequest { email, password, ..LoginRequest::default() }
}

/// Hashes passwords on every core with argon2's default parameters, which auth uses too.
fn hashing(time: Duration) -> Result<Outcome> {
    let began = Instant::now();
    let hash = || {
        let argon2 = Argon2::default();
        let mut memory = vec![Block::default(); argon2.params().block_count()];
        let (mut micros, mut output) = (Vec::new(), [0; 32]);
        while began.elapsed() < time {
            let start = Instant::now();
            let (password, salt) = (PASSWORD.as_bytes(), b"sixteen bytes of");
            argon2.hash_password_into_with_memory(password, salt, &mut output, &mut memory)?;
            micros.push(u64::try_from(start.elapsed().as_micros())?);
        }
        anyhow::Ok(micros)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let micros: Result<Vec<Vec<u64>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(hash)).collect();
        let results = threads.into_iter().map(ScopedJoinHandle::join);
        results.map(|micros| micros.map_err(|_| anyhow!("a hashing thread panicked"))?).collect()
    });
    Ok(Outcome::of(began.elapsed(), micros?.concat()))
}

/// Measures the verification of access tokens: first the signature, then the cache.
fn verification(data: &Data, report: &mut Report) -> Result<()> {
    const TOKENS: u32 = 2000;
    let signer = tokens::access_signer(&data.keys)?;
    let verifier = AccessVerifier::new(Clock::system());
    verifier.set_keys(signer.jwks());
    let tokens = (0..TOKENS).map(|session| tokens::access_of(&signer, session.into()));
    let tokens: Vec<String> = tokens.collect::<Result<_>>()?;
    for name in ["an access token verified, the first time", "the same, again"] {
        let began = Instant::now();
        for token in &tokens {
            verifier.verify(token)?;
        }
        report.figure(name, began.elapsed().as_secs_f64() * 1e6 / f64::from(TOKENS), "µs");
    }
    Ok(())
}
