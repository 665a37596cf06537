//! The trait that a service implements, and the server trait of tonic on top of it.

use prost_build::{Method, Service};

/// Appends the trait `…Handler` of a service, with a function for each of its methods.
///
/// # Panics
/// When a method streams: nothing in the contract does yet.
pub(crate) fn generate(service: &Service, code: &mut String) {
    let Service { name, package, .. } = service;
    let server = format!("{}_server", snake_case(name));
    let functions: String = service.methods.iter().map(function).collect();
    let delegations: String = service.methods.iter().map(delegation).collect();
    code.push_str(&format!(
        "/// Handles the calls of `{package}.{name}`. Serve it with [`crate::Handler`].
        pub trait {name}Handler: Send + Sync + 'static {{
            /// Why a call fails.
            type Error: Into<clinic_chassis::Error>;
            {functions}
        }}

        #[tonic::async_trait]
        impl<H: {name}Handler> {server}::{name} for crate::Handler<H> {{
            {delegations}
        }}
        "
    ));
}

fn function(method: &Method) -> String {
    assert!(
        !method.client_streaming && !method.server_streaming,
        "{}: streams need a handler of their own",
        method.proto_name
    );
    let Method { name, input_type, output_type, comments, .. } = method;
    let comments: String = comments.leading.iter().map(|line| format!("///{line}\n")).collect();
    format!(
        "{comments}fn {name}(
            &self,
            ctx: &clinic_chassis::Context,
            request: {input_type},
        ) -> impl Future<Output = Result<{output_type}, Self::Error>> + Send;
        "
    )
}

fn delegation(method: &Method) -> String {
    let Method { name, input_type, output_type, .. } = method;
    format!(
        "async fn {name}(
            &self,
            request: tonic::Request<{input_type}>,
        ) -> Result<tonic::Response<{output_type}>, tonic::Status> {{
            let (ctx, request) = clinic_chassis::Context::take(request)?;
            ctx.respond(self.0.{name}(&ctx, request).await)
        }}
        "
    )
}

/// `PatientService` → `patient_service`, as the module of its server is named.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
