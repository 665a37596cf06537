//! Pages of assignments, in the order in which they were made. The cost of a page does not grow
//! with the table: each statement reads one range of one index for each part of the caller's scope
//! and each status, and stops when the page is full.

use clinic_identity::Principal;
use clinic_store::page::{self, Cursor};
use clinic_store::{Db, Query};
use uuid::Uuid;

use super::model::{Assignment, Filter, State, Which};
use super::store::COLUMNS;
use crate::access::{Part, Scope};
use crate::error::Error;

/// Where the page after this row begins.
pub(super) fn cursor(id: Uuid) -> Cursor {
    Cursor { branch: 0, id, key: Vec::new() }
}

/// The assignments of a scope that pass a filter.
pub(super) struct List<'a> {
    pub(super) scope: &'a Scope,
    pub(super) filter: Filter,
}

impl List<'_> {
    /// A page, and where the next one begins.
    pub(super) async fn page(
        &self,
        db: &Db,
        size: i64,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Assignment>, Option<Cursor>), Error> {
        // One row more than the page tells whether another page follows.
        let Some(query) = self.select(Query::empty(), after, size + 1) else {
            return Ok((Vec::new(), None));
        };
        let rows: Vec<Assignment> = db.fetch_all(query).await?;
        Ok(page::cut(rows, size, |row| cursor(row.id)))
    }

    /// How many assignments there are on all pages.
    pub(super) async fn count(&self, db: &Db) -> Result<i64, Error> {
        let mut query = Query::new("SELECT COUNT(*) FROM assignments WHERE ");
        self.scope.push(&mut query);
        for (column, value) in self.filter.columns() {
            query.push(" AND ").push(column.name()).push(" = ").push_bind(value);
        }
        match self.filter.state {
            None => {}
            Some(state) => {
                query.push(" AND ended = ").push(state.ended());
            }
        }
        let (count,) = db.fetch_one(query).await?;
        Ok(count)
    }

    /// The statement, after this beginning; none when there is nothing to see.
    pub(super) fn select(
        &self,
        mut query: Query,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Option<Query> {
        let after = after.map_or(Uuid::nil(), |cursor| cursor.id);
        match self.ranges().as_slice() {
            [] => return None,
            [range] => range.push(&mut query, after, limit),
            ranges => {
                // A disjunction would be a scan of everybody's rows for who sees few of them. Each
                // range alone yields as many rows as can be on the page.
                for (at, range) in ranges.iter().enumerate() {
                    query.push(if at == 0 { "" } else { " UNION " });
                    query.push("SELECT * FROM (");
                    range.push(&mut query, after, limit);
                    query.push(") AS part");
                }
                query.push(" ORDER BY id LIMIT ").push_bind(limit);
            }
        }
        Some(query)
    }

    fn ranges(&self) -> Vec<Range> {
        let Filter { state, .. } = self.filter;
        let ranges = self.scope.parts().flat_map(|part| {
            let mut columns = part_columns(part);
            columns.extend(self.filter.columns());
            let states: &[Option<State>] = match state {
                // Everything, by the primary key.
                None if columns.is_empty() => &[None],
                None => &[Some(State::Active), Some(State::Ended)],
                Some(State::Active) => &[Some(State::Active)],
                Some(State::Ended) => &[Some(State::Ended)],
            };
            states.iter().map(move |state| Range::new(columns.clone(), *state))
        });
        ranges.collect()
    }
}

/// A column that a list can be restricted by. In the order of how many rows have the same value:
/// a patient has few assignments, a doctor and a member of staff have many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Patient,
    PatientUser,
    DoctorUser,
    Doctor,
    PatientOwner,
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient_id",
            Self::PatientUser => "patient_user_id",
            Self::DoctorUser => "doctor_user_id",
            Self::Doctor => "doctor_id",
            Self::PatientOwner => "patient_owner_id",
        }
    }
}

/// A range of one index, and what else the rows must be.
struct Range {
    /// What the index begins with, where it is a range within a member of staff's.
    within: Option<(Column, Uuid)>,
    /// What the range is, with the status.
    of: Option<(Column, Uuid)>,
    state: Option<State>,
    besides: Vec<(Column, Uuid)>,
}

