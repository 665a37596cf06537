//! Which rows a caller may see and change: `docs/access-matrix.md`, as SQL.
//!
//! Roles are checked against the method's rule before a handler runs.
//! A caller with several roles has the union of what each gives.

use clinic_identity::Principal;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_resource::read::by_id;
use clinic_resource::{Arm, Requires, Scope, Update};
use clinic_server::origin;
use clinic_store::{Arg, Query};
use uuid::Uuid;

use crate::error::Error;
use crate::listing::LIVE;

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

/// To see patients.
pub(crate) fn see_patients(principal: &Principal, view: DoctorPatientView) -> Scope {
    let mut arms = owned(principal);
    if let Some(user) = principal.user_id().filter(|_| !is_admin(principal)) {
        if principal.has(Role::Patient) {
            arms.push(Arm::of("user_id = ", user));
        }
        if principal.has(Role::Doctor) {
            let all = Arm::new(is_verified_doctor(user));
            match view {
                DoctorPatientView::None => {}
                DoctorPatientView::Basic => arms.push(all.basic()),
                DoctorPatientView::Full => arms.push(all),
            }
        }
    }
    Scope::from_iter(arms)
}

/// To see a patient again by the request that made it: as for Get. Auth may not get patients; it sees
/// those without an owner, which it makes.
pub(crate) fn see_patients_again(principal: &Principal, view: DoctorPatientView) -> Scope {
    match principal.is_service(REGISTRAR) {
        true => Scope::from_iter([unowned()]),
        false => see_patients(principal, view),
    }
}

/// To see doctors: everybody sees all of them, and those who may undelete some see the deleted ones
/// among these.
pub(crate) fn see_doctors(principal: &Principal, show_deleted: bool) -> Scope {
    let mut arms = if show_deleted { owned(principal) } else { Vec::new() };
    if arms.is_empty() || !is_admin(principal) {
        arms.push(Arm::all());
    }
    Scope::from_iter(arms)
}

/// To change patients.
pub(crate) fn change_patients(principal: &Principal) -> Scope {
    with_own(principal, Role::Patient)
}

/// To change doctors. Doctors change their own profile also before it is verified: what an
/// administrator is to confirm must first be right.
pub(crate) fn change_doctors(principal: &Principal) -> Scope {
    with_own(principal, Role::Doctor)
}

/// To delete and undelete either. Auth deletes the record of an account that could not be made; no
/// other service deletes anything.
pub(crate) fn delete(principal: &Principal) -> Scope {
    let taken_back = principal.is_service(REGISTRAR).then(unowned);
    owned(principal).into_iter().chain(taken_back).collect()
}

/// To do what only ADMINs do.
pub(crate) fn administer(principal: &Principal) -> Scope {
    is_admin(principal).then(Arm::all).into_iter().collect()
}

fn is_admin(principal: &Principal) -> bool {
    principal.user_id().is_some() && principal.has(Role::Admin)
}

fn owned(principal: &Principal) -> Vec<Arm> {
    match principal.user_id() {
        Some(_) if is_admin(principal) => vec![Arm::all().with_deleted()],
        Some(user) if principal.has(Role::Staff) => {
            vec![Arm::of("owner_id = ", user).with_deleted()]
        }
        _ => Vec::new(),
    }
}

fn with_own(principal: &Principal, role: Role) -> Scope {
    let own = principal.user_id().filter(|_| principal.has(role));
    owned(principal).into_iter().chain(own.map(|user| Arm::of("user_id = ", user))).collect()
}

/// Records without an owner: those of accounts that registered themselves.
fn unowned() -> Arm {
    Arm::new(Query::new("owner_id IS NULL"))
}

fn is_verified_doctor(user: Uuid) -> Query {
    let mut query = Query::new("EXISTS (SELECT 1 FROM doctors AS me WHERE me.user_id = ");
    query.push_bind(user).push(" AND me.verified AND me.deleted_at IS NULL)");
    query
}

/// Selects the record that a request's `id` names, whose form was checked before.
pub(crate) fn named(id: &str, principal: &Principal) -> Result<Query, Error> {
    if id == "me" {
        let user = principal.user_id().ok_or_else(Error::not_found)?;
        let mut condition = Query::new("user_id = ");
        condition.push_bind(user);
        return Ok(condition);
    }
    Uuid::parse_str(id).map(by_id).map_err(|_| Error::not_found())
}

