//! Generates the trait that a service implements, and tonic's server trait on top of it.

use prost_types::{MethodDescriptorProto, ServiceDescriptorProto};

use crate::Result;
use crate::names::{rust_type, snake_case};

/// Generates the trait `…Handler` of a service, with a function for each of its methods.
pub(crate) fn generate(package: &str, service: &ServiceDescriptorProto) -> Result<String> {
    if let Some(method) =
        service.method.iter().find(|m| m.client_streaming() || m.server_streaming())
    {
        return Err(format!("{}: streams are not supported", method.name()).into());
    }
    let name = service.name();
    let module = snake_case(name);
    let server = format!("{module}_server");
    let functions: String = service.method.iter().map(function).collect();
    let delegations: String = service.method.iter().map(delegation).collect();
    Ok(format!(
        "/// Handles the calls of `{package}.{name}`. [`{module}`] makes a service of it.
        pub trait {name}Handler: Send + Sync + 'static {{
            /// Why a call fails.
            type Error: Into<clinic_net::Error>;
            {functions}
        }}

        #[tonic::async_trait]
        impl<H: {name}Handler> {server}::{name} for crate::Handler<H> {{
            {delegations}
        }}

        /// Makes a service of a handler. It accepts gzip.
        pub fn {module}<H: {name}Handler>(
            handler: H,
        ) -> {server}::{name}Server<crate::Handler<H>> {{
            {server}::{name}Server::new(crate::Handler(handler))
                .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
        }}
        "
    ))
}

fn function(method: &MethodDescriptorProto) -> String {
    let name = snake_case(method.name());
    let (input, output) = (rust_type(method.input_type()), rust_type(method.output_type()));
    format!(
        "fn {name}(
            &self,
            ctx: &clinic_net::Context,
            request: {input},
        ) -> impl Future<Output = Result<{output}, Self::Error>> + Send;
        "
    )
}

fn delegation(method: &MethodDescriptorProto) -> String {
    let name = snake_case(method.name());
    let (input, output) = (rust_type(method.input_type()), rust_type(method.output_type()));
    format!(
        "async fn {name}(
            &self,
            request: tonic::Request<{input}>,
        ) -> Result<tonic::Response<{output}>, tonic::Status> {{
            let (ctx, request) = clinic_net::Context::take(request)?;
            ctx.respond(self.0.{name}(&ctx, request).await)
        }}
        "
    )
}
