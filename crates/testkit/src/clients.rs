//! Clients of every service, through the gateway or direct.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chrono::TimeDelta;
use clinic::SERVICES;
use clinic_identity::{ActsFor, CLAIMS_HEADER, ClaimsSigner};
use clinic_stubs::assignment::v1::assignment_service_client::AssignmentServiceClient;
use clinic_stubs::auth::v1::auth_service_client::AuthServiceClient;
use clinic_stubs::auth::v1::token_service_client::TokenServiceClient;
use clinic_stubs::auth::v1::user_admin_service_client::UserAdminServiceClient;
use clinic_stubs::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::Suite;

/// The transport of a client.
pub type Client = InterceptedService<Channel, Metadata>;

/// A client of each service. All send the same metadata.
#[derive(Clone)]
pub struct Clients {
    pub auth: AuthServiceClient<Client>,
    pub users: UserAdminServiceClient<Client>,
    pub tokens: TokenServiceClient<Client>,
    pub patients: PatientServiceClient<Client>,
    pub doctors: DoctorServiceClient<Client>,
    pub assignments: AssignmentServiceClient<Client>,
    transports: BTreeMap<&'static str, Client>,
}

/// An interceptor that adds metadata to every call.
#[derive(Clone, Default)]
pub struct Metadata(MetadataMap);

impl Interceptor for Metadata {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for entry in self.0.iter() {
            if let tonic::metadata::KeyAndValueRef::Ascii(key, value) = entry {
                request.metadata_mut().insert(key, value.clone());
            }
        }
        Ok(request)
    }
}

impl Clients {
    /// Creates clients of the services at these addresses with this metadata.
    pub fn new(at: impl Fn(&str) -> SocketAddr, metadata: &[(&'static str, &str)]) -> Self {
        let mut map = MetadataMap::new();
        for (key, value) in metadata {
            map.insert(*key, AsciiMetadataValue::try_from(*value).unwrap());
        }
        let transport = |(service, _)| {
            let url = format!("http://{}", at(service));
            let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
            (service, InterceptedService::new(channel, Metadata(map.clone())))
        };
        let transports: BTreeMap<_, _> = SERVICES.map(transport).into();
        let of = |service| transports.get(service).expect("a service of the suite").clone();
        let [auth, records] = ["auth", "records"].map(of);
        Self {
            auth: AuthServiceClient::new(auth.clone()),
            users: UserAdminServiceClient::new(auth.clone()),
            tokens: TokenServiceClient::new(auth),
            patients: PatientServiceClient::new(records.clone()),
            doctors: DoctorServiceClient::new(records),
            assignments: AssignmentServiceClient::new(of("assignment")),
            transports,
        }
    }

    /// Returns the transport to a service, for a client that is not among the fields.
    pub fn transport(&self, service: &str) -> Client {
        self.transports.get(service).expect("a service of the suite").clone()
    }
}

impl Suite {
    /// Returns clients of the gateway that send this metadata.
    pub fn at_gateway(&self, metadata: &[(&'static str, &str)]) -> Clients {
        Clients::new(|_| self.gateway, metadata)
    }

    /// Returns clients that bypass the gateway and send this metadata.
    pub fn at_services(&self, metadata: &[(&'static str, &str)]) -> Clients {
        Clients::new(|service| *self.services.get(service).expect("every service runs"), metadata)
    }

    /// Returns clients that bypass the gateway and call as the internal service of this name.
    pub fn as_service(&self, name: &str) -> Clients {
        self.keys().add_issuer(name, ActsFor::Itself, &self.clock).unwrap();
        // Verifiers look for new keys at most once a second.
        self.clock.advance(TimeDelta::seconds(2));
        let signer = ClaimsSigner::open(&self.keys(), name, self.clock.clone()).unwrap();
        let claims = signer.as_service().unwrap();
        self.at_services(&[(CLAIMS_HEADER, claims.to_str().unwrap())])
    }

    /// Returns clients of the gateway without a token.
    pub fn anonymous(&self) -> Clients {
        self.at_gateway(&[])
    }

    /// Returns clients of the gateway with this access token.
    pub fn with_token(&self, access: &str) -> Clients {
        self.at_gateway(&[("authorization", &format!("Bearer {access}"))])
    }
}
