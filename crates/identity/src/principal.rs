//! Principals: the callers that tokens identify and that access checks decide about.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use aws_lc_rs::digest;
use clinic_proto::access::v1::Role;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::Roles;

/// The caller on whose behalf a call is made.
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

/// A signed-in account. Contains no name and no address, because everyone with an access token can
/// read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct User {
    /// The account's id.
    #[serde(rename = "sub")]
    pub id: Uuid,
    /// The session's id.
    #[serde(rename = "sid")]
    pub session_id: Uuid,
    /// The account's roles when the access token was signed.
    pub roles: Roles,
    /// Whether the account's e-mail address is verified.
    pub email_verified: bool,
}

/// An internal service. The issuer of a token identifies it, so the claims contain nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the keys directory.
    #[serde(skip)]
    pub name: Arc<str>,
    /// Its id, used where accounts have ids.
    #[serde(skip)]
    pub id: Uuid,
}

impl Principal {
    /// Returns the internal service of that name. Its id is a UUIDv8 (RFC 9562) of the SHA-256 of
    /// the name, the same in every process.
    pub fn service(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let bytes = hash.as_ref().first_chunk::<16>().copied().unwrap_or_default();
        let id = Builder::from_custom_bytes(bytes).into_uuid();
        Self::Service(Service { name: name.into(), id })
    }

    /// Returns the account if the principal is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::Anonymous | Self::Service(_) => None,
        }
    }

    /// Returns the account's id if the principal is an account.
    pub fn user_id(&self) -> Option<Uuid> {
        self.user().map(|user| user.id)
    }

    /// Returns the session's id if the principal is an account.
    pub fn session_id(&self) -> Option<Uuid> {
        self.user().map(|user| user.session_id)
    }

    /// Returns the id of the account or service; nil if anonymous.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Anonymous => Uuid::nil(),
            Self::User(user) => user.id,
            Self::Service(service) => service.id,
        }
    }

    /// Returns the account's roles, or `SERVICE` for a service.
    pub fn roles(&self) -> Roles {
        match self {
            Self::Anonymous => Roles::NONE,
            Self::User(user) => user.roles,
            Self::Service(_) => Roles::from(Role::Service),
        }
    }

    /// Returns whether the principal has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles().has(role)
    }

    /// Returns whether this is the internal service of that name.
    pub fn is_service(&self, name: &str) -> bool {
        matches!(self, Self::Service(service) if *service.name == *name)
    }

    /// Returns whether the caller is not signed in.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

/// Returns the network that counts as one client: a single IPv4 address, or a /64 of IPv6, the
/// least that a subscriber has (RFC 6177).
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
        // IPv6 sockets report IPv4 clients in this form.
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
        assert_eq!(Principal::Anonymous.roles(), Roles::NONE);
        assert!(Principal::Anonymous.id().is_nil());
    }
}
