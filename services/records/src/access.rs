//! Which rows a caller may see and change: `docs/access-matrix.md`, as SQL.
//!
//! Roles are checked against the method's rule before a handler runs; here it is only about rows.
//! A caller with several roles has the union of what each gives.

use clinic_identity::Principal;
use clinic_proto::access::v1::Role;
use clinic_store::Query;
use uuid::Uuid;

/// How much verified doctors see of the patients that are not theirs: an operator's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DoctorPatientView {
    /// Names, gender and date of birth.
    #[default]
    Basic,
    /// Everything.
    Full,
    /// Nothing.
    None,
}

/// The service that makes the records of accounts.
const REGISTRAR: &str = "auth";

/// Whether this is the service that makes the records of accounts.
pub(crate) fn is_registrar(principal: &Principal) -> bool {
    principal.is_service(REGISTRAR)
}

/// A part of the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All rows.
    All,
    /// All rows that are not deleted.
    Live,
    /// Those that an account has made.
    OwnedBy(Uuid),
    /// Those that nobody owns: the records of accounts that registered themselves.
    Unowned,
    /// The record of an account.
    OfUser(Uuid),
    /// All patients that are not deleted, when the account is a verified doctor's.
    ForVerifiedDoctor { user: Uuid, full: bool },
}

impl Part {
    fn push(&self, query: &mut Query) {
        match self {
            Self::All | Self::Live => query.push("TRUE"),
            Self::OwnedBy(user) => query.push("owner_id = ").push_bind(*user),
            Self::Unowned => query.push("owner_id IS NULL"),
            Self::OfUser(user) => query.push("user_id = ").push_bind(*user),
            Self::ForVerifiedDoctor { user, full: _ } => query
                .push("EXISTS (SELECT 1 FROM doctors AS me WHERE me.user_id = ")
                .push_bind(*user)
                .push(" AND me.verified AND me.deleted_at IS NULL)"),
        };
    }

    /// Whether who sees rows by this part may undelete them, and so sees deleted ones on demand.
    fn shows_deleted(&self) -> bool {
        match self {
            Self::All | Self::OwnedBy(_) => true,
            Self::Live | Self::Unowned | Self::OfUser(_) | Self::ForVerifiedDoctor { .. } => false,
        }
    }
}

/// The rows that a caller may see, or change, by one method: a union of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(Vec<Part>);

impl Scope {
    /// To see patients.
    pub(crate) fn see_patients(principal: &Principal, view: DoctorPatientView) -> Self {
        let mut parts = owned(principal);
        if let (Some(user), false) = (principal.user_id(), parts == [Part::All]) {
            if principal.has(Role::Patient) {
                parts.push(Part::OfUser(user));
            }
            if principal.has(Role::Doctor) && view != DoctorPatientView::None {
                let full = view == DoctorPatientView::Full;
                parts.push(Part::ForVerifiedDoctor { user, full });
            }
        }
        Self(parts)
    }

    /// To see a patient again by the request that made it: those that Get shows. Auth, which gets
    /// nobody, sees those of the kind that it makes.
    pub(crate) fn see_patients_again(principal: &Principal, view: DoctorPatientView) -> Self {
        match is_registrar(principal) {
            true => Self(vec![Part::Unowned]),
            false => Self::see_patients(principal, view),
        }
    }

    /// To change patients.
    pub(crate) fn change_patients(principal: &Principal) -> Self {
        let mut parts = owned(principal);
        if let (Some(user), true) = (principal.user_id(), principal.has(Role::Patient)) {
            parts.push(Part::OfUser(user));
        }
        Self(parts)
    }

    /// To see doctors: everybody sees all of them, and the deleted ones who may undelete them.
    pub(crate) fn see_doctors(principal: &Principal, show_deleted: bool) -> Self {
        let mut parts = if show_deleted { owned(principal) } else { Vec::new() };
        if parts != [Part::All] {
            parts.push(Part::Live);
        }
        Self(parts)
    }

    /// To change doctors. The own profile also before it is verified: what an administrator is to
    /// confirm must first be right.
    pub(crate) fn change_doctors(principal: &Principal) -> Self {
        let mut parts = owned(principal);
        if let (Some(user), true) = (principal.user_id(), principal.has(Role::Doctor)) {
            parts.push(Part::OfUser(user));
        }
        Self(parts)
    }

    /// To delete and undelete either. Auth takes back what it made for an account that did not
    /// come to be; no other service deletes anything.
    pub(crate) fn delete(principal: &Principal) -> Self {
        let mut parts = owned(principal);
        if is_registrar(principal) {
            parts.push(Part::Unowned);
        }
        Self(parts)
    }

