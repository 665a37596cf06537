//! Principals: who a call is made for. Both kinds of tokens carry one, and every access check takes one.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use aws_lc_rs::digest;
use clinic_proto::access::v1::Role;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::Roles;

/// Who a call is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Principal {
    /// Not signed in.
    Anonymous,
    /// A signed-in account.
    User(User),
    /// An internal service that acts as itself.
    Service(Service),
}

/// A signed-in account. It has no name and no address: an access token can be read by everyone who
/// holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct User {
    /// The account's id.
    #[serde(rename = "sub")]
    pub id: Uuid,
    /// The session.
    #[serde(rename = "sid")]
    pub session_id: Uuid,
    /// The account's roles when the access token was made.
    pub roles: Roles,
    /// Whether the account's e-mail address is verified.
    pub email_verified: bool,
}

/// An internal service. A token names it by its issuer, so the claims hold nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the keys directory.
    #[serde(skip)]
    pub name: Arc<str>,
    /// Identifies it where accounts have ids.
    #[serde(skip)]
    pub id: Uuid,
}

impl Principal {
    /// The internal service of that name. Its id is a UUIDv8 (RFC 9562) of the SHA-256 of the name,
    /// the same in every process.
    pub fn service(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        let id = Builder::from_custom_bytes(bytes).into_uuid();
        Self::Service(Service { name: name.into(), id })
    }

    /// The account, for a signed-in account.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::Anonymous | Self::Service(_) => None,
        }
    }

    /// The account's id, for a signed-in account.
    pub fn user_id(&self) -> Option<Uuid> {
        self.user().map(|user| user.id)
    }

    /// The session, for a signed-in account.
    pub fn session_id(&self) -> Option<Uuid> {
        self.user().map(|user| user.session_id)
    }

    /// Identifies the principal: the account's id, the service's id, or nil.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Anonymous => Uuid::nil(),
            Self::User(user) => user.id,
            Self::Service(service) => service.id,
        }
    }

    /// The account's roles, or `SERVICE` for a service.
    pub fn roles(&self) -> Roles {
        match self {
            Self::Anonymous => Roles::NONE,
            Self::User(user) => user.roles,
            Self::Service(_) => Roles::from(Role::Service),
        }
    }

    /// Whether the principal has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles().has(role)
    }

    /// Whether this is the internal service of that name.
    pub fn is_service(&self, name: &str) -> bool {
        matches!(self, Self::Service(service) if *service.name == *name)
    }

    /// Whether nobody is signed in.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

/// The addresses that count as one client: a single IPv4 address, or a /64 of IPv6, which every
/// subscriber has at least (RFC 6177).
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_counts_as_one_client() {
        let networks = |addresses: [&str; 2]| addresses.map(|a| client_network(a.parse().unwrap()));
        let same = |addresses| matches!(networks(addresses), [one, other] if one == other);
        assert!(same(["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"]));
        assert!(!same(["2001:db8:1:2::1", "2001:db8:1:3::1"]));
        assert!(!same(["192.0.2.7", "192.0.2.8"]));
        // An IPv6 socket shows IPv4 clients like this.
        assert!(same(["192.0.2.7", "::ffff:192.0.2.7"]));
        assert!(!same(["::ffff:192.0.2.7", "::ffff:192.0.2.8"]));
    }

    #[test]
    fn the_id_of_a_service_follows_from_its_name() {
        assert_eq!(Principal::service("records").id(), Principal::service("records").id());
        assert_ne!(Principal::service("records").id(), Principal::service("auth").id());
        assert_eq!(Principal::service("records").id().get_version_num(), 8);
        assert!(Principal::service("records").has(Role::Service));
        assert_eq!(Principal::service("records").user_id(), None);
    }

    #[test]
    fn the_anonymous_principal_has_no_role_and_the_nil_id() {
        assert!(Principal::Anonymous.roles().is_empty());
        assert!(Principal::Anonymous.id().is_nil());
    }
}
