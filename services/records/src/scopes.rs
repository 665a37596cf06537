//! The rows that a caller may see and change: `docs/access-matrix.md` as SQL.
//!
//! Roles are checked against the method's rule before a handler runs. A scope is an OR of arms: a
//! caller with several roles can access the union of their rows.

use clinic_identity::Principal;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_resource::{Arm, Requires, Scope, Update, read};
use clinic_server::origin;
use clinic_store::{Arg, Query};
use uuid::Uuid;

use crate::error::Error;
use crate::listing::LIVE;

/// Which patient data verified doctors can see. The operator configures it.
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

/// The service that creates the records of accounts.
const REGISTRAR: &str = "auth";

/// Returns the scope of the patients that the caller may see.
pub(crate) fn visible_patients(principal: &Principal, view: DoctorPatientView) -> Scope {
    let mut arms = managed(principal);
    if let Some(user) = principal.user_id().filter(|_| !is_admin(principal)) {
        if principal.has(Role::Patient) {
            arms.push(Arm::of("user_id = ", user));
        }
        if principal.has(Role::Doctor) {
            let all = Arm::new(verified_doctor_condition(user));
            match view {
                DoctorPatientView::None => {}
                DoctorPatientView::Basic => arms.push(all.basic()),
                DoctorPatientView::Full => arms.push(all),
            }
        }
    }
    Scope::from_iter(arms)
}

/// Returns the scope of the patients that a repeated create request may return. For auth, these are
/// the patients without an owner, because auth created them. For others, the patients that they may
/// see.
pub(crate) fn patients_for_repeated_create(
    principal: &Principal,
    view: DoctorPatientView,
) -> Scope {
    match principal.is_service(REGISTRAR) {
        true => Scope::from_iter([unowned()]),
        false => visible_patients(principal, view),
    }
}

/// Returns the scope of the doctors that the caller may see: all of them. With `show_deleted`, it
/// contains also the deleted doctors that the caller may undelete.
pub(crate) fn visible_doctors(principal: &Principal, show_deleted: bool) -> Scope {
    let mut arms = if show_deleted { managed(principal) } else { Vec::new() };
    // The arm of an administrator already contains every doctor.
    if !(show_deleted && is_admin(principal)) {
        arms.push(Arm::all());
    }
    Scope::from_iter(arms)
}

/// Returns the scope of the patients that the caller may change.
pub(crate) fn changeable_patients(principal: &Principal) -> Scope {
    managed_or_linked(principal, Role::Patient)
}

/// Returns the scope of the doctors that the caller may change. Doctors may correct their own profile
/// before an administrator verifies it.
pub(crate) fn changeable_doctors(principal: &Principal) -> Scope {
    managed_or_linked(principal, Role::Doctor)
}

/// Returns the scope of the patients or doctors that the caller may delete and undelete. Auth deletes
/// the record of an account that could not be created. Other services may not delete anything.
pub(crate) fn deletable(principal: &Principal) -> Scope {
    let of_failed_registrations = principal.is_service(REGISTRAR).then(unowned);
    managed(principal).into_iter().chain(of_failed_registrations).collect()
}

/// Returns the scope of operations that only ADMINs may use.
pub(crate) fn all_for_admins(principal: &Principal) -> Scope {
    is_admin(principal).then(Arm::all).into_iter().collect()
}

fn is_admin(principal: &Principal) -> bool {
    principal.user_id().is_some() && principal.has(Role::Admin)
}

/// Returns every row for administrators, and the rows that the caller owns for staff.
fn managed(principal: &Principal) -> Vec<Arm> {
    match principal.user_id() {
        Some(_) if is_admin(principal) => vec![Arm::all().with_deleted()],
        Some(user) if principal.has(Role::Staff) => {
            vec![Arm::of("owner_id = ", user).with_deleted()]
        }
        _ => Vec::new(),
    }
}

