//! A bare tonic service that responds from memory, without any checks. Gateways are measured in
//! front of it, and services are compared with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use clinic_identity::{AccessSigner, KeyDir};
use clinic_net::{bind, process};
use clinic_proto::auth::v1::{GetJwksRequest, GetJwksResponse};
use clinic_proto::records::v1::{GetPatientRequest, Patient};
use clinic_stubs::auth::v1::token_service_server::{TokenService, TokenServiceServer};
use clinic_stubs::codec::ValidatingCodec;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tower::{Service, service_fn};

use crate::sample;
use crate::tokens;

/// Serves until SIGTERM.
pub(crate) async fn run(listen: &str, keys: &KeyDir) -> Result<()> {
    let shutdown = process::on_signals(Duration::ZERO)?;
    let listener = bind(listen).await?;
    let signer = tokens::access_signer(keys)?;
    process::ready("clinic-bench upstream", "http", listener.local_addr()?);
    tonic::transport::Server::builder()
        .add_service(Patients(Arc::new(sample::patient(0, tokens::owner()))))
        .add_service(TokenServiceServer::new(Keys(signer)))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            shutdown.begun().clone().cancelled_owned(),
        )
        .await?;
    Ok(())
}

/// Returns the same patient to every caller.
#[derive(Clone)]
struct Patients(Arc<Patient>);

impl NamedService for Patients {
    const NAME: &'static str = "clinic.records.v1.PatientService";
}

impl Service<http::Request<Body>> for Patients {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let patient = self.0.clone();
        Box::pin(async move {
            let codec = ValidatingCodec::<Patient, GetPatientRequest>::default();
            let response = service_fn(move |_: Request<GetPatientRequest>| {
                let response = Response::new(Patient::clone(&patient));
                std::future::ready(Ok::<_, Status>(response))
            });
            Ok(Grpc::new(codec).unary(response, request).await)
        })
    }
}

/// Serves the public keys, which the gateway fetches from auth.
struct Keys(AccessSigner);

#[tonic::async_trait]
impl TokenService for Keys {
    async fn get_jwks(
        &self,
        _: Request<GetJwksRequest>,
    ) -> Result<Response<GetJwksResponse>, Status> {
        let keys = self.0.jwks().into_iter().map(Into::into).collect();
        Ok(Response::new(GetJwksResponse { keys }))
    }
}
