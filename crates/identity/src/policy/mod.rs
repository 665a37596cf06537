//! Access rules: the `(clinic.access.v1.rule)` of every method. Fails closed: a process does not
//! start if a method has no rule, or a rule that names no callers.

use std::collections::HashMap;
use std::sync::Arc;

use clinic_proto::access::v1::{self as proto, Role, rule::Who};
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, MethodDescriptor};

use crate::{Principal, Roles};

/// The option with a method's access rule.
const RULE: &str = "clinic.access.v1.rule";
/// The option that allows the compression of a method's responses.
const COMPRESSIBLE: &str = "clinic.access.v1.compressible";
/// The packages whose methods need a rule. Others (health, reflection) are not called by users.
const PACKAGES: &str = "clinic.";

/// Why the access rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The descriptors cannot be read.
    #[error("the contract's descriptors cannot be read: {0}")]
    Descriptors(String),
    /// The descriptors do not declare the option.
    #[error("the contract's descriptors do not contain the option ({RULE})")]
    NoOption,
    /// A method has no usable access rule.
    #[error("{method} has no usable access rule: {problem}")]
    Rule { method: String, problem: &'static str },
}

/// Properties of a method, for the gateway and the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The allowed callers.
    pub access: AllowedCallers,
    /// Whether a call has a stream of requests instead of one.
    pub takes_stream: bool,
    /// Whether it changes nothing. Such a call may be cancelled at any time.
    pub is_read: bool,
    /// Whether a call may be retried: it changes nothing and is unary.
    pub is_repeatable: bool,
    /// Whether its response may be compressed. False unless the contract allows it.
    pub compressible: bool,
}

/// The callers that a rule admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedCallers {
    /// Everyone, even without a token.
    Public,
    /// Every signed-in account, but no internal service.
    SignedIn,
    /// Callers with one of these roles.
    AnyOf(Roles),
}

/// Reason for denying a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The caller is not signed in.
    Unauthenticated,
    /// The caller is authenticated but not one of the allowed callers.
    RoleRequired,
}

/// The rules of all methods.
#[derive(Debug)]
pub struct Policy {
    rules: HashMap<Arc<str>, Rule>,
}

impl Policy {
    /// Reads the rules of all methods from an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// If the descriptors are invalid, or a method of a `clinic.*` package has no usable rule.
    pub fn from_descriptors(descriptors: &[u8]) -> Result<Self, AccessError> {
        let pool = DescriptorPool::decode(descriptors)
            .map_err(|error| AccessError::Descriptors(error.to_string()))?;
        let option = |name| pool.get_extension_by_name(name).ok_or(AccessError::NoOption);
        let (rule, compressible) = (option(RULE)?, option(COMPRESSIBLE)?);
        let services = pool.services().filter(|service| service.full_name().starts_with(PACKAGES));
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let rules = methods.map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let access = match allowed_callers(&method, &rule) {
                Ok(access) => access,
                Err(problem) => return Err(AccessError::Rule { method: path, problem }),
            };
            let takes_stream = method.is_client_streaming();
            let options = method.method_descriptor_proto().options.as_ref();
            let is_read =
                options.is_some_and(|o| o.idempotency_level() == IdempotencyLevel::NoSideEffects);
            let is_repeatable = is_read && !takes_stream && !method.is_server_streaming();
            let compressible =
                method.options().get_extension(&compressible).as_bool() == Some(true);
            let rule = Rule { access, takes_stream, is_read, is_repeatable, compressible };
            Ok((path.into(), rule))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Returns the rule of a method by its path, `/package.Service/Method`. None if it is unknown.
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        self.rules.get(path)
    }

    /// Returns the rule together with its path, which callers can keep without a copy.
    pub fn find(&self, path: &str) -> Option<(&Arc<str>, &Rule)> {
        self.rules.get_key_value(path)
    }

    /// Returns all methods by path, in no particular order.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.rules.iter().map(|(path, rule)| (&**path, rule))
    }
}

impl AllowedCallers {
    /// Checks whether the principal may call the method.
    ///
    /// # Errors
    /// The reason for the denial.
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

fn allowed_callers(
    method: &MethodDescriptor,
    rule: &ExtensionDescriptor,
) -> Result<AllowedCallers, &'static str> {
    let options = method.options();
    if !options.has_extension(rule) {
        return Err("the option (clinic.access.v1.rule) is missing");
    }
    let rule = options.get_extension(rule);
    let rule = rule.as_message().ok_or("the option is not a message")?;
    match rule.transcode_to::<proto::Rule>().map_err(|_| "the option cannot be read")?.who {
        Some(Who::Public(true)) => Ok(AllowedCallers::Public),
        Some(Who::SignedIn(true)) => Ok(AllowedCallers::SignedIn),
        Some(Who::AnyOf(any_of)) if any_of.roles.is_empty() => Err("any_of.roles is empty"),
        Some(Who::AnyOf(any_of)) => {
            let known =
                |role: i32| Role::try_from(role).ok().filter(|role| *role != Role::Unspecified);
            let roles: Option<Roles> = any_of.roles.into_iter().map(known).collect();
            roles.map(AllowedCallers::AnyOf).ok_or("any_of contains an unknown role")
        }
        _ => Err("it sets none of public: true, signed_in: true and any_of"),
    }
}

#[cfg(test)]
mod tests;