impl Range {
    /// Chooses the index whose range is the shortest.
    fn new(mut columns: Vec<(Column, Uuid)>, state: Option<State>) -> Self {
        columns.sort_unstable_by_key(|(column, _)| *column);
        let mut columns = columns.into_iter();
        let of = columns.next();
        let mut besides: Vec<_> = columns.collect();
        let within = match (of, besides.as_slice()) {
            (Some((Column::Doctor, _)), [(Column::PatientOwner, _)]) => besides.pop(),
            _ => None,
        };
        Self { within, of, state, besides }
    }

    /// Appends the statement.
    ///
    /// The bounds are compared as rows, in the order of the index, which no other index has. Had
    /// the planners the choice, PostgreSQL would walk the primary key where it thinks that somebody
    /// has many rows (it was seen to read 296,060 rows for an empty page), and SQLite would take
    /// the index of which it can use most columns. For the same reason the rest is no `=`.
    fn push(&self, query: &mut Query, after: Uuid, limit: i64) {
        query.push("SELECT ").push(COLUMNS).push(" FROM assignments WHERE ");
        if let Some((column, value)) = self.within {
            query.push(column.name()).push(" = ").push_bind(value).push(" AND ");
        }
        self.push_bound(query, " > ", after);
        query.push(" AND ");
        self.push_bound(query, " <= ", Uuid::max());
        for (column, value) in &self.besides {
            query.push(" AND NOT (").push(column.name()).push(" IS DISTINCT FROM ");
            query.push_bind(*value).push(")");
        }
        query.push(" ORDER BY ");
        self.push_columns(query);
        query.push(" LIMIT ").push_bind(limit);
    }

    fn push_bound(&self, query: &mut Query, compare: &'static str, id: Uuid) {
        query.push("(");
        self.push_columns(query);
        query.push(")").push(compare).push("(");
        if let Some((_, value)) = self.of {
            query.push_bind(value).push(", ");
        }
        if let Some(state) = self.state {
            query.push(state.ended()).push(", ");
        }
        query.push_bind(id).push(")");
    }

    fn push_columns(&self, query: &mut Query) {
        if let Some((column, _)) = self.of {
            query.push(column.name()).push(", ");
        }
        query.push(if self.state.is_some() { "ended, id" } else { "id" });
    }
}

impl State {
    /// The value of the column `ended`.
    const fn ended(self) -> &'static str {
        match self {
            Self::Active => "FALSE",
            Self::Ended => "TRUE",
        }
    }
}

impl Filter {
    fn columns(&self) -> impl Iterator<Item = (Column, Uuid)> {
        let patient = self.patient.map(|which| match which {
            Which::Id(id) => (Column::Patient, id),
            Which::OfUser(user) => (Column::PatientUser, user),
        });
        let doctor = self.doctor.map(|which| match which {
            Which::Id(id) => (Column::Doctor, id),
            Which::OfUser(user) => (Column::DoctorUser, user),
        });
        patient.into_iter().chain(doctor)
    }
}

fn part_columns(part: Part) -> Vec<(Column, Uuid)> {
    match part {
        Part::All => Vec::new(),
        Part::OfPatientsOwnedBy(user) => vec![(Column::PatientOwner, user)],
        Part::OfPatient(user) => vec![(Column::PatientUser, user)],
        Part::OfDoctor(user) => vec![(Column::DoctorUser, user)],
    }
}

/// What a page token belongs to: the method, what it is restricted to, and who asks as what.
pub(super) fn fingerprint(principal: &Principal, method: &'static str, filter: &Filter) -> Vec<u8> {
    let which = |which: Option<Which>| match which {
        None => Vec::new(),
        Some(Which::Id(id)) => [&[1], id.as_bytes().as_slice()].concat(),
        Some(Which::OfUser(user)) => [&[2], user.as_bytes().as_slice()].concat(),
    };
    let state: &[u8] = match filter.state {
        None => b"",
        Some(State::Active) => b"active",
        Some(State::Ended) => b"ended",
    };
    page::fingerprint(&[
        method.as_bytes(),
        principal.id().as_bytes(),
        &principal.roles().bits().to_be_bytes(),
        &which(filter.patient),
        &which(filter.doctor),
        state,
    ])
}
