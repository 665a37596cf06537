//! The table of patients, and how it is searched.

use clinic_proto::records::v1::PatientView;

use crate::access::Scope;
use crate::listing::List;
use crate::names::Prefix;
use crate::rows::Table;

/// Rows with everything.
pub(super) const FULL: Table = Table {
    name: "patients",
    record: "patient",
    columns: "id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
              last_name, date_of_birth, gender, phone_number, email, address, medical_history",
};

/// Rows without what the BASIC view leaves out: medical histories are long.
const BASIC: Table = Table {
    name: "patients",
    record: "patient",
    columns: "id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
              last_name, date_of_birth, gender, '' AS phone_number, '' AS email, '' AS address, \
              '' AS medical_history",
};

/// What must be read for an answer of this view.
pub(super) fn table(scope: &Scope, asked: PatientView) -> Table {
    if asked == PatientView::Basic || scope.is_never_full() { BASIC } else { FULL }
}

/// The patients of a scope, by name where there is one.
pub(super) fn list<'a>(
    scope: &'a Scope,
    asked: PatientView,
    prefix: Option<Prefix>,
    show_deleted: bool,
) -> List<'a> {
    List { table: table(scope, asked), scope, show_deleted, prefix, filter: &|_| {} }
}
