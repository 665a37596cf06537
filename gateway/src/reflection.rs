//! Server reflection for the whole suite, in v1 and, for older tools, v1alpha. The two differ only
//! in their names, so v1 serves both. Symbols and files outside the suite's contract are looked up
//! in all routed services at once.

use std::future::ready;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clinic_identity::ClaimsSigner;
use clinic_net::{Context, Upstream, reworded_status};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt as _};
use http::Uri;
use prost_reflect::{DescriptorPool, FileDescriptor};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::{
    ServerReflection, ServerReflectionServer,
};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use tonic_reflection::pb::v1alpha;
use tower::ServiceExt as _;

use crate::health::MAX_QUESTION;
use crate::routes::Routes;

/// Path of the method.
pub(crate) const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// Its path in v1alpha.
pub(crate) const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const PATIENCE: Duration = Duration::from_secs(3);
/// Maximum bytes of a name that is looked up.
const MAX_NAME: usize = 512;
/// Maximum requests in one stream: far more than there are files and services.
const MAX_QUESTIONS: usize = 10_000;
const OWN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Implements the service. Clones share everything.
#[derive(Clone)]
pub(crate) struct ReflectionService {
    pool: DescriptorPool,
    routes: Arc<Routes>,
    signer: Arc<ClaimsSigner>,
}

impl ReflectionService {
    pub(crate) fn new(routes: Arc<Routes>, signer: Arc<ClaimsSigner>) -> Result<Self> {
        let mut pool = DescriptorPool::decode(clinic_proto::FILE_DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)?;
        // Lets tools decode error details.
        pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
        Ok(Self { pool, routes, signer })
    }

    pub(crate) fn server(self) -> ServerReflectionServer<Self> {
        ServerReflectionServer::new(self)
            .max_decoding_message_size(MAX_QUESTION.into())
            .accept_compressed(Gzip)
    }

    async fn handle(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let response = match &request.message_request {
            Some(MessageRequest::ListServices(_)) => Some(self.services()),
            Some(asked) if name(asked).len() <= MAX_NAME => match self.own(asked) {
                Some(response) => Some(response),
                None => self.foreign(&request).await,
            },
            Some(_) | None => None,
        };
        let response = response.unwrap_or_else(|| {
            MessageResponse::ErrorResponse(ErrorResponse {
                error_code: Code::NotFound.into(),
                error_message: "no such symbol or file".to_owned(),
            })
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(response),
        }
    }

    fn services(&self) -> MessageResponse {
        let names = self.routes.names().chain(OWN);
        let service = names.map(|name| ServiceResponse { name: name.to_owned() }).collect();
        MessageResponse::ListServicesResponse(ListServiceResponse { service })
    }

    fn own(&self, asked: &MessageRequest) -> Option<MessageResponse> {
        let pool = &self.pool;
        let file = match asked {
            MessageRequest::FileByFilename(name) => pool.get_file_by_name(name)?,
            MessageRequest::FileContainingSymbol(symbol) => file_with(pool, symbol)?,
            MessageRequest::FileContainingExtension(extension) => {
                let message = pool.get_message_by_name(&extension.containing_type)?;
                let number = u32::try_from(extension.extension_number).ok()?;
                message.get_extension(number)?.parent_file()
            }
            MessageRequest::AllExtensionNumbersOfType(name) => {
                let message = pool.get_message_by_name(name)?;
                let numbers = message.extensions().filter_map(|e| i32::try_from(e.number()).ok());
                return Some(MessageResponse::AllExtensionNumbersResponse(
                    ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: numbers.collect(),
                    },
                ));
            }
            MessageRequest::ListServices(_) => return None,
        };
        let file_descriptor_proto = vec![file.encode_to_vec()];
        Some(MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto,
        }))
    }

    /// Returns the answer of the first routed service that finds the name.
    async fn foreign(&self, request: &ServerReflectionRequest) -> Option<MessageResponse> {
        let asked = self.routes.foreign().map(|target| async {
            match self.ask(&target.upstream, request).await {
                Err(_) | Ok(None | Some(MessageResponse::ErrorResponse(_))) => None,
                Ok(found) => found,
            }
        });
        let mut responses = asked.collect::<FuturesUnordered<_>>().filter_map(ready);
        timeout(PATIENCE, responses.next()).await.ok().flatten()
    }

    async fn ask(
        &self,
        upstream: &Upstream,
        request: &ServerReflectionRequest,
    ) -> Result<Option<MessageResponse>, Status> {
        let ctx = Context::anonymous(&self.signer).map_err(|_| Status::internal("claims"))?;
        let once = || ctx.request(stream::once(ready(request.clone())));
        let mut client = ServerReflectionClient::new(upstream.clone());
        let responses = match client.server_reflection_info(once()).await {
            Err(status) if status.code() == Code::Unimplemented => {
                let older = upstream.clone().map_request(|mut request: http::Request<Body>| {
                    *request.uri_mut() = Uri::from_static(V1ALPHA);
                    request
                });
                ServerReflectionClient::new(older).server_reflection_info(once()).await?
            }
            responses => responses?,
        };
        Ok(responses.into_inner().message().await?.and_then(|response| response.message_response))
    }
}

/// Returns the requested name.
fn name(asked: &MessageRequest) -> &str {
    match asked {
        MessageRequest::FileByFilename(name)
        | MessageRequest::FileContainingSymbol(name)
        | MessageRequest::AllExtensionNumbersOfType(name)
        | MessageRequest::ListServices(name) => name,
        MessageRequest::FileContainingExtension(extension) => &extension.containing_type,
    }
}

/// Returns the file that defines a message, enum, service, extension, method or field.
fn file_with(pool: &DescriptorPool, symbol: &str) -> Option<FileDescriptor> {
    let outwards = iter::successors(Some(symbol), |symbol| Some(symbol.rsplit_once('.')?.0));
    outwards.into_iter().find_map(|symbol| {
        pool.get_message_by_name(symbol)
            .map(|m| m.parent_file())
            .or_else(|| pool.get_service_by_name(symbol).map(|s| s.parent_file()))
            .or_else(|| pool.get_enum_by_name(symbol).map(|e| e.parent_file()))
            .or_else(|| pool.get_extension_by_name(symbol).map(|e| e.parent_file()))
    })
}

#[tonic::async_trait]
impl ServerReflection for ReflectionService {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let service = self.clone();
        let responses = request.into_inner().take(MAX_QUESTIONS).then(move |request| {
            let service = service.clone();
            async move {
                let readable = |status| reworded_status(&status, MAX_QUESTION.into());
                Ok(service.handle(request.map_err(readable)?).await)
            }
        });
        Ok(Response::new(responses.boxed()))
    }
}
