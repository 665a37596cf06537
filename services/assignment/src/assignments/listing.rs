//! Lists of assignments, in order of creation. A list is a union of index ranges, one for each
//! ground of the caller and each status.

use clinic_identity::Principal;
use clinic_proto::assignment::v1::AssignmentStatus;
use clinic_resource::{Listing, Part, list};
use clinic_store::Query;
use clinic_store::page::Cursor;
use uuid::Uuid;

use crate::error::Error;
use crate::scopes::Ground;

/// A patient or doctor that a list is restricted to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    /// The one with this id.
    Id(Uuid),
    /// `me`: the one with this account.
    OfUser(Uuid),
}

impl Person {
    /// Parses a filter, which has been validated. An empty one does not restrict the list.
    pub(super) fn of(id: &str, principal: &Principal) -> Result<Option<Self>, Error> {
        match id {
            "" => Ok(None),
            "me" => {
                principal.user_id().map(|id| Some(Self::OfUser(id))).ok_or_else(Error::not_found)
            }
            id => Uuid::parse_str(id).map(|id| Some(Self::Id(id))).map_err(|_| Error::not_found()),
        }
    }
}

/// The status of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The doctor treats the patient.
    Active,
    /// The doctor treated the patient.
    Ended,
}

impl State {
    /// Converts a filter. `Unspecified` does not restrict the list.
    pub(super) fn of(status: AssignmentStatus) -> Option<Self> {
        match status {
            AssignmentStatus::Unspecified => None,
            AssignmentStatus::Active => Some(Self::Active),
            AssignmentStatus::Ended => Some(Self::Ended),
        }
    }
}

/// The assignments that the caller sees on these grounds and that match the filter.
pub(super) struct Assignments<'a> {
    pub(super) grounds: &'a [Ground],
    pub(super) filter: Filter,
}

impl Listing for Assignments<'_> {
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part> {
        let after = after.map_or(Uuid::nil(), |cursor| cursor.id);
        let ranges = self.filter.ranges(self.grounds);
        let ranges = ranges.iter().map(|range| range.after(after)).collect();
        (number == 0).then_some(Part { key: None, order: "id", ranges })
    }

    fn condition(&self) -> Query {
        let mut query = Query::new("TRUE");
        for (column, value) in self.filter.columns() {
            query.push(" AND ").push(column.name()).push(" = ").push_bind(value);
        }
        if let Some(state) = self.filter.state {
            query.push(" AND ended = ").push(state.ended());
        }
        query
    }
}

/// The assignments that a list is restricted to.
#[derive(Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) patient: Option<Person>,
    pub(super) doctor: Option<Person>,
    pub(super) state: Option<State>,
}

impl Filter {
    fn ranges(&self, grounds: &[Ground]) -> Vec<Range> {
        let ranges = grounds.iter().flat_map(|ground| {
            let mut columns = ground_columns(*ground);
            columns.extend(self.columns());
            let states: &[Option<State>] = match self.state {
                // All rows, by the primary key.
                None if columns.is_empty() => &[None],
                None => &[Some(State::Active), Some(State::Ended)],
                Some(State::Active) => &[Some(State::Active)],
                Some(State::Ended) => &[Some(State::Ended)],
            };
            states.iter().map(move |state| Range::new(columns.clone(), *state))
        });
        ranges.collect()
    }

    fn columns(&self) -> impl Iterator<Item = (Column, Uuid)> {
        let patient = self.patient.map(|who| match who {
            Person::Id(id) => (Column::Patient, id),
            Person::OfUser(user) => (Column::PatientUser, user),
        });
        let doctor = self.doctor.map(|who| match who {
            Person::Id(id) => (Column::Doctor, id),
            Person::OfUser(user) => (Column::DoctorUser, user),
        });
        patient.into_iter().chain(doctor)
    }

    /// Returns the fingerprint of the query that a page token belongs to.
    pub(super) fn fingerprint(&self, principal: &Principal, method: &'static str) -> Vec<u8> {
        let who = |who: Option<Person>| match who {
            None => Vec::new(),
            Some(Person::Id(id)) => [&[1], id.as_bytes().as_slice()].concat(),
            Some(Person::OfUser(user)) => [&[2], user.as_bytes().as_slice()].concat(),
        };
        let state: &[u8] = match self.state {
            None => b"",
            Some(State::Active) => b"active",
            Some(State::Ended) => b"ended",
        };
        list::fingerprint(principal, method, &[&who(self.patient), &who(self.doctor), state])
    }
}

/// A column that a list can be restricted by, in ascending order of the number of rows with the
/// same value: a patient has few assignments, a doctor and a member of staff have many.
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

/// A range of one index, and further conditions.
struct Range {
    /// The first column of the index, if the range is within the rows of a member of staff.
    within: Option<(Column, Uuid)>,
    /// The column that defines the range, together with the status.
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

    /// Returns the range of the rows after an id.
    ///
    /// The bounds are row comparisons in the column order of the index, so no other index can serve
    /// them. With a choice, PostgreSQL would scan the primary key if it expects many rows for a
    /// value (it read 296,060 rows for an empty page), and SQLite would choose the index of which
    /// it can use most columns. For the same reason, the further conditions do not use `=`.
    fn after(&self, id: Uuid) -> list::Range {
        let mut query = Query::empty();
        if let Some((column, value)) = self.within {
            query.push(column.name()).push(" = ").push_bind(value).push(" AND ");
        }
        self.push_bound(&mut query, " > ", id);
        query.push(" AND ");
        self.push_bound(&mut query, " <= ", Uuid::max());
        for (column, value) in &self.besides {
            query.push(" AND NOT (").push(column.name()).push(" IS DISTINCT FROM ");
            query.push_bind(*value).push(")");
        }
        let mut order = Query::empty();
        self.push_columns(&mut order);
        list::Range { condition: query, order: Some(order) }
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
    /// Returns the value of the column `ended`.
    const fn ended(self) -> &'static str {
        match self {
            Self::Active => "FALSE",
            Self::Ended => "TRUE",
        }
    }
}

fn ground_columns(ground: Ground) -> Vec<(Column, Uuid)> {
    match ground {
        Ground::All => Vec::new(),
        Ground::OfPatientsOwnedBy(user) => vec![(Column::PatientOwner, user)],
        Ground::OfPatient(user) => vec![(Column::PatientUser, user)],
        Ground::OfDoctor(user) => vec![(Column::DoctorUser, user)],
    }
}
