//! The rows that a caller may see and change: `docs/access-matrix.md` as SQL.
//!
//! Roles are checked against the method's rule before a handler runs. A caller with several roles
//! can access the union of their rows.

use clinic_identity::Principal;
use clinic_proto::access::v1::Role;
use clinic_resource::{Arm, Scope};
use uuid::Uuid;

/// A reason why a caller may see assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// All assignments.
    All,
    /// Those of the patients that this account owns.
    OfPatientsOwnedBy(Uuid),
    /// Those of the patient with this account.
    OfPatient(Uuid),
    /// Those of the doctor with this account. A self-registered doctor gets assignments only after
    /// an administrator has verified the profile. A doctor who must be verified again keeps them.
    OfDoctor(Uuid),
}

impl From<Ground> for Arm {
    fn from(ground: Ground) -> Self {
        match ground {
            Ground::All => Self::all(),
            Ground::OfPatientsOwnedBy(user) => Self::of("patient_owner_id = ", user),
            Ground::OfPatient(user) => Self::of("patient_user_id = ", user),
            Ground::OfDoctor(user) => Self::of("doctor_user_id = ", user),
        }
    }
}

/// Returns the grounds on which the caller sees assignments.
pub(crate) fn visible(principal: &Principal) -> Vec<Ground> {
    let mut grounds: Vec<Ground> = changeable(principal).into_iter().collect();
    if let (Some(user), false) = (principal.user_id(), grounds == [Ground::All]) {
        if principal.has(Role::Patient) {
            grounds.push(Ground::OfPatient(user));
        }
        if principal.has(Role::Doctor) {
            grounds.push(Ground::OfDoctor(user));
        }
    }
    grounds
}

/// Returns the ground on which the caller may update and end assignments.
pub(crate) fn changeable(principal: &Principal) -> Option<Ground> {
    match principal.user_id() {
        Some(_) if principal.has(Role::Admin) => Some(Ground::All),
        Some(user) if principal.has(Role::Staff) => Some(Ground::OfPatientsOwnedBy(user)),
        _ => None,
    }
}

/// Returns the assignments that are accessible on these grounds.
pub(crate) fn scope(grounds: impl IntoIterator<Item = Ground>) -> Scope {
    grounds.into_iter().map(Arm::from).collect()
}

/// Returns whether a caller may assign doctors to a patient with this owner. Apart from ADMINs, only
/// the owner may, even if the caller sees the patient for another reason.
pub(crate) fn may_assign(principal: &Principal, patient_owner_id: Option<Uuid>) -> bool {
    match changeable(principal) {
        Some(Ground::All) => true,
        Some(Ground::OfPatientsOwnedBy(user)) => patient_owner_id == Some(user),
        Some(Ground::OfPatient(_) | Ground::OfDoctor(_)) | None => false,
    }
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

    #[test]
    fn several_roles_give_the_union_and_admin_gives_all() {
        let see = |roles: &[Role]| visible(&user(roles));
        assert_eq!(see(&[Role::Staff]), [Ground::OfPatientsOwnedBy(ME)]);
        let both = [Ground::OfPatient(ME), Ground::OfDoctor(ME)];
        assert_eq!(see(&[Role::Patient, Role::Doctor]), both);
        assert_eq!(see(&[Role::Doctor, Role::Admin, Role::Staff]), [Ground::All]);
        assert_eq!(see(&[]), []);
        assert_eq!(visible(&Principal::service("auth")), []);
    }

    #[test]
    fn patients_and_doctors_change_nothing() {
        assert_eq!(changeable(&user(&[Role::Patient, Role::Doctor])), None);
        assert_eq!(changeable(&Principal::service("auth")), None);
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
