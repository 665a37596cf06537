//! The one way to write to a table of records.
//!
//! A [`Write`] is a value: a statement, the kind of its records, and what it does to them. It is
//! committed together with an entry in each [`Journal`] of the database: on PostgreSQL as one
//! statement with data-modifying CTEs, so in one round trip; on SQLite as a local transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::Backend;
use crate::idempotency::Request;
use crate::query::{Arg, Query};

/// What a write does to its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Makes them.
    Create,
    /// Changes them.
    Update,
    /// Deletes them, in a way that can be undone.
    Delete,
    /// Undoes a delete.
    Undelete,
}

/// Who writes, by which method, and when.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The account or service.
    pub actor: Uuid,
    /// The RPC, as `/package.Service/Method`; empty for an operator's command.
    pub method: Arc<str>,
    /// One time for everything that a call writes.
    pub at: DateTime<Utc>,
}

impl Origin {
    /// A command of the operator, who has no account.
    pub fn operator(at: DateTime<Utc>) -> Self {
        Self { actor: Uuid::nil(), method: "".into(), at }
    }
}

/// Something that gets an entry for every change of a record, such as a change log.
pub trait Journal: Send + Sync + 'static {
    /// Appends the INSERT of the entries to a query. It reads the changed records from
    /// `written (id, version)`.
    fn push(&self, query: &mut Query, record: &'static str, change: ChangeKind, origin: &Origin);
}

/// A statement that changes records. Every table of records has the columns `id uuid` and
/// `version bigint`, which each change raises.
#[must_use = "a write does nothing until it is saved"]
pub struct Write {
    record: &'static str,
    change: ChangeKind,
    statement: Statement,
    returning: Query,
    request: Option<Request>,
}

enum Statement {
    Insert { table: &'static str, id: Uuid, values: Vec<(&'static str, Arg)> },
    Other(Query),
}

impl Write {
    /// A write of records of a kind (`patient`), without its RETURNING. `returning` lists the
    /// columns that are read of the rows that it touched, `id` and `version` among them.
    pub fn new(
        record: &'static str,
        change: ChangeKind,
        statement: Query,
        returning: impl Into<Query>,
    ) -> Self {
        let returning = returning.into();
        Self { record, change, statement: Statement::Other(statement), returning, request: None }
    }

    /// An INSERT of one record.
    pub fn insert(
        record: &'static str,
        table: &'static str,
        id: Uuid,
        values: Vec<(&'static str, Arg)>,
        returning: impl Into<Query>,
    ) -> Self {
        let returning = returning.into();
        let statement = Statement::Insert { table, id, values };
        Self { record, change: ChangeKind::Create, statement, returning, request: None }
    }

    /// Makes the record of [`Write::insert`] only if this is the first request with its id.
    pub(crate) fn once(mut self, request: Option<&Request>) -> Self {
        self.request = request.cloned();
        self
    }

    /// Whether nothing else belongs to it.
    pub(crate) fn is_alone(&self, journals: &[Arc<dyn Journal>]) -> bool {
        self.request.is_none() && journals.is_empty()
    }

    /// Claims the request's id, if there is one.
    pub(crate) fn claim(&self, origin: &Origin) -> Option<Query> {
        let request = self.request.as_ref()?;
        let id = match &self.statement {
            Statement::Insert { id, .. } => *id,
            Statement::Other(_) => return None,
        };
        let mut query = Query::empty();
        request.push_claim(&mut query, id, origin.at);
        Some(query)
    }

    /// The write with its claim and its entries as one statement, for PostgreSQL.
    pub(crate) fn whole(&self, journals: &[Arc<dyn Journal>], origin: &Origin) -> Query {
        if self.is_alone(journals) {
            return self.statement(Backend::Postgres);
        }
        let mut query = Query::new("WITH ");
        let mut source = Source::Values;
        if let Some(claim) = self.claim(origin) {
            query.push("claimed AS (");
            query.append(&claim);
            query.push(" RETURNING resource_id), ");
            source = Source::Claimed;
        }
        query.push("written AS (");
        self.push(&mut query, source, Backend::Postgres);
        query.push(")");
        for (journal, name) in journals.iter().zip(ENTRIES) {
            query.push(name);
            journal.push(&mut query, self.record, self.change, origin);
            query.push(")");
        }
        query.push(" SELECT * FROM written");
        query
    }

    /// The statement alone.
    pub(crate) fn statement(&self, backend: Backend) -> Query {
        let mut query = Query::empty();
        self.push(&mut query, Source::Values, backend);
        query
    }

    /// The entry of a journal for rows that the statement touched. For SQLite, where a CTE cannot
    /// write.
    pub(crate) fn entry(
        &self,
        touched: &[(Uuid, i64)],
        journal: &dyn Journal,
        origin: &Origin,
    ) -> Query {
        let mut query = Query::new("WITH written (id, version) AS (VALUES ");
        for (at, (id, version)) in touched.iter().enumerate() {
            query.push(if at == 0 { "(" } else { ", (" }).push_bind(*id);
            query.push(", ").push_bind(*version).push(")");
        }
        query.push(") ");
        journal.push(&mut query, self.record, self.change, origin);
        query
    }

    fn push(&self, query: &mut Query, source: Source, backend: Backend) {
        match &self.statement {
            Statement::Other(statement) => {
                query.append(statement);
                if statement.for_share && backend == Backend::Postgres {
                    query.push(" FOR SHARE");
                }
            }
            Statement::Insert { table, values, .. } => {
                query.push("INSERT INTO ").push(table);
                for (at, (column, _)) in values.iter().enumerate() {
                    query.push(if at == 0 { " (" } else { ", " }).push(column);
                }
                query.push(match source {
                    Source::Values => ") VALUES (",
                    Source::Claimed => ") SELECT ",
                });
                for (at, (_, value)) in values.iter().enumerate() {
                    query.push(if at == 0 { "" } else { ", " }).push_bind(value.clone());
                }
                query.push(match source {
                    Source::Values => ")",
                    Source::Claimed => " FROM claimed",
                });
            }
        }
        query.push(" RETURNING ").append(&self.returning);
    }
}

/// Begins the CTE of each journal's entry.
const ENTRIES: [&str; MOST_JOURNALS] = [", entry AS (", ", second_entry AS ("];
/// How many journals a database can have.
pub(crate) const MOST_JOURNALS: usize = 2;

/// Where the values of an INSERT come from.
#[derive(Clone, Copy)]
enum Source {
    Values,
    /// The same values, if the request id was claimed.
    Claimed,
}
