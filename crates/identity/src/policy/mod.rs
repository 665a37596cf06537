//! Access rules: the `(clinic.access.v1.rule)` of every method. Fails closed: a method without a rule,
//! or with one that admits nobody in particular, stops the process.

use std::collections::HashMap;
use std::sync::Arc;

use clinic_contract::{AccessError, Callers, Method};
use clinic_proto::access::v1::Role;

use crate::{Principal, Roles};

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

/// The rule of every method.
#[derive(Debug)]
pub struct Policy {
    rules: HashMap<Arc<str>, Rule>,
}

impl Policy {
    /// Takes the rules of all methods from an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// When a method of a `clinic.*` package has no rule that says who may call it.
    pub fn from_descriptors(descriptors: &[u8]) -> Result<Self, AccessError> {
        let methods = clinic_contract::methods(descriptors)?.into_iter();
        let rules: Result<_, _> =
            methods.map(|method| Ok((path(&method), rule(&method)?))).collect();
        Ok(Self { rules: rules? })
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

fn path(method: &Method) -> Arc<str> {
    method.path.as_str().into()
}

fn rule(method: &Method) -> Result<Rule, AccessError> {
    let Method { takes_stream, gives_stream, is_read, compressible, .. } = *method;
    let access = match &method.callers {
        Callers::Public => Access::Public,
        Callers::SignedIn => Access::SignedIn,
        Callers::AnyOf(numbers) => {
            let problem = "any_of names something that is no role";
            let unknown = || AccessError::Rule { method: method.path.clone(), problem };
            let role = |number: &i32| match Role::try_from(*number) {
                Err(_) | Ok(Role::Unspecified) => Err(unknown()),
                Ok(role) => Ok(role),
            };
            Access::AnyOf(numbers.iter().map(role).collect::<Result<Roles, _>>()?)
        }
    };
    let is_repeatable = is_read && !takes_stream && !gives_stream;
    Ok(Rule { access, takes_stream, is_read, is_repeatable, compressible })
}

#[cfg(test)]
mod tests;
