//! Clients of every service, through the gateway or straight at a service.

use std::net::SocketAddr;

use clinic_proto::assignment::v1::assignment_service_client::AssignmentServiceClient;
use clinic_proto::auth::v1::auth_service_client::AuthServiceClient;
use clinic_proto::auth::v1::token_service_client::TokenServiceClient;
use clinic_proto::auth::v1::user_admin_service_client::UserAdminServiceClient;
use clinic_proto::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_proto::records::v1::patient_service_client::PatientServiceClient;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::Suite;

/// What a client's calls go through.
pub type Client = InterceptedService<Channel, Metadata>;

/// A client of each service, which all send the same metadata.
#[derive(Clone)]
pub struct Clients {
    pub auth: AuthServiceClient<Client>,
    pub users: UserAdminServiceClient<Client>,
    pub tokens: TokenServiceClient<Client>,
    pub patients: PatientServiceClient<Client>,
    pub doctors: DoctorServiceClient<Client>,
    pub assignments: AssignmentServiceClient<Client>,
}

/// Adds metadata to every call.
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
    /// Clients that call an address with this metadata.
    pub fn at(address: SocketAddr, metadata: &[(&'static str, &str)]) -> Self {
        let mut map = MetadataMap::new();
        for (key, value) in metadata {
            map.insert(*key, AsciiMetadataValue::try_from(*value).unwrap());
        }
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let client = || InterceptedService::new(channel.clone(), Metadata(map.clone()));
        Self {
            auth: AuthServiceClient::new(client()),
            users: UserAdminServiceClient::new(client()),
            tokens: TokenServiceClient::new(client()),
            patients: PatientServiceClient::new(client()),
            doctors: DoctorServiceClient::new(client()),
            assignments: AssignmentServiceClient::new(client()),
        }
    }
}

impl Suite {
    /// Clients at the gateway without a token.
    pub fn anonymous(&self) -> Clients {
        Clients::at(self.gateway, &[])
    }

    /// Clients at the gateway with this access token.
    pub fn with_token(&self, access: &str) -> Clients {
        Clients::at(self.gateway, &[("authorization", &format!("Bearer {access}"))])
    }
}
