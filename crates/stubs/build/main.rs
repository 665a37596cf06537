//! Generates, from the descriptors that clinic-proto compiled, a client for each service, a server
//! whose codec validates requests, and the trait that a service implements.

#![expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]

mod handlers;

use std::error::Error;
use std::{env, fs};

use prost::Message as _;
use prost_build::{Service, ServiceGenerator};
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build");
    // Printed by the build script of clinic-proto.
    let descriptors = env::var("DEP_CLINIC_PROTO_DESCRIPTORS")?;
    println!("cargo:rerun-if-changed={descriptors}");
    let mut set = FileDescriptorSet::decode(fs::read(descriptors)?.as_slice())?;
    set.file.retain(|file| file.package().starts_with("clinic."));
    prost_build::Config::new()
        .extern_path(".clinic", "::clinic_proto")
        .service_generator(Box::new(Stubs {
            client: tonic_prost_build::configure().build_server(false).service_generator(),
            server: tonic_prost_build::configure()
                .build_client(false)
                .codec_path("crate::codec::ValidatingCodec")
                .service_generator(),
        }))
        .compile_fds(set)?;
    Ok(())
}

/// Generates the client and the server of a service, each with its own codec, and its handler trait.
struct Stubs {
    client: Box<dyn ServiceGenerator>,
    server: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Stubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        handlers::generate(&service, code);
        self.client.generate(service.clone(), code);
        self.server.generate(service, code);
    }
}
