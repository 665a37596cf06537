//! Tests of the service with a real database, on SQLite and on PostgreSQL. The suite's tests cover
//! the wire, the access rules and the validation of messages.

mod administration;
mod migrating;
mod passwords;
mod records;
mod refreshing;
mod registration;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clinic_clock::{Clock, Skew};
use clinic_identity::{
    AccessSigner, AccessVerifier, Claims, ClaimsSigner, ClaimsVerifier, KeyDir, Principal,
};
use clinic_net::{Context, settings};
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{
    LoginRequest, RefreshRequest, RefreshResponse, RegisterRequest, Tokens, User,
};
use clinic_store::{Backend, Db, Origin, Query, migrate, page};
use clinic_testdb::{Fixture, TestDatabase, on_both};
use http::HeaderValue;
use secrecy::SecretString;
use tonic::{Code, Status};
use uuid::Uuid;

use self::records::Records;
use crate::error::Error;
use crate::{Auth, Settings, generate_password, password, users};

pub(super) const PASSWORD: &str = "testpass123";

/// The service with a new database and a fake records that can fail.
pub(super) struct Suite {
    pub(super) auth: Arc<Auth>,
    pub(super) records: Records,
    pub(super) clock: Clock,
    verifier: AccessVerifier,
    _database: TestDatabase,
}

impl Fixture for Suite {
    async fn set_up(backend: Backend) -> Self {
        let database = TestDatabase::create(backend).await;
        let db = database.connect().await;
        Self::over(database, db).await
    }
}

/// A signed-in account.
pub(super) struct Account {
    pub(super) user: User,
    pub(super) tokens: Tokens,
    pub(super) caller: Principal,
}

pub(super) fn registration(email: &str) -> RegisterRequest {
    RegisterRequest {
        email: email.to_owned(),
        name: "Test User".to_owned(),
        password: PASSWORD.to_owned(),
        ..RegisterRequest::default()
    }
}

pub(super) fn status(error: Error) -> Status {
    clinic_net::Error::from(error).into()
}

/// Returns what a client would see.
pub(super) fn seen(error: Error) -> (Code, String, Vec<u8>) {
    let status = status(error);
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

pub(super) fn code<T>(result: Result<T, Error>) -> Code {
    result.err().map_or(Code::Ok, |error| status(error).code())
}

/// Returns the fields that an error names.
pub(super) fn fields(error: Error) -> Vec<String> {
    use tonic_types::StatusExt as _;
    let bad = status(error).get_details_bad_request().unwrap();
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

impl Suite {
    /// Starts the service on a database, which may have older tables.
    pub(super) async fn over(database: TestDatabase, db: Db) -> Self {
        migrate(&db, &crate::MIGRATIONS).await.unwrap();
        let clock = Clock::movable();
        let keys = KeyDir::new(database.directory().join("keys"));
        keys.init(&clock).unwrap();
        let records = Records::start(ClaimsVerifier::open(&keys, clock.clone()).unwrap()).await;
        let upstream = settings::upstream("records", &records.url).unwrap();
        let claims = ClaimsSigner::open(&keys, "auth", clock.clone()).unwrap();
        let verifier = AccessVerifier::new(clock.clone());
        let settings = Settings {
            issuer: "clinic".to_owned(),
            access_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(7 * 24 * 60 * 60),
            registration_roles: vec![Role::Staff, Role::Doctor, Role::Patient],
        };
        let (issuer, ttl) = (settings.issuer.clone(), settings.access_lifetime());
        let access = AccessSigner::open(&keys, issuer, ttl, clock.clone()).unwrap();
        verifier.set_keys(access.jwks());
        let auth = Arc::new(Auth {
            pages: page::Tokens::open(&db).await.unwrap(),
            db,
            clock: clock.clone(),
            skew: Skew::new(clock.clone()),
            hasher: password::Hasher::new().unwrap(),
            access,
            records: users::RecordsClient::new(upstream, claims),
            settings,
        });
        Self { auth, records, clock, verifier, _database: database }
    }

    pub(super) fn principal(&self, access: &str) -> Principal {
        self.verifier.verify(access).unwrap().principal.clone()
    }

    /// Returns a call without a token.
    pub(super) fn nobody(&self) -> Context {
        self.call(&Principal::Anonymous)
    }

    /// Returns a call that begins now.
    pub(super) fn call(&self, principal: &Principal) -> Context {
        self.call_from([192, 0, 2, 7], principal)
    }

    pub(super) fn call_from(&self, ip: [u8; 4], principal: &Principal) -> Context {
        let claims = Claims { principal: principal.clone(), client_ip: Some(ip.into()) };
        Context::new(claims.into(), HeaderValue::from_static("unused"), self.clock.now())
    }

    fn account(&self, user: Option<User>, tokens: Option<Tokens>) -> Account {
        let (user, tokens) = (user.unwrap(), tokens.unwrap());
        let caller = self.principal(&tokens.access);
        Account { user, tokens, caller }
    }

    pub(super) async fn register(&self, email: &str) -> Account {
        let request = registration(email);
        let made = self.auth.register(&self.nobody(), request).await.unwrap();
        self.account(made.user, made.tokens)
    }

    pub(super) async fn login(&self, email: &str) -> Account {
        let made = self.try_login(email, PASSWORD).await.unwrap();
        self.account(made.0, made.1)
    }

    pub(super) async fn try_login(
        &self,
        login: &str,
        password: &str,
    ) -> Result<(Option<User>, Option<Tokens>), Error> {
        let request = LoginRequest {
            username: login.to_owned(),
            password: password.to_owned(),
            ..LoginRequest::default()
        };
        let made = self.auth.login(&self.nobody(), request).await?;
        Ok((made.user, made.tokens))
    }

    pub(super) async fn refresh(&self, token: &str) -> Result<Tokens, Error> {
        let request = RefreshRequest { refresh: token.to_owned() };
        let RefreshResponse { tokens } = self.auth.refresh(&self.nobody(), request).await?;
        Ok(tokens.unwrap())
    }

    /// Creates an administrator and signs in.
    pub(super) async fn admin(&self, email: &str) -> Account {
        let password: SecretString = PASSWORD.into();
        crate::create_admin(&self.auth.db, &self.clock, email, "Root", &password).await.unwrap();
        self.login(email).await
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Asserts that SQLite uses the index. PostgreSQL reads such a small table without an index.
    pub(super) async fn plans_with(&self, explain: &'static str, index: &str) {
        #[derive(sqlx::FromRow)]
        struct Line {
            detail: String,
        }
        if self.auth.db.backend() == Backend::Sqlite {
            let plan: Vec<Line> =
                self.auth.db.untracked().fetch_all(Query::new(explain)).await.unwrap();
            assert!(plan.iter().any(|line| line.detail.contains(index)));
        }
    }

    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        let (count,): (i64,) = self.auth.db.fetch_one(Query::new(sql)).await.unwrap();
        count
    }
}

pub(super) fn id(user: &User) -> Uuid {
    user.id.parse().unwrap()
}

#[test]
fn generated_passwords_are_taken() {
    use secrecy::ExposeSecret as _;
    let person = password::Person::default();
    assert!(password::problems(generate_password().expose_secret(), &person).is_empty());
}
