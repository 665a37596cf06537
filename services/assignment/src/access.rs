//! Which rows a caller may see and change: `docs/access-matrix.md`, as SQL.
//!
//! Roles are checked against the method's rule before a handler runs; here it is only about rows.
//! A caller with several roles has the union of what each gives.

use clinic_identity::Principal;
use clinic_proto::access::v1::Role;
use clinic_store::Query;
use uuid::Uuid;

/// A part of the assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of them.
    All,
    /// Those of the patients that an account has made.
    OfPatientsOwnedBy(Uuid),
    /// Those of the patient whose account this is.
    OfPatient(Uuid),
    /// Those of the doctor whose account this is. Nobody is assigned to a doctor who has registered
    /// himself before he is verified, so he has none until then. One who must be verified again
    /// keeps those that he has.
    OfDoctor(Uuid),
}

impl Part {
    /// Appends the condition that a row is in this part.
    pub(crate) fn push(self, query: &mut Query) {
        match self {
            Self::All => query.push("TRUE"),
            Self::OfPatientsOwnedBy(user) => query.push("patient_owner_id = ").push_bind(user),
            Self::OfPatient(user) => query.push("patient_user_id = ").push_bind(user),
            Self::OfDoctor(user) => query.push("doctor_user_id = ").push_bind(user),
        };
    }
}

/// The rows that a caller may see, or change: a union of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(Vec<Part>);

impl Scope {
    /// To see assignments.
    pub(crate) fn see(principal: &Principal) -> Self {
        let mut scope = Self::change(principal);
        if let (Some(user), false) = (principal.user_id(), scope.0 == [Part::All]) {
            if principal.has(Role::Patient) {
                scope.0.push(Part::OfPatient(user));
            }
            if principal.has(Role::Doctor) {
                scope.0.push(Part::OfDoctor(user));
            }
        }
        scope
    }

    /// To update and end assignments.
    pub(crate) fn change(principal: &Principal) -> Self {
        Self(match principal.user_id() {
            Some(_) if principal.has(Role::Admin) => vec![Part::All],
            Some(user) if principal.has(Role::Staff) => vec![Part::OfPatientsOwnedBy(user)],
            _ => Vec::new(),
        })
    }

    #[cfg(test)]
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// The parts, each of which an index serves.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        self.0.iter().copied()
    }

    /// Appends the condition that a row is in the scope.
    pub(crate) fn push(&self, query: &mut Query) {
        query.push("(");
        for (at, part) in self.0.iter().enumerate() {
            query.push(if at == 0 { "" } else { " OR " });
            part.push(query);
        }
        query.push(if self.0.is_empty() { "FALSE)" } else { ")" });
    }
}

/// Whether a caller may assign doctors to a patient with this owner: to none, unless he owns him,
/// also when he sees him for another reason.
pub(crate) fn may_assign(principal: &Principal, patient_owner_id: Option<Uuid>) -> bool {
    Scope::change(principal).parts().any(|part| match part {
        Part::All => true,
        Part::OfPatientsOwnedBy(user) => patient_owner_id == Some(user),
        Part::OfPatient(_) | Part::OfDoctor(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use clinic_identity::User;

    use super::*;

    const ME: Uuid = Uuid::from_u128(1);

    fn user(roles: &[Role]) -> Principal {
        Principal::User(User {
            id: ME,
            session_id: Uuid::from_u128(2),
            roles: roles.iter().copied().collect(),
            email_verified: true,
        })
    }

    fn see(roles: &[Role]) -> Vec<Part> {
        Scope::see(&user(roles)).0
    }

    #[test]
    fn several_roles_give_the_union_and_admin_gives_all() {
        assert_eq!(see(&[Role::Staff]), [Part::OfPatientsOwnedBy(ME)]);
        assert_eq!(see(&[Role::Patient, Role::Doctor]), [Part::OfPatient(ME), Part::OfDoctor(ME)]);
        assert_eq!(see(&[Role::Doctor, Role::Admin, Role::Staff]), [Part::All]);
        assert_eq!(see(&[]), []);
        assert_eq!(Scope::see(&Principal::service("auth")).0, []);
    }

    #[test]
    fn patients_and_doctors_change_nothing() {
        assert_eq!(Scope::change(&user(&[Role::Patient, Role::Doctor])).0, []);
        assert_eq!(Scope::change(&Principal::service("auth")).0, []);
    }

    #[test]
    fn only_the_owner_and_admins_assign() {
        let other = Uuid::from_u128(9);
        let staff = user(&[Role::Staff, Role::Doctor]);
        assert!(may_assign(&staff, Some(ME)));
        assert!(!may_assign(&staff, Some(other)) && !may_assign(&staff, None));
        assert!(may_assign(&user(&[Role::Admin]), None));
        assert!(!may_assign(&user(&[Role::Patient]), Some(ME)));
    }
}
