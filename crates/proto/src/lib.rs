//! The contract in Rust: messages, descriptors and validation, generated from `proto/`.

pub mod format;
pub mod mask;
pub mod time;
pub mod validation;

#[allow(clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
    include!(concat!(env!("OUT_DIR"), "/impls.rs"));
}

// A module for each package: `records::v1` is `clinic.records.v1`.
pub use generated::clinic::*;

/// The `google.protobuf.FileDescriptorSet` of the contract and its imports, with all options.
/// Decode it with prost-reflect: prost-types silently drops the options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The same with comments, from which documents are generated.
pub const DOCUMENTED_FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/documented.bin"));

/// Returns the sorted names of a message's fields; empty if the contract has no such message.
pub fn field_names(message: &str) -> Vec<String> {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut messages = set.file.iter().flat_map(|file| {
        let package = file.package();
        file.message_type.iter().map(move |found| (format!("{package}.{}", found.name()), found))
    });
    let found = messages.find(|(name, _)| name == message);
    let mut names: Vec<String> =
        found.iter().flat_map(|(_, found)| &found.field).map(|field| field.name().into()).collect();
    names.sort_unstable();
    names
}

/// Replaces a private value in `Debug` output.
struct Private;

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[private]")
    }
}
