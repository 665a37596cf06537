use std::path::Path;

use clinic_proto::access::v1::Role;
use uuid::Uuid;

use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::*;
use crate::User;

/// Returns the descriptors of a contract with one service that has this body.
fn descriptors(body: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        r#"syntax = "proto3";
        package clinic.probe.v1;
        import "clinic/access/v1/access.proto";
        message Empty {{}}
        service Probe {{ {body} }}"#
    );
    std::fs::write(directory.path().join("probe.proto"), text).unwrap();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([directory.path(), &contract]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn probe(rule: &str) -> Result<Policy, AccessError> {
    let body = format!("rpc Call(Empty) returns (Empty) {{ {rule} }}");
    Policy::from_descriptors(&descriptors(&body))
}

fn user(roles: &[Role]) -> Principal {
    Principal::User(User {
        id: Uuid::from_u128(1),
        session_id: Uuid::from_u128(2),
        roles: roles.iter().copied().collect(),
        email_verified: true,
    })
}

fn checked(rule: &str, principal: &Principal) -> Result<(), Denied> {
    let policy = probe(rule).unwrap();
    policy.rule("/clinic.probe.v1.Probe/Call").unwrap().access.check(principal)
}

const STAFF: &str =
    "option (clinic.access.v1.rule) = {any_of: {roles: [ROLE_STAFF, ROLE_SERVICE]}};";
const SIGNED_IN: &str = "option (clinic.access.v1.rule) = {signed_in: true};";

#[test]
fn a_method_without_a_usable_rule_stops_the_process_and_is_named() {
    for rule in [
        "",
        "option deprecated = true;",
        "option (clinic.access.v1.rule) = {};",
        "option (clinic.access.v1.rule) = {public: false};",
        "option (clinic.access.v1.rule) = {signed_in: false};",
        "option (clinic.access.v1.rule) = {any_of: {}};",
        "option (clinic.access.v1.rule) = {any_of: {roles: []}};",
        "option (clinic.access.v1.rule) = {any_of: {roles: [ROLE_UNSPECIFIED]}};",
        "option (clinic.access.v1.rule) = {any_of: {roles: [ROLE_ADMIN, ROLE_UNSPECIFIED]}};",
    ] {
        let error = probe(rule).expect_err(rule);
        assert!(error.to_string().contains("/clinic.probe.v1.Probe/Call"), "{error}");
    }
}

#[test]
fn descriptors_without_the_option_or_damaged_ones_stop_the_process() {
    assert!(matches!(Policy::from_descriptors(b""), Err(AccessError::NoOption)));
    assert!(matches!(Policy::from_descriptors(b"\xff\xff"), Err(AccessError::Descriptors(_))));
}

#[test]
fn a_role_rule_admits_only_callers_with_one_of_its_roles() {
    assert_eq!(checked(STAFF, &user(&[Role::Staff])), Ok(()));
    assert_eq!(checked(STAFF, &user(&[Role::Patient, Role::Staff])), Ok(()));
    assert_eq!(checked(STAFF, &Principal::service("auth")), Ok(()));
    assert_eq!(checked(STAFF, &user(&[Role::Admin])), Err(Denied::RoleRequired));
    assert_eq!(checked(STAFF, &user(&[])), Err(Denied::RoleRequired));
    assert_eq!(checked(STAFF, &Principal::Anonymous), Err(Denied::Unauthenticated));
}

#[test]
fn signed_in_admits_accounts_but_no_services_or_anonymous_callers() {
    assert_eq!(checked(SIGNED_IN, &user(&[])), Ok(()));
    assert_eq!(checked(SIGNED_IN, &Principal::service("auth")), Err(Denied::RoleRequired));
    assert_eq!(checked(SIGNED_IN, &Principal::Anonymous), Err(Denied::Unauthenticated));
}

#[test]
fn public_admits_everyone() {
    let rule = "option (clinic.access.v1.rule) = {public: true};";
    for principal in [Principal::Anonymous, Principal::service("auth"), user(&[Role::Patient])] {
        assert_eq!(checked(rule, &principal), Ok(()));
    }
}

#[test]
fn an_unknown_method_has_no_rule() {
    let policy = probe(SIGNED_IN).unwrap();
    assert_eq!(policy.rule("/clinic.probe.v1.Probe/Other"), None);
    assert_eq!(policy.rule("clinic.probe.v1.Probe/Call"), None);
    assert_eq!(policy.methods().count(), 1);
}

#[test]
fn exactly_the_methods_that_get_and_list_change_nothing() {
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET).unwrap();
    for (path, rule) in policy.methods() {
        let name = path.rsplit('/').next().unwrap();
        let reads = ["Get", "List", "BatchGet"].iter().any(|verb| name.starts_with(verb));
        assert_eq!(rule.is_read, reads, "{path}: idempotency_level must fit the method's verb");
    }
}

#[test]
fn a_response_may_be_compressed_only_if_the_contract_allows_it() {
    let path = "/clinic.probe.v1.Probe/Call";
    for (option, allowed) in [
        ("", false),
        ("option (clinic.access.v1.compressible) = false;", false),
        ("option (clinic.access.v1.compressible) = true;", true),
    ] {
        let policy = probe(&format!("{SIGNED_IN} {option}")).unwrap();
        assert_eq!(policy.rule(path).unwrap().compressible, allowed, "{option}");
    }
}

#[test]
fn no_response_with_tokens_may_be_compressed() {
    const TOKENS: &str = "clinic.auth.v1.Tokens";
    fn holds_tokens(message: &MessageDescriptor, seen: &mut Vec<String>) -> bool {
        if seen.iter().any(|name| name == message.full_name()) {
            return false;
        }
        seen.push(message.full_name().to_owned());
        message.full_name() == TOKENS
            || message.fields().any(|field| {
                field.kind().as_message().is_some_and(|inner| holds_tokens(inner, seen))
            })
    }
    let contract = clinic_proto::FILE_DESCRIPTOR_SET;
    let policy = Policy::from_descriptors(contract).unwrap();
    let pool = DescriptorPool::decode(contract).unwrap();
    let (mut with_tokens, mut compressible) = (Vec::new(), 0);
    for method in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let tokens = holds_tokens(&method.output(), &mut Vec::new());
        let is_compressible = policy.rule(&path).is_some_and(|rule| rule.compressible);
        compressible += usize::from(is_compressible);
        assert!(!(tokens && is_compressible), "{path}");
        if tokens {
            with_tokens.push(method.name().to_owned());
        }
    }
    with_tokens.sort();
    assert_eq!(with_tokens, ["Login", "Refresh", "Register"]);
    assert!(compressible > 0);
}
