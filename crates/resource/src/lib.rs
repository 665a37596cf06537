//! The operations of all resources: get, list, create with or without a request id, update with
//! etag and mask, delete and undelete.
//!
//! A service defines the table and fields of a resource ([`Resource`]), the rows that a caller may
//! access ([`Scope`]), and the index ranges that make up a list ([`Range`]).
//!
//! | module | subject |
//! |---|---|
//! | [`field`] | mapping of fields to columns |
//! | [`scope`] | rows that a caller may access |
//! | [`read`] | get and batch get |
//! | [`list`] | pages and counts |
//! | [`write`] | create, update, delete, undelete |
//! | [`text`] | comparison of names and other texts |

mod error;
pub mod field;
pub mod list;
mod open;
pub mod read;
mod row;
pub mod scope;
pub mod text;
pub mod write;

use prost::Message;
use uuid::Uuid;

pub use error::Error;
pub use field::{Field, Fields};
pub use list::{List, Listing, Page, Part, Range};
pub use open::open;
pub use scope::{Arm, Scope, View};
pub use write::{New, Requires, Update};

/// A kind of record. Each row of its table has an `id uuid` and a `version bigint`.
pub trait Resource: Send + Sync + Unpin + 'static {
    /// The message in the contract.
    type Message: Message + Default + Unpin + 'static;

    /// The name of the field that holds it in the contract's requests, such as `patient`.
    const NAME: &'static str;
    /// The table.
    const TABLE: &'static str;
    /// Fields of the message that are not columns. [`Resource::complete`] can set them.
    const DERIVED: &'static [&'static str] = &[];
    /// The condition of rows that are not deleted (`deleted_at IS NULL`), if rows can be deleted.
    const LIVE: Option<&'static str> = None;

    /// Returns the fields that are columns.
    fn fields() -> &'static Fields<Self::Message>;

    /// Sets the fields that are derived from other fields and from the view.
    fn complete(_message: &mut Self::Message, _view: View) {}
}

/// Returns the sorted names of all fields of a resource. Tests compare them with the contract's.
pub fn field_names<R: Resource>() -> Vec<&'static str> {
    let columns = R::fields().all.iter().map(|field| field.name);
    let mut names: Vec<_> = columns.chain(R::DERIVED.iter().copied()).collect();
    names.sort_unstable();
    names
}

/// Returns the names of the fields in the BASIC view.
pub fn basic_field_names<R: Resource>() -> Vec<&'static str> {
    R::fields().all.iter().filter(|field| field.is_basic).map(|field| field.name).collect()
}

/// A row that was read.
pub struct Record<R: Resource> {
    id: Uuid,
    /// Whether the caller sees the FULL view; `None` if that does not depend on the row.
    is_full: Option<bool>,
    message: R::Message,
}

impl<R: Resource> Record<R> {
    /// Returns the message in this view, or in the BASIC view if the caller sees only that.
    fn into_message(self, view: View) -> R::Message {
        let Self { is_full, mut message, .. } = self;
        let view = if is_full == Some(false) { View::Basic } else { view };
        if view == View::Basic {
            for field in R::fields().all {
                field.hide(&mut message);
            }
        }
        R::complete(&mut message, view);
        message
    }
}
