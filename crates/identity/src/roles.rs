//! A set of roles, small enough to copy.

use std::fmt;

use clinic_proto::access::v1::Role;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Every role with its name in a token.
const NAMES: [(Role, &str); 5] = [
    (Role::Admin, "admin"),
    (Role::Staff, "staff"),
    (Role::Doctor, "doctor"),
    (Role::Patient, "patient"),
    (Role::Service, "service"),
];

/// A set of roles: the bit `1 << number` for each, with the enum numbers of the contract.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Returns the set from a database column. Ignores bits of unknown roles.
    pub fn from_bits(bits: i64) -> Self {
        NAMES
            .iter()
            .map(|(role, _)| *role)
            .filter(|role| bits & i64::from(bit(*role)) != 0)
            .collect()
    }

    /// Returns the set for a database column.
    pub fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// Returns whether the role is in the set.
    pub fn has(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }

    /// Returns whether the two sets share a role.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the set with the role added.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | bit(role))
    }

    /// Returns the set without the role.
    #[must_use]
    pub fn without(self, role: Role) -> Self {
        Self(self.0 & !bit(role))
    }

    /// Returns the roles in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        NAMES.into_iter().map(|(role, _)| role).filter(move |role| self.has(*role))
    }
}

/// `Unspecified` has no bit: it is not a role, and must not match anything.
const fn bit(role: Role) -> u8 {
    match role {
        Role::Unspecified => 0,
        Role::Admin => 1 << 1,
        Role::Staff => 1 << 2,
        Role::Doctor => 1 << 3,
        Role::Patient => 1 << 4,
        Role::Service => 1 << 5,
    }
}

/// Returns the role's name in tokens, settings and logs: `admin`, `staff` ….
pub fn role_name(role: Role) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == role).map_or("unspecified", |(_, name)| name)
}

/// Returns the role of that name, ignoring case.
pub fn role_from_name(name: &str) -> Option<Role> {
    NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(role, _)| *role)
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(bit(role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(role_name)).finish()
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(role_name))
    }
}

/// Ignores unknown names: a newer issuer may know more roles, and an unknown role grants nothing.
impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().filter_map(|name| role_from_name(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_numbers_of_the_contract() {
        for (role, _) in NAMES {
            assert_eq!(Roles::from(role).bits(), 1 << i32::from(role));
        }
        assert_eq!(Roles::from(Role::Unspecified), Roles::NONE);
    }

    #[test]
    fn bits_of_unknown_roles_are_ignored() {
        assert_eq!(Roles::from_bits(1 << 1 | 1 << 40 | 1), Roles::from(Role::Admin));
    }

    #[test]
    fn roles_survive_serialization_and_unknown_names_are_ignored() {
        let roles = Roles::from_iter([Role::Doctor, Role::Admin]);
        let text = serde_json::to_string(&roles).unwrap();
        assert_eq!(text, r#"["admin","doctor"]"#);
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), roles);
        assert_eq!(
            serde_json::from_str::<Roles>(r#"["root","staff"]"#).unwrap(),
            Roles::from(Role::Staff)
        );
    }
}
