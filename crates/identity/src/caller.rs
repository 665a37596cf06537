//! Who calls: what a service knows of a caller once the forwarded claims are verified.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use aws_lc_rs::digest;
use clinic_proto::access::v1::Role;
use uuid::{Builder, Uuid};

use crate::Roles;

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    kind: Kind,
    client_ip: Option<IpAddr>,
}

/// What a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody that is known.
    Anonymous,
    /// A signed-in account.
    User {
        /// The account's id.
        id: Uuid,
        /// The session of the access token.
        session_id: Uuid,
        /// What the account was when the access token was made.
        roles: Roles,
        /// Whether the address is known to be the person's.
        email_verified: bool,
    },
    /// An internal service that acts as itself.
    Service {
        /// The issuer's name in the keys directory.
        name: Arc<str>,
        /// What identifies it where accounts have ids: derived from the name.
        id: Uuid,
    },
}

impl Caller {
    /// Nobody that is known.
    pub fn anonymous(client_ip: Option<IpAddr>) -> Self {
        Self { kind: Kind::Anonymous, client_ip }
    }

    /// A signed-in account.
    pub fn user(
        id: Uuid,
        session_id: Uuid,
        roles: Roles,
        email_verified: bool,
        client_ip: Option<IpAddr>,
    ) -> Self {
        Self { kind: Kind::User { id, session_id, roles, email_verified }, client_ip }
    }

    /// An internal service. Its id is a UUIDv8 (RFC 9562) of the SHA-256 of its name, the same in
    /// every process.
    pub fn service(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        let id = Builder::from_custom_bytes(bytes).into_uuid();
        Self { kind: Kind::Service { name: name.into(), id }, client_ip: None }
    }

    /// What the caller is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The account's id, for a signed-in account.
    pub fn user_id(&self) -> Option<Uuid> {
        match &self.kind {
            Kind::User { id, .. } => Some(*id),
            Kind::Anonymous | Kind::Service { .. } => None,
        }
    }

    /// The session, for a signed-in account.
    pub fn session_id(&self) -> Option<Uuid> {
        match &self.kind {
            Kind::User { session_id, .. } => Some(*session_id),
            Kind::Anonymous | Kind::Service { .. } => None,
        }
    }

    /// What identifies the caller: the account's id, the service's id, or nil.
    pub fn id(&self) -> Uuid {
        match &self.kind {
            Kind::Anonymous => Uuid::nil(),
            Kind::User { id, .. } | Kind::Service { id, .. } => *id,
        }
    }

    /// The caller's roles: `SERVICE` for a service, none for nobody.
    pub fn roles(&self) -> Roles {
        match &self.kind {
            Kind::Anonymous => Roles::NONE,
            Kind::User { roles, .. } => *roles,
            Kind::Service { .. } => Roles::from(Role::Service),
        }
    }

    /// Whether the caller has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles().has(role)
    }

    /// Whether the caller is an internal service.
    pub fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Service { .. })
    }

    /// Whether nobody is signed in.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, Kind::Anonymous)
    }

    /// The address from which the client called, as the gateway saw it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
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
    fn a_service_has_the_same_id_in_every_process_and_another_one_has_another() {
        assert_eq!(Caller::service("records").id(), Caller::service("records").id());
        assert_ne!(Caller::service("records").id(), Caller::service("auth").id());
        assert_eq!(Caller::service("records").id().get_version_num(), 8);
        assert!(Caller::service("records").has(Role::Service));
        assert_eq!(Caller::service("records").user_id(), None);
    }

    #[test]
    fn nobody_has_no_role_and_the_nil_id() {
        let caller = Caller::anonymous(None);
        assert!(caller.roles().is_empty());
        assert!(caller.id().is_nil());
    }
}
