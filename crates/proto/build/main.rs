//! Compiles the contract with protox, which needs no protoc, and generates messages, validation,
//! and `Debug` impls that hide private fields.

#![expect(clippy::print_stdout, reason = "cargo reads the output of build scripts")]

mod debug;
mod names;
mod validation;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clinic_contract::{Message, Result};
use prost_reflect::DescriptorPool;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let (proto, third_party) = (root.join("proto"), root.join("third_party/proto"));
    println!("cargo:rerun-if-changed={}", proto.display());
    println!("cargo:rerun-if-changed={}", third_party.display());
    println!("cargo:rerun-if-changed=build");

    let compiler = compile(&proto, &third_party, true)?;
    let pool = compiler.descriptor_pool();
    let messages = clinic_contract::messages(&pool)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    generate_messages(compiler.file_descriptor_set(), &messages)?;
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let requests: HashSet<_> = methods.map(|m| m.input().full_name().to_owned()).collect();
    let requests = messages.iter().filter(|message| requests.contains(&message.full_name));
    let code = validation::generate(&messages)?
        + &validation::generate_look_up(requests)
        + &debug::generate(&messages);
    fs::write(out.join("impls.rs"), prettyplease::unparse(&syn::parse_file(&code)?))?;
    // Every process reads `descriptors.bin` at start. Comments would be most of its bytes.
    let plain = compile(&proto, &third_party, false)?;
    for (name, compiler) in [("descriptors.bin", plain), ("documented.bin", compiler)] {
        let bytes = compiler.encode_file_descriptor_set();
        DescriptorPool::decode(bytes.as_slice())?;
        fs::write(out.join(name), bytes)?;
    }
    println!("cargo:descriptors={}", out.join("documented.bin").display());
    Ok(())
}

/// Compiles every file with its imports.
fn compile(proto: &Path, third_party: &Path, comments: bool) -> Result<protox::Compiler> {
    let mut compiler = protox::Compiler::new([proto, third_party])?;
    compiler.include_imports(true).include_source_info(comments).open_files(protos(proto)?)?;
    Ok(compiler)
}

fn protos(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn generate_messages(mut set: prost_types::FileDescriptorSet, messages: &[Message]) -> Result<()> {
    // Removes imports that only declare options: no code is generated for them.
    set.file.retain(|file| {
        file.package().starts_with("clinic.") || file.package() == "google.protobuf"
    });
    let mut config = prost_build::Config::new();
    let private = messages.iter().filter(|message| message.has_private_field());
    config.skip_debug(private.map(|message| format!(".{}", message.full_name)));
    Ok(config.include_file("modules.rs").compile_fds(set)?)
}
