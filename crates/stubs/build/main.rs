//! Generates a client, a server whose codec validates requests, and the trait that a service
//! implements, for each service in the descriptors that clinic-proto compiled.

#![expect(clippy::print_stdout, reason = "cargo reads the output of build scripts")]

mod handlers;
mod names;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use tonic_build::manual;

use crate::names::{rust_type, snake_case};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Clients do not validate responses.
const CLIENT_CODEC: &str = "tonic_prost::ProstCodec";
const SERVER_CODEC: &str = "crate::codec::ValidatingCodec";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build");
    // Printed by the build script of clinic-proto.
    let descriptors = env::var("DEP_CLINIC_PROTO_DESCRIPTORS")?;
    println!("cargo:rerun-if-changed={descriptors}");
    let set = FileDescriptorSet::decode(fs::read(descriptors)?.as_slice())?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut packages: BTreeMap<String, String> = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("clinic.")) {
        for service in &file.service {
            let code = packages.entry(file.package().to_owned()).or_default();
            code.push_str(&handlers::generate(file.package(), service)?);
            let client = manual::Builder::new().build_server(false);
            let server = manual::Builder::new().build_client(false);
            for (builder, codec) in [(client, CLIENT_CODEC), (server, SERVER_CODEC)] {
                code.push_str(&stub(&out, builder, file.package(), service, codec)?);
            }
        }
    }
    let modules = clinic_contract::modules(packages.keys().map(String::as_str));
    fs::write(out.join("packages.rs"), modules)?;
    for (package, code) in packages {
        fs::write(out.join(format!("{package}.rs")), code)?;
    }
    Ok(())
}

/// Generates the client or the server of a service.
fn stub(
    out: &Path,
    builder: manual::Builder,
    package: &str,
    service: &ServiceDescriptorProto,
    codec: &str,
) -> Result<String> {
    let mut built = manual::Service::builder().name(service.name()).package(package);
    for method in &service.method {
        built = built.method(built_method(method, codec));
    }
    builder.out_dir(out).compile(&[built.build()]);
    let file = out.join(format!("{package}.{}.rs", service.name()));
    Ok(fs::read_to_string(file)?)
}

fn built_method(method: &MethodDescriptorProto, codec: &str) -> manual::Method {
    let mut built = manual::Method::builder()
        .name(snake_case(method.name()))
        .route_name(method.name())
        .input_type(rust_type(method.input_type()))
        .output_type(rust_type(method.output_type()))
        .codec_path(codec);
    if method.client_streaming() {
        built = built.client_streaming();
    }
    if method.server_streaming() {
        built = built.server_streaming();
    }
    built.build()
}
