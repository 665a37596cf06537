//! The only way to write to tables of records.
//!
//! A [`Write`] consists of a statement, the kind of its records, and the kind of the change. It is
//! committed together with an entry in each [`Journal`] of the database: on PostgreSQL as one
//! statement with data-modifying CTEs, in one round trip; on SQLite as a local transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::query::{Arg, Query};
use crate::request::Request;
use crate::row::Backend;

/// How a write changes its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Create,
    Update,
    /// Deletes or ends records. Their rows stay.
    Delete,
    /// Undoes a delete.
    Undelete,
}

/// The caller, the method and the time of a write.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The account or service; nil for an operator's command.
    pub actor: Uuid,
    /// The RPC, as `/package.Service/Method`; empty for an operator's command.
    pub method: Arc<str>,
    /// The same time for all writes of a call.
    pub at: DateTime<Utc>,
}

impl Origin {
    /// Returns the origin of an operator's command.
    pub fn operator(at: DateTime<Utc>) -> Self {
        Self { actor: Uuid::nil(), method: "".into(), at }
    }
}

/// A log of changes, with an entry for every change of a record.
pub trait Journal: Send + Sync + 'static {
    /// Returns the INSERT of the entries, which reads the records from `written (id, version)`.
    fn entry(&self, record: &'static str, change: ChangeKind, origin: &Origin) -> Query;
}

/// A statement that changes records. Every table of records has the columns `id uuid` and
/// `version bigint`. Each change that a reader can see raises the version.
#[must_use = "a write does nothing until it is saved"]
pub struct Write {
    record: &'static str,
    change: ChangeKind,
    statement: Statement,
    returning: Query,
}

enum Statement {
    Insert {
        table: &'static str,
        id: Uuid,
        values: Vec<(&'static str, Arg)>,
        request: Option<Request>,
    },
    Other {
        query: Query,
        for_share: bool,
    },
}

/// An INSERT of one record.
#[must_use = "a write does nothing until it is saved"]
pub struct Insert {
    /// The kind of the record, such as `patient`.
    pub record: &'static str,
    pub table: &'static str,
    pub id: Uuid,
    /// All columns with their values, including the id.
    pub values: Vec<(&'static str, Arg)>,
    /// The columns of the new row to return, including `id` and `version`.
    pub returning: Query,
}

impl From<Insert> for Write {
    fn from(insert: Insert) -> Self {
        insert.with_request(None)
    }
}

impl Insert {
    /// Inserts the record only if this is the first request with its id.
    pub(crate) fn with_request(self, request: Option<&Request>) -> Write {
        let Self { record, table, id, values, returning } = self;
        let statement = Statement::Insert { table, id, values, request: request.cloned() };
        Write { record, change: ChangeKind::Create, statement, returning }
    }
}

impl Write {
    /// Creates a write of records of a kind (`patient`). `query` has no RETURNING; `returning`
    /// lists the columns of the touched rows to return, including `id` and `version`.
    pub fn new(
        record: &'static str,
        change: ChangeKind,
        query: Query,
        returning: impl Into<Query>,
    ) -> Self {
        let statement = Statement::Other { query, for_share: false };
        Self { record, change, statement, returning: returning.into() }
    }

    /// Locks the rows that an INSERT … SELECT reads until the transaction ends. PostgreSQL does so
    /// by `FOR SHARE`; SQLite needs no lock, because it has one writer at a time.
    pub fn for_share(mut self) -> Self {
        if let Statement::Other { for_share, .. } = &mut self.statement {
            *for_share = true;
        }
        self
    }

    /// Whether the write has neither a claim nor journal entries.
    pub(crate) fn is_single_statement(&self, journals: &[Arc<dyn Journal>]) -> bool {
        journals.is_empty()
            && !matches!(&self.statement, Statement::Insert { request: Some(_), .. })
    }

    /// Returns the INSERT that claims the request id, if there is one.
    pub(crate) fn claim(&self, origin: &Origin) -> Option<Query> {
        match &self.statement {
            Statement::Insert { id, request, .. } => Some(request.as_ref()?.claim(*id, origin.at)),
            Statement::Other { .. } => None,
        }
    }

    /// Returns the write with its claim and its journal entries as one statement, for PostgreSQL.
    pub(crate) fn combined(&self, journals: &[Arc<dyn Journal>], origin: &Origin) -> Query {
        if self.is_single_statement(journals) {
            return self.statement(Backend::Postgres);
        }
        let mut query = Query::with_statement_capacity();
        query.push("WITH ");
        if let Some(claim) = self.claim(origin) {
            query.push("claimed AS (").append(&claim).push(" RETURNING resource_id), ");
        }
        query.push("written AS (");
        self.push(&mut query, Backend::Postgres);
        query.push(")");
        for (journal, begin) in journals.iter().zip(ENTRY_CTES) {
            query.push(begin);
            query.append(&journal.entry(self.record, self.change, origin)).push(")");
        }
        query.push(" SELECT * FROM written");
        query
    }

    /// Returns the statement without claim and journal entries.
    pub(crate) fn statement(&self, backend: Backend) -> Query {
        let mut query = Query::with_statement_capacity();
        self.push(&mut query, backend);
        query
    }

    /// Returns the INSERT of a journal's entries for the touched rows. For SQLite, where a CTE
    /// cannot write.
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
        query.push(") ").append(&journal.entry(self.record, self.change, origin));
        query
    }

    fn push(&self, query: &mut Query, backend: Backend) {
        match &self.statement {
            Statement::Other { query: statement, for_share } => {
                query.append(statement);
                if *for_share && backend == Backend::Postgres {
                    query.push(" FOR SHARE");
                }
            }
            Statement::Insert { table, values, request, .. } => {
                // On PostgreSQL, the claim is a CTE of the same statement.
                let from_claim = request.is_some() && backend == Backend::Postgres;
                query.push("INSERT INTO ").push(table);
                for (at, (column, _)) in values.iter().enumerate() {
                    query.push(if at == 0 { " (" } else { ", " }).push(column);
                }
                query.push(if from_claim { ") SELECT " } else { ") VALUES (" });
                for (at, (_, value)) in values.iter().enumerate() {
                    query.push(if at == 0 { "" } else { ", " }).push_bind(value.clone());
                }
                query.push(if from_claim { " FROM claimed" } else { ")" });
            }
        }
        query.push(" RETURNING ").append(&self.returning);
    }
}

/// The beginning of each journal's CTE.
const ENTRY_CTES: [&str; MAX_JOURNALS] = [", entry AS (", ", second_entry AS ("];
/// Maximum number of journals of a database.
pub(crate) const MAX_JOURNALS: usize = 2;