/// Returns the managed rows, and, for callers with `role`, the row of their own account.
fn managed_or_linked(principal: &Principal, role: Role) -> Scope {
    let linked = principal.user_id().filter(|_| principal.has(role));
    managed(principal).into_iter().chain(linked.map(|user| Arm::of("user_id = ", user))).collect()
}

/// Returns the records without an owner, which are those of self-registered accounts.
fn unowned() -> Arm {
    Arm::new(Query::new("owner_id IS NULL"))
}

fn verified_doctor_condition(user: Uuid) -> Query {
    let mut query = Query::new("EXISTS (SELECT 1 FROM doctors AS me WHERE me.user_id = ");
    query.push_bind(user).push(" AND me.verified AND me.deleted_at IS NULL)");
    query
}

/// Returns the condition that selects the record with a request's `id`, which has been validated.
pub(crate) fn by_id(id: &str, principal: &Principal) -> Result<Query, Error> {
    if id == "me" {
        let user = principal.user_id().ok_or_else(Error::not_found)?;
        let mut condition = Query::new("user_id = ");
        condition.push_bind(user);
        return Ok(condition);
    }
    Ok(read::by_id_text(id)?)
}

/// Returns the columns for owner and account of a new record. Users own the records that they create,
/// and cannot link them to an account. Auth creates records for accounts; they have no owner.
/// Other services may not create records.
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
            Err(_) => {
                return Err(Error::invalid(
                    field,
                    "must be the id of an account in a call of an internal service",
                ));
            }
        },
    };
    Ok(vec![("owner_id", owner.into()), ("user_id", account.into())])
}

/// Returns an update of a record that is not deleted.
pub(crate) fn update_of<'a>(
    ctx: &Context,
    id: &str,
    scope: &'a Scope,
    etag: &'a str,
) -> Result<Update<'a, Error>, Error> {
    let live = Requires { condition: LIVE.into(), otherwise: Error::not_found() };
    let which = by_id(id, ctx.principal())?;
    Ok(Update { which, scope, etag, requires: vec![live], origin: origin(ctx) })
}

/// Returns an update of a deleted record.
pub(crate) fn update_of_deleted<'a>(
    ctx: &Context,
    id: &str,
    scope: &'a Scope,
    etag: &'a str,
) -> Result<Update<'a, Error>, Error> {
    let deleted =
        Requires { condition: "deleted_at IS NOT NULL".into(), otherwise: Error::NotDeleted };
    Ok(Update { requires: vec![deleted], ..update_of(ctx, id, scope, etag)? })
}

/// Requires that `user_id` in an update is the account of the record, which cannot change. With id
/// `me`, another account's id is answered as if there were no such record.
pub(crate) fn requires_account(
    ctx: &Context,
    id: &str,
    user_id: &str,
    field: &'static str,
) -> Result<Option<Requires<Error>>, Error> {
    if user_id.is_empty() {
        return Ok(None);
    }
    let user = Uuid::parse_str(user_id).map_err(|_| Error::invalid(field, "must be a UUID"))?;
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
        visible_patients(&user(roles), view).push(&mut query);
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
        let view = |setting| visible_patients(&doctor, setting).view(View::Full);
        assert_eq!(view(DoctorPatientView::Full), Some(View::Full));
        assert_eq!(view(DoctorPatientView::Basic), Some(View::Basic));
        let both = visible_patients(&user(&[Role::Doctor, Role::Staff]), DoctorPatientView::Basic);
        // The view depends on the row.
        assert_eq!(both.view(View::Full), None);
    }

    #[test]
    fn services_see_no_patients_and_only_auth_deletes_records_without_an_owner() {
        let service = Principal::service("auth");
        assert!(visible_patients(&service, DoctorPatientView::Full).is_empty());
        assert!(changeable_patients(&service).is_empty());
        let mut query = Query::empty();
        deletable(&service).push(&mut query);
        assert_eq!(query.sql(), "((owner_id IS NULL))");
        assert!(deletable(&Principal::service("reporting")).is_empty());
        assert!(all_for_admins(&service).is_empty());
    }
}