/// Owner and account of a new record, as columns. An account's record is made by auth and owned by
/// nobody; people own what they make, and tie it to no account. No other service makes records.
pub(crate) fn owner_and_account(
    principal: &Principal,
    user_id: &str,
    field: &'static str,
) -> Result<Vec<(&'static str, Arg)>, Error> {
    let (owner, account) = match (principal.user_id(), user_id) {
        (Some(owner), "") => (Some(owner), None),
        (Some(_), _) => return Err(Error::invalid(field, "is set by internal services only")),
        (None, _) if !principal.is_service(REGISTRAR) => return Err(Error::RoleRequired),
        (None, user_id) => match Uuid::parse_str(user_id) {
            Ok(user) => (None, Some(user)),
            Err(_) => return Err(Error::invalid(field, "is required of internal services")),
        },
    };
    Ok(vec![("owner_id", owner.into()), ("user_id", account.into())])
}

/// A change of a record that is not deleted.
pub(crate) fn change<'a>(
    ctx: &Context,
    id: &str,
    scope: &'a Scope,
    etag: &'a str,
) -> Result<Update<'a, Error>, Error> {
    let live = Requires { condition: LIVE.into(), otherwise: Error::not_found() };
    let which = named(id, ctx.principal())?;
    Ok(Update { which, scope, etag, requires: vec![live], origin: origin(ctx) })
}

/// A change of a deleted record.
pub(crate) fn change_deleted<'a>(
    ctx: &Context,
    id: &str,
    scope: &'a Scope,
    etag: &'a str,
) -> Result<Update<'a, Error>, Error> {
    let deleted =
        Requires { condition: "deleted_at IS NOT NULL".into(), otherwise: Error::NotDeleted };
    Ok(Update { requires: vec![deleted], ..change(ctx, id, scope, etag)? })
}

/// Requires the account that an update's message gives to be the record's. It never changes. With id
/// `me` it must be the caller's own.
pub(crate) fn requires_account(
    ctx: &Context,
    id: &str,
    user_id: &str,
    field: &'static str,
) -> Result<Option<Requires<Error>>, Error> {
    let Ok(user) = Uuid::parse_str(user_id) else {
        return match (id, user_id) {
            ("me", given) if !given.is_empty() => Err(Error::not_found()),
            _ => Ok(None),
        };
    };
    if id == "me" && ctx.principal().user_id() != Some(user) {
        return Err(Error::not_found());
    }
    // Not `=`, which is NULL for a record without an account.
    let mut condition = Query::new("NOT (user_id IS DISTINCT FROM ");
    condition.push_bind(user).push(")");
    Ok(Some(Requires { condition, otherwise: Error::invalid(field, "cannot be changed") }))
}

#[cfg(test)]
mod tests {
    use clinic_identity::User;
    use clinic_resource::View;

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

    fn see(roles: &[Role], view: DoctorPatientView) -> String {
        let mut query = Query::empty();
        see_patients(&user(roles), view).push(&mut query);
        query.sql()
    }

    #[test]
    fn several_roles_give_the_union_and_admin_gives_all() {
        let basic = DoctorPatientView::Basic;
        assert_eq!(see(&[Role::Staff], basic), "((owner_id = $1))");
        assert_eq!(
            see(&[Role::Staff, Role::Patient], basic),
            "((owner_id = $1) OR (user_id = $2))"
        );
        let both = see(&[Role::Doctor, Role::Patient], basic);
        assert!(both.starts_with("((user_id = $1) OR (EXISTS (SELECT 1 FROM doctors"), "{both}");
        assert_eq!(see(&[Role::Doctor, Role::Admin, Role::Staff], basic), "((TRUE))");
        assert_eq!(see(&[], basic), "FALSE");
    }

    #[test]
    fn the_operator_decides_what_doctors_see() {
        assert_eq!(see(&[Role::Doctor], DoctorPatientView::None), "FALSE");
        let doctor = user(&[Role::Doctor]);
        let view = |operators| see_patients(&doctor, operators).view(View::Full);
        assert_eq!(view(DoctorPatientView::Full), Some(View::Full));
        assert_eq!(view(DoctorPatientView::Basic), Some(View::Basic));
        let both = see_patients(&user(&[Role::Doctor, Role::Staff]), DoctorPatientView::Basic);
        assert_eq!(both.view(View::Full), None);
    }

    #[test]
    fn a_service_sees_nothing_and_deletes_only_what_nobody_owns() {
        let service = Principal::service("auth");
        assert!(see_patients(&service, DoctorPatientView::Full).is_empty());
        assert!(change_patients(&service).is_empty());
        let mut query = Query::empty();
        delete(&service).push(&mut query);
        assert_eq!(query.sql(), "((owner_id IS NULL))");
        assert!(delete(&Principal::service("reporting")).is_empty());
        assert!(administer(&service).is_empty());
    }
}
