//! Registers accounts of every kind through the gateway.

use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::auth::v1::{LoginRequest, RegisterRequest, Tokens, User};
use clinic_proto::records::v1::{Doctor, GetDoctorRequest, GetPatientRequest, VerifyDoctorRequest};
use secrecy::ExposeSecret as _;

use crate::{Clients, Suite, doctor, email, patient};

/// The password of every account that the testkit registers.
pub const PASSWORD: &str = "correct-horse-battery";

/// An account that is signed in.
#[derive(Clone)]
pub struct Account {
    pub user: User,
    pub tokens: Tokens,
    /// Clients at the gateway with the account's token.
    pub clients: Clients,
    /// The id of the account's patient or doctor record, if it has one.
    pub profile_id: String,
}

impl Suite {
    /// Signs in as the administrator that the first start created.
    pub async fn admin(&self) -> Account {
        let request = LoginRequest {
            email: "admin@clinic.local".to_owned(),
            password: self.admin_password.expose_secret().to_owned(),
            ..LoginRequest::default()
        };
        let response = self.anonymous().auth.login(request).await.unwrap().into_inner();
        self.account(response.user.unwrap(), response.tokens.unwrap())
    }

    /// Registers an account with the default role.
    pub async fn staff(&self) -> Account {
        self.register(Role::Staff, None).await
    }

    /// Registers a patient with a record.
    pub async fn patient(&self) -> Account {
        let mut account = self.register(Role::Patient, Some(Profile::Patient(patient()))).await;
        let request = GetPatientRequest { id: "me".to_owned(), ..GetPatientRequest::default() };
        let record = account.clients.patients.get_patient(request).await.unwrap().into_inner();
        account.profile_id = record.id;
        account
    }

    /// Registers a doctor and leaves the profile unverified.
    pub async fn unverified_doctor(&self) -> Account {
        let mut account = self.register(Role::Doctor, Some(Profile::Doctor(doctor()))).await;
        let request = GetDoctorRequest { id: "me".to_owned() };
        let record: Doctor =
            account.clients.doctors.get_doctor(request).await.unwrap().into_inner();
        account.profile_id = record.id;
        account
    }

    /// Registers a doctor and verifies them as an administrator.
    pub async fn verified_doctor(&self) -> Account {
        let account = self.unverified_doctor().await;
        let request = VerifyDoctorRequest { id: account.profile_id.clone(), etag: String::new() };
        self.admin().await.clients.doctors.verify_doctor(request).await.unwrap();
        account
    }

    async fn register(&self, role: Role, profile: Option<Profile>) -> Account {
        let request = RegisterRequest {
            email: email(),
            name: "Robin Miller".to_owned(),
            password: PASSWORD.to_owned(),
            role: role.into(),
            profile,
            ..RegisterRequest::default()
        };
        let response = self.anonymous().auth.register(request).await.unwrap().into_inner();
        self.account(response.user.unwrap(), response.tokens.unwrap())
    }

    /// Returns the account with these tokens.
    pub fn account(&self, user: User, tokens: Tokens) -> Account {
        let clients = self.with_token(&tokens.access);
        Account { user, tokens, clients, profile_id: String::new() }
    }
}