    /// To do what only ADMINs do.
    pub(crate) fn administer(principal: &Principal) -> Self {
        Self(if principal.has(Role::Admin) { vec![Part::All] } else { Vec::new() })
    }

    /// The parts, each of which an index serves.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Self> {
        self.0.iter().map(|part| Self(vec![part.clone()]))
    }

    /// Whether the rows are one part.
    pub(crate) fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether there is nothing to see.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the condition that a row is in the scope, deleted or not.
    pub(crate) fn push(&self, query: &mut Query) {
        self.push_parts(query, false);
    }

    /// Appends the condition that a row is in the scope and to be shown.
    pub(crate) fn push_shown(&self, query: &mut Query, show_deleted: bool) {
        if !show_deleted {
            query.push("deleted_at IS NULL AND ");
        }
        self.push_parts(query, show_deleted);
    }

    fn push_parts(&self, query: &mut Query, show_deleted: bool) {
        query.push("(");
        for (at, part) in self.0.iter().enumerate() {
            query.push(if at == 0 { "" } else { " OR " });
            part.push(query);
            if show_deleted && !part.shows_deleted() {
                query.push(" AND deleted_at IS NULL");
            }
        }
        query.push(if self.0.is_empty() { "FALSE)" } else { ")" });
    }

    /// Whether a patient of this scope, with this owner and this account, is shown in full.
    pub(crate) fn is_full(&self, owner_id: Option<Uuid>, user_id: Option<Uuid>) -> bool {
        self.0.iter().any(|part| match part {
            Part::All | Part::Live => true,
            Part::OwnedBy(user) => owner_id == Some(*user),
            Part::Unowned => owner_id.is_none(),
            Part::OfUser(user) => user_id == Some(*user),
            Part::ForVerifiedDoctor { user: _, full } => *full,
        })
    }

    /// Whether no patient of this scope is shown in full.
    pub(crate) fn is_never_full(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::ForVerifiedDoctor { full: false, .. }))
    }
}

fn owned(principal: &Principal) -> Vec<Part> {
    match principal.user_id() {
        Some(_) if principal.has(Role::Admin) => vec![Part::All],
        Some(user) if principal.has(Role::Staff) => vec![Part::OwnedBy(user)],
        _ => Vec::new(),
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

    fn see(roles: &[Role], view: DoctorPatientView) -> Vec<Part> {
        Scope::see_patients(&user(roles), view).0
    }

    #[test]
    fn several_roles_give_the_union_and_admin_gives_all() {
        let basic = DoctorPatientView::Basic;
        let doctor = Part::ForVerifiedDoctor { user: ME, full: false };
        assert_eq!(see(&[Role::Staff], basic), [Part::OwnedBy(ME)]);
        assert_eq!(see(&[Role::Doctor, Role::Patient], basic), [Part::OfUser(ME), doctor]);
        assert_eq!(see(&[Role::Doctor, Role::Admin, Role::Staff], basic), [Part::All]);
        assert_eq!(see(&[], basic), []);
    }

    #[test]
    fn the_operator_decides_what_doctors_see() {
        assert_eq!(see(&[Role::Doctor], DoctorPatientView::None), []);
        let full = Scope::see_patients(&user(&[Role::Doctor]), DoctorPatientView::Full);
        assert!(full.is_full(None, None) && !full.is_never_full());
        let basic = Scope::see_patients(&user(&[Role::Doctor]), DoctorPatientView::Basic);
        assert!(!basic.is_full(None, Some(ME)) && basic.is_never_full());
    }

    #[test]
    fn a_service_sees_nothing_and_deletes_only_what_nobody_owns() {
        let service = Principal::service("auth");
        assert!(Scope::see_patients(&service, DoctorPatientView::Full).is_empty());
        assert!(Scope::change_patients(&service).is_empty());
        assert_eq!(Scope::delete(&service).0, [Part::Unowned]);
        assert!(Scope::delete(&Principal::service("reporting")).is_empty());
        assert!(Scope::administer(&service).is_empty());
    }

    #[test]
    fn a_row_is_full_for_its_owner_and_for_itself_only() {
        let scope = Scope::see_patients(
            &user(&[Role::Staff, Role::Patient, Role::Doctor]),
            DoctorPatientView::Basic,
        );
        let other = Some(Uuid::from_u128(7));
        assert!(scope.is_full(Some(ME), other) && scope.is_full(other, Some(ME)));
        assert!(!scope.is_full(other, None));
    }
}
