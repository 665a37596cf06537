//! Compares the table of all paths in `docs/rest.md` with the contract. To rewrite the table, run
//! `cargo xtask test --update-docs`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::PathBuf;

use clinic_contract::{Body, Path, Verb};
use clinic_identity::{AllowedCallers, Policy, Roles};
use clinic_proto::FILE_DESCRIPTOR_SET;
use clinic_proto::access::v1::Role;
use prost_reflect::{DescriptorPool, Kind, MethodDescriptor};

/// The last section of the document.
const HEADING: &str = "\n## All paths\n";
const INTRODUCTION: &str = "
A test compares this section with the contract; `cargo xtask test --update-docs` rewrites it. The tables list the roles
that may call a path. The [access matrix](access-matrix.md) lists the records that each role can see.
";

#[test]
fn the_paths_are_as_documented() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/rest.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, documented) = document.split_once(HEADING).expect("the section of the paths");
    let table = table();
    if std::env::var_os("CLINIC_UPDATE_DOCS").is_some() {
        return std::fs::write(&file, [before, HEADING, &table].concat()).unwrap();
    }
    assert!(table == documented, "the contract says:\n{table}");
}

fn table() -> String {
    let mut text = INTRODUCTION.to_owned();
    let policy = Policy::from_descriptors(FILE_DESCRIPTOR_SET).unwrap();
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    for service in pool.services() {
        let mut rows = String::new();
        for method in service.methods() {
            let Some(paths) = clinic_contract::paths(&method).unwrap() else { continue };
            let rule = policy.rule(&format!("/{}/{}", service.full_name(), method.name())).unwrap();
            for path in &paths.all {
                let (verb, query) = (verb(path.verb), query(&method, path).join(", "));
                let (fixed, who) = (fixed(path), who(rule.access, path));
                let (path, name) = (shown(&path.path), method.name());
                writeln!(rows, "| {verb} | `{path}` | {name}{fixed} | {who} | {query} |").unwrap();
            }
        }
        if !rows.is_empty() {
            write!(text, "\n### {}\n\n", service.full_name()).unwrap();
            text.push_str(
                "| method | path | RPC | allowed callers | query parameters |\n|---|---|---|---|---|\n",
            );
            text.push_str(&rows);
        }
    }
    text
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
    }
}

/// Returns `/api/profile/{user_id}/` for `/api/profile/{patient.user_id}`, as in OpenAPI.
fn shown(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.split_once('.') {
        Some((_, field)) if segment.starts_with('{') => format!("{{{field}"),
        _ => segment.to_owned(),
    });
    segments.chain([String::new()]).collect::<Vec<_>>().join("/")
}

/// Lists the fields that the path fixes.
fn fixed(path: &Path) -> String {
    path.fixed.iter().map(|fixed| format!(", `{}` is `{}`", fixed.field, fixed.value)).collect()
}

fn who(rule: AllowedCallers, path: &Path) -> String {
    let only: Roles = path.only.iter().filter_map(|role| Role::try_from(*role).ok()).collect();
    match rule {
        AllowedCallers::Public => "everyone, without a token".to_owned(),
        AllowedCallers::SignedIn => "any role".to_owned(),
        AllowedCallers::AnyOf(roles) => {
            // Services do not call the gateway.
            let roles = roles.without(Role::Service).iter();
            let roles = roles.filter(|role| path.only.is_empty() || only.has(*role));
            let names = roles.map(|role| role.as_str_name().trim_start_matches("ROLE_").to_owned());
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Returns the request fields that are neither in the path nor in the body.
fn query(method: &MethodDescriptor, path: &Path) -> Vec<String> {
    let said = |name: &str| {
        path.captures().any(|field| field == name)
            || path.fixed.iter().any(|fixed| fixed.field == name)
            || path.body == Body::All
            || path.body == Body::Field(name.to_owned())
    };
    let plain = |kind: Kind| match kind {
        Kind::Message(message) => message.full_name() == "google.protobuf.FieldMask",
        _ => true,
    };
    let input = method.input();
    let fields = input.fields().filter(|field| !said(field.name()) && plain(field.kind()));
    fields.map(|field| format!("`{}`", field.name())).collect()
}
