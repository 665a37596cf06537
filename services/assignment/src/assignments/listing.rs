//! Pages of assignments, in the order in which they were made. The cost of a page does not grow
//! with the table: each statement reads one range of one index for each part of the caller's scope
//! and each status, and stops when the page is full.

use clinic_identity::Caller;
use clinic_store::page::{self, Cursor};
use clinic_store::{Db, Query};

use super::model::{Assignment, Filter, State, Which};
use super::store::COLUMNS;
use crate::access::{Part, Scope};
use crate::error::Error;

/// The assignments of a scope that pass a filter.
pub(super) struct List<'a> {
    pub(super) scope: &'a Scope,
    pub(super) filter: Filter,
}

/// A range of an index.
struct Range {
    part: Part,
    filter: Filter,
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
        let mut query = Query::new("");
        if !self.push_select(&mut query, after, size + 1) {
            return Ok((Vec::new(), None));
        }
        let rows: Vec<Assignment> = db.fetch_all(query).await?;
        Ok(page::cut(rows, size, |row| Cursor { branch: 0, id: row.id, key: Vec::new() }))
    }

    /// How many assignments there are on all pages.
    pub(super) async fn count(&self, db: &Db) -> Result<i64, Error> {
        let mut query = Query::new("SELECT COUNT(*) FROM assignments WHERE ");
        self.scope.push(&mut query);
        self.filter.push(&mut query);
        let (count,) = db.fetch_one(query).await?;
        Ok(count)
    }

    /// Appends the statement; false when there is nothing to see, and so no statement.
    pub(super) fn push_select(
        &self,
        query: &mut Query,
        after: Option<&Cursor>,
        limit: i64,
    ) -> bool {
        let ranges = self.ranges();
        query.push("SELECT ").push(COLUMNS).push(" FROM assignments WHERE ");
        match ranges.as_slice() {
            [] => return false,
            [range] => range.push(query, after),
            ranges => {
                // A disjunction would be a scan of everybody's rows for who sees few of them. Each
                // range alone yields as many rows as can be on the page.
                query.push("id IN (");
                for (at, range) in ranges.iter().enumerate() {
                    query.push(if at == 0 { "" } else { " UNION " });
                    query.push("SELECT id FROM (SELECT id FROM assignments WHERE ");
                    range.push(query, after);
                    query.push(" ORDER BY id LIMIT ").push_bind(limit).push(") AS part");
                }
                query.push(")");
            }
        }
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        true
    }

    fn ranges(&self) -> Vec<Range> {
        let Filter { patient, doctor, state } = self.filter;
        let ranges = self.scope.parts().flat_map(|part| {
            let states: &[Option<State>] = match (part, patient, doctor, state) {
                // Everything, by the primary key.
                (Part::All, None, None, None) => &[None],
                (.., None) => &[Some(State::Active), Some(State::Ended)],
                (.., Some(State::Active)) => &[Some(State::Active)],
                (.., Some(State::Ended)) => &[Some(State::Ended)],
            };
            states
                .iter()
                .map(move |state| Range { part, filter: Filter { patient, doctor, state: *state } })
        });
        ranges.collect()
    }
}

impl Range {
    fn push(&self, query: &mut Query, after: Option<&Cursor>) {
        self.part.push(query);
        self.filter.push(query);
        if let Some(after) = after {
            query.push(" AND id > ").push_bind(after.id);
        }
    }
}

impl Filter {
    fn push(&self, query: &mut Query) {
        match self.patient {
            None => {}
            Some(Which::Id(id)) => {
                query.push(" AND patient_id = ").push_bind(id);
            }
            Some(Which::OfUser(user)) => {
                query.push(" AND patient_user_id = ").push_bind(user);
            }
        }
        match (self.doctor, self.patient) {
            (None, _) => {}
            (Some(Which::Id(id)), None) => {
                query.push(" AND doctor_id = ").push_bind(id);
            }
            (Some(Which::OfUser(user)), None) => {
                query.push(" AND doctor_user_id = ").push_bind(user);
            }
            // A patient has few assignments, a doctor and a member of staff have many. SQLite takes
            // the index of which it can use most columns, unless it does not see that it can.
            (Some(Which::Id(id)), Some(_)) => {
                query.push(" AND NOT doctor_id <> ").push_bind(id);
            }
            (Some(Which::OfUser(user)), Some(_)) => {
                query.push(" AND NOT doctor_user_id <> ").push_bind(user);
            }
        }
        // Not bound: planners look at it.
        match self.state {
            None => {}
            Some(State::Active) => {
                query.push(" AND ended = FALSE");
            }
            Some(State::Ended) => {
                query.push(" AND ended = TRUE");
            }
        }
    }
}

/// What a page token belongs to: the method, what it is restricted to, and who asks as what.
pub(super) fn fingerprint(caller: &Caller, method: &'static str, filter: &Filter) -> Vec<u8> {
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
        caller.id().as_bytes(),
        &caller.roles().bits().to_be_bytes(),
        &which(filter.patient),
        &which(filter.doctor),
        state,
    ])
}
