//! Who may call what: the `(clinic.access.v1.rule)` of every method, read once from the
//! descriptors. Fails closed: a method without a rule, or with one that admits nobody in
//! particular, stops the process.

use std::collections::HashMap;
use std::sync::Arc;

use clinic_proto::access::v1::Role;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MethodDescriptor};

use crate::{Principal, Roles};

/// The option that carries the rule.
const RULE: &str = "clinic.access.v1.rule";
/// The option that says whether answers may be compressed.
const COMPRESSIBLE: &str = "clinic.access.v1.compressible";
/// The packages whose methods need a rule. Others (health, reflection) are not called by users.
const PACKAGES: &str = "clinic.";

/// What the gateway and the services have to know of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who may call it.
    pub access: Access,
    /// Whether a call is a stream of requests, instead of one.
    pub takes_stream: bool,
    /// Whether it changes nothing, so that a call may be given up at any time.
    pub is_read: bool,
    /// Whether a call may be made again: it changes nothing, and is one request with one answer.
    pub is_repeatable: bool,
    /// Whether its answer may be compressed: not unless the contract says so.
    pub compressible: bool,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, also without a token.
    Public,
    /// Every signed-in account, but no internal service.
    SignedIn,
    /// Callers with one of these roles.
    AnyOf(Roles),
}

/// Why a caller may not call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nobody is signed in.
    Unauthenticated,
    /// The caller is known, and is not one of those who may.
    RoleRequired,
}

/// Why the access rules cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The descriptors cannot be read.
    #[error("the contract's descriptors cannot be read: {0}")]
    Descriptors(String),
    /// The descriptors do not declare the option.
    #[error("the contract's descriptors do not contain the option ({RULE})")]
    NoOption,
    /// A method may not be served as it is declared.
    #[error("{method} has no usable access rule: {problem}")]
    Rule {
        /// The method's path, as `/package.Service/Method`.
        method: String,
        /// What is wrong with its rule.
        problem: &'static str,
    },
}

/// The rule of every method.
#[derive(Debug)]
pub struct Policy {
    rules: HashMap<Arc<str>, Rule>,
}

impl Policy {
    /// Reads the rules of all methods from an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// When a method of a `clinic.*` package has no rule that says who may call it.
    pub fn from_descriptors(descriptors: &[u8]) -> Result<Self, PolicyError> {
        let pool = DescriptorPool::decode(descriptors)
            .map_err(|error| PolicyError::Descriptors(error.to_string()))?;
        let option = pool.all_extensions().find(|e| e.full_name() == RULE);
        let option = option.ok_or(PolicyError::NoOption)?;
        let compressible = pool.get_extension_by_name(COMPRESSIBLE);
        let compressible = compressible.ok_or(PolicyError::NoOption)?;
        let mut rules = HashMap::new();
        for service in pool.services().filter(|s| s.full_name().starts_with(PACKAGES)) {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                match rule(&method, &option) {
                    Ok(access) => {
                        let takes_stream = method.is_client_streaming();
                        let is_read = is_read(&method);
                        let is_repeatable =
                            is_read && !takes_stream && !method.is_server_streaming();
                        let compressible =
                            method.options().get_extension(&compressible).as_bool() == Some(true);
                        let rule =
                            Rule { access, takes_stream, is_read, is_repeatable, compressible };
                        rules.insert(path.into(), rule)
                    }
                    Err(problem) => return Err(PolicyError::Rule { method: path, problem }),
                };
            }
        }
        Ok(Self { rules })
    }

    /// The rule of a method, by its path `/package.Service/Method`; none for an unknown method.
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        self.rules.get(path)
    }

    /// The same with the path, which can be kept without a copy.
    pub fn find(&self, path: &str) -> Option<(&Arc<str>, &Rule)> {
        self.rules.get_key_value(path)
    }

    /// All methods by path, in no particular order.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.rules.iter().map(|(path, rule)| (&**path, rule))
    }
}

impl Access {
    /// Checks whether the principal may call the method.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, principal: &Principal) -> Result<(), Denied> {
        let admitted = match self {
            Self::Public => return Ok(()),
            Self::SignedIn => principal.user_id().is_some(),
            Self::AnyOf(roles) => roles.intersects(principal.roles()),
        };
        match admitted {
            true => Ok(()),
            false if principal.is_anonymous() => Err(Denied::Unauthenticated),
            false => Err(Denied::RoleRequired),
        }
    }
}

fn rule(method: &MethodDescriptor, option: &ExtensionDescriptor) -> Result<Access, &'static str> {
    let options = method.options();
    if !options.has_extension(option) {
        return Err("the option (clinic.access.v1.rule) is missing");
    }
    let value = options.get_extension(option);
    let rule = value.as_message().ok_or("the option is not a message")?;
    if set_to_true(rule, "public") {
        Ok(Access::Public)
    } else if set_to_true(rule, "signed_in") {
        Ok(Access::SignedIn)
    } else if rule.has_field_by_name("any_of") {
        any_of(rule)
    } else {
        Err("it says neither public: true, nor signed_in: true, nor any_of")
    }
}

fn is_read(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

fn set_to_true(rule: &DynamicMessage, field: &str) -> bool {
    rule.get_field_by_name(field).and_then(|value| value.as_bool()) == Some(true)
}

fn any_of(rule: &DynamicMessage) -> Result<Access, &'static str> {
    let any_of = rule.get_field_by_name("any_of").ok_or("any_of cannot be read")?;
    let any_of = any_of.as_message().ok_or("any_of is not a message")?;
    let roles = any_of.get_field_by_name("roles").ok_or("any_of has no roles")?;
    let mut set = Roles::NONE;
    for role in roles.as_list().ok_or("any_of.roles is not a list")? {
        match role.as_enum_number().and_then(|number| Role::try_from(number).ok()) {
            None | Some(Role::Unspecified) => return Err("any_of names something that is no role"),
            Some(role) => set = set.with(role),
        }
    }
    if set.is_empty() { Err("any_of names no role") } else { Ok(Access::AnyOf(set)) }
}

#[cfg(test)]
mod tests;
