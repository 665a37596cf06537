//! Registers accounts.

use std::sync::Arc;

use clinic_identity::Roles;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::register_request::Profile as Given;
use clinic_proto::auth::v1::{RegisterRequest, RegisterResponse};
use clinic_proto::records::v1::Patient;
use clinic_proto::validation::Violation;
use clinic_server::origin;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::Instrument as _;
use uuid::Uuid;

use super::records_client::Profile;
use super::{User, key, registrations, store};
use crate::error::Error;
use crate::password::{Person, problems};
use crate::sessions::{Client, SignIn};
use crate::{Auth, sessions};

/// Maximum length of a first or last name in records.
const MAX_PART: usize = 100;

/// A valid request.
struct Registration {
    email: String,
    username: Option<String>,
    name: String,
    password: SecretString,
    role: Role,
    profile: Option<Profile>,
}

impl Auth {
    pub(crate) async fn register(
        self: &Arc<Self>,
        ctx: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Error> {
        let Registration { email, username, name, password, role, profile } =
            Registration::parse(request).map_err(Error::Invalid)?;
        if !self.settings.registration_roles.contains(&role) {
            return Err(Error::RegistrationClosed(role));
        }
        let permit = self.hasher.admit(ctx.client_ip(), &key(&email))?;
        // The unique indexes decide. This check saves the hash and the call to records.
        if store::find_by_login(&self.db, &email).await?.is_some() {
            return Err(Error::EmailTaken);
        }
        if let Some(username) = &username
            && store::find_by_login(&self.db, username).await?.is_some()
        {
            return Err(Error::UsernameTaken);
        }
        let password_hash = permit.hash(password).await?;
        // The rest needs no hash, and records may be slow.
        drop(permit);
        let now = ctx.now();
        let user = User {
            id: self.clock.new_id(),
            email,
            username,
            name,
            password_hash,
            roles: Roles::from(role).bits(),
            active: true,
            email_verified: false,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if let Some(profile) = &profile {
            self.withdraw_earlier(ctx, &user.email).await?;
            registrations::begin(&self.db, &user, profile).await?;
        }
        let (auth, ctx) = (Arc::clone(self), ctx.clone());
        // A separate task completes or undoes the registration even if the client hangs up.
        let made = async move { auth.create(&ctx, user, profile).await }.in_current_span();
        let (user, sign_in) = tokio::spawn(made).await.map_err(Error::internal)??;
        let tokens = self.tokens(&user, &sign_in)?;
        Ok(RegisterResponse { user: Some(user.into()), tokens: Some(tokens) })
    }

    /// Creates the record first, because the transaction cannot include it, and then the account.
    async fn create(
        self: &Arc<Self>,
        ctx: &Context,
        user: User,
        profile: Option<Profile>,
    ) -> Result<(User, SignIn), Error> {
        let Some(profile) = profile else {
            let sign_in = self.insert(ctx, &user, false).await?;
            return Ok((user, sign_in));
        };
        let inserted = match self.records.create(ctx, profile, user.id).await {
            Ok(Some(_)) => self.insert(ctx, &user, true).await,
            // A concurrent registration of this address has deleted the record.
            Ok(None) => Err(Error::Conflict),
            Err(error) if error.is_rejection_by_records() => {
                // If this fails, the sweep deletes the registration.
                let _ = registrations::delete(&self.db, user.id).await;
                return Err(error);
            }
            Err(error) => Err(error),
        };
        let sign_in = inserted.inspect_err(|_| self.spawn_withdraw(user.id))?;
        Ok((user, sign_in))
    }

    async fn insert(&self, ctx: &Context, user: &User, has_profile: bool) -> Result<SignIn, Error> {
        let (sign_in, client) = (self.new_sign_in(ctx), Client::of(ctx));
        let mut work = self.db.work(&origin(ctx)).await?;
        if has_profile {
            registrations::complete(&mut work, user.id).await?;
        }
        store::insert(&mut work, user).await?;
        work.write::<(Uuid, i64)>(sessions::store::insert(user, &sign_in, &client))
            .await?
            .ok_or_else(|| Error::internal("cannot create a session for a new account"))?;
        work.save().await?;
        Ok(sign_in)
    }
}

impl Registration {
    fn parse(request: RegisterRequest) -> Result<Self, Vec<Violation>> {
        let RegisterRequest { email, name, password, password_confirm, username, role, profile } =
            request;
        let (email, name) = (email.trim().to_owned(), name.trim().to_owned());
        let username = Some(username.trim().to_owned()).filter(|username| !username.is_empty());
        let password = SecretString::from(password);
        let person = Person {
            email: &email,
            username: username.as_deref().unwrap_or_default(),
            name: &name,
        };
        let mut bad: Vec<_> = problems(password.expose_secret(), &person)
            .into_iter()
            .map(|problem| Violation::new("password", problem))
            .collect();
        if password_confirm.is_some_and(|confirm| confirm != password.expose_secret()) {
            bad.push(Violation::new("password_confirm", "must be the same as the password"));
        }
        let role = match Role::try_from(role) {
            Ok(Role::Unspecified) => Role::Staff,
            Ok(role @ (Role::Staff | Role::Doctor | Role::Patient)) => role,
            Ok(Role::Admin | Role::Service) | Err(_) => {
                bad.push(Violation::new("role", "must be STAFF, DOCTOR or PATIENT"));
                Role::Unspecified
            }
        };
        let profile = match (role, profile) {
            (Role::Patient, None) => Ok(Some(Profile::Patient(patient(&name, &email).into()))),
            (Role::Patient, Some(Given::Patient(it))) => Ok(Some(Profile::Patient(it.into()))),
            (Role::Doctor, Some(Given::Doctor(it))) => Ok(Some(Profile::Doctor(it.into()))),
            (Role::Doctor, None) => Err(("doctor", "is required for the role DOCTOR")),
            (_, Some(Given::Patient(_))) => Err(("patient", "is for the role PATIENT only")),
            (_, Some(Given::Doctor(_))) => Err(("doctor", "is for the role DOCTOR only")),
            (_, None) => Ok(None),
        };
        let profile = profile.unwrap_or_else(|(field, problem)| {
            bad.push(Violation::new(field, problem));
            None
        });
        if !bad.is_empty() {
            return Err(bad);
        }
        Ok(Self { email, username, name, password, role, profile })
    }
}

/// Returns the record of a patient with only a name and an address. The last word is the last name.
/// A single name becomes the first name, and the last name a hyphen, because records requires one.
fn patient(name: &str, email: &str) -> Patient {
    let words: Vec<_> = name.split_whitespace().collect();
    let (first, last) = match words.as_slice() {
        [] => (String::new(), String::new()),
        [only] => ((*only).to_owned(), "-".to_owned()),
        [first @ .., last] => (first.join(" "), (*last).to_owned()),
    };
    let cut = |text: String| text.chars().take(MAX_PART).collect::<String>().trim().to_owned();
    Patient {
        first_name: cut(first),
        last_name: cut(last),
        email: email.to_owned(),
        ..Patient::default()
    }
}

#[cfg(test)]
mod tests {
    use clinic_proto::records::v1::Doctor;

    use super::*;

    fn request() -> RegisterRequest {
        RegisterRequest {
            email: " test@example.com ".to_owned(),
            name: "Test User".to_owned(),
            password: "testpass123".to_owned(),
            ..RegisterRequest::default()
        }
    }

    fn fields(request: RegisterRequest) -> Vec<String> {
        let bad = Registration::parse(request).err().unwrap_or_default();
        bad.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn the_shortest_request_registers_staff() {
        let registration = Registration::parse(request()).ok().unwrap();
        assert_eq!(registration.role, Role::Staff);
        assert_eq!(registration.email, "test@example.com");
        assert_eq!(registration.username, None);
        assert!(registration.profile.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let bad = RegisterRequest {
            password: "12345678".to_owned(),
            password_confirm: Some("123456789".to_owned()),
            role: i32::from(Role::Doctor),
            ..request()
        };
        assert_eq!(fields(bad), ["password", "password", "password_confirm", "doctor"]);
    }

    #[test]
    fn nobody_registers_as_admin_or_service() {
        for role in [i32::from(Role::Admin), i32::from(Role::Service), 99] {
            assert_eq!(fields(RegisterRequest { role, ..request() }), ["role"]);
        }
    }

    #[test]
    fn a_profile_must_be_of_the_role() {
        let patient = Some(Given::Patient(Patient::default()));
        let doctor = Some(Given::Doctor(Doctor::default()));
        for (role, profile, bad) in [
            (Role::Staff, patient.clone(), "patient"),
            (Role::Unspecified, doctor.clone(), "doctor"),
            (Role::Patient, doctor, "doctor"),
            (Role::Doctor, patient, "patient"),
        ] {
            let request = RegisterRequest { role: i32::from(role), profile, ..request() };
            assert_eq!(fields(request), [bad]);
        }
    }

    #[test]
    fn a_patient_without_a_profile_is_named_after_the_account() {
        let names = |name: &str| {
            let patient = patient(name, "A@B.example");
            (patient.first_name, patient.last_name)
        };
        assert_eq!(names("Ada Byron King"), ("Ada Byron".to_owned(), "King".to_owned()));
        assert_eq!(names("Plato"), ("Plato".to_owned(), "-".to_owned()));
        assert_eq!(names(&"x".repeat(200)).0.len(), 100);
    }
}
