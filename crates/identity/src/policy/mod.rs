//! Access rules: the `(clinic.access.v1.rule)` of every method. Fails closed: a process does not
//! start if a method has no rule, or a rule that names no callers.

use std::collections::HashMap;
use std::sync::Arc;

use clinic_contract::{AccessError, Callers, Method};
use clinic_proto::access::v1::Role;

use crate::{Principal, Roles};

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
        let methods = clinic_contract::methods(descriptors)?.into_iter();
        let rules: Result<_, _> =
            methods.map(|method| Ok((path(&method), rule(&method)?))).collect();
        Ok(Self { rules: rules? })
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

fn path(method: &Method) -> Arc<str> {
    method.path.as_str().into()
}

fn rule(method: &Method) -> Result<Rule, AccessError> {
    let Method { takes_stream, gives_stream, is_read, compressible, .. } = *method;
    let access = match &method.callers {
        Callers::Public => AllowedCallers::Public,
        Callers::SignedIn => AllowedCallers::SignedIn,
        Callers::AnyOf(numbers) => {
            let problem = "any_of contains an unknown role";
            let unknown = || AccessError::Rule { method: method.path.clone(), problem };
            let role = |number: &i32| match Role::try_from(*number) {
                Err(_) | Ok(Role::Unspecified) => Err(unknown()),
                Ok(role) => Ok(role),
            };
            AllowedCallers::AnyOf(numbers.iter().map(role).collect::<Result<Roles, _>>()?)
        }
    };
    let is_repeatable = is_read && !takes_stream && !gives_stream;
    Ok(Rule { access, takes_stream, is_read, is_repeatable, compressible })
}

#[cfg(test)]
mod tests;
