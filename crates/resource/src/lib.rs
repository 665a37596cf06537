//! What all resources have in common: reading within a scope, lists, creating once or by a request
//! id, updating under an etag with a mask, deleting and undeleting.
//!
//! A service says what is particular to a resource: its table and fields ([`Resource`]), which rows
//! a caller may reach ([`Scope`]), and which ranges of which indexes make up a list ([`Range`]).
//!
//! | module | subject |
//! |---|---|
//! | [`field`] | fields between message and table |
//! | [`scope`] | rows that a caller may reach |
//! | [`read`] | get and batch get |
//! | [`list`] | pages and counts |
//! | [`write`] | create, update, delete, undelete |
//! | [`text`] | how names and other texts are compared |

mod error;
pub mod field;
pub mod list;
pub mod read;
pub mod scope;
pub mod text;
pub mod write;

use prost::Message;
use uuid::Uuid;

pub use error::Error;
pub use field::{Field, Fields};
pub use list::{List, Listing, Page, Part, Range};
pub use scope::{Arm, Scope, View};
pub use write::{New, Requires, Update};

/// A kind of record. Each row of its table has an `id uuid` and a `version bigint`.
pub trait Resource: Send + Sync + Unpin + 'static {
    /// Its message in the contract.
    type Message: Message + Default + Unpin + 'static;

    /// Its name, as the contract's messages name the field with it: `patient`.
    const NAME: &'static str;
    /// Its table.
    const TABLE: &'static str;
    /// Fields of the message that follow from others and from the view: [`Resource::complete`].
    const DERIVED: &'static [&'static str] = &[];
    /// The condition of rows that are there, where rows can be deleted: `deleted_at IS NULL`.
    const LIVE: Option<&'static str> = None;

    /// The fields that are columns.
    fn fields() -> &'static Fields<Self::Message>;

    /// Sets what follows from other fields and from the view.
    fn complete(_message: &mut Self::Message, _view: View) {}
}

/// The names of all fields that a resource knows, in order. A test compares them with the contract's,
/// so that no field can be forgotten.
pub fn field_names<R: Resource>() -> Vec<&'static str> {
    let columns = R::fields().all.iter().map(|field| field.name);
    let mut names: Vec<_> = columns.chain(R::DERIVED.iter().copied()).collect();
    names.sort_unstable();
    names
}

/// The names of the fields in the BASIC view.
pub fn basic_field_names<R: Resource>() -> Vec<&'static str> {
    R::fields().all.iter().filter(|field| field.is_basic).map(|field| field.name).collect()
}

/// A row that was read.
pub struct Found<R: Resource> {
    id: Uuid,
    /// Whether the caller sees the FULL view; none where that does not depend on the row.
    is_full: Option<bool>,
    message: R::Message,
}

impl<R: Resource> Found<R> {
    /// The message in this view, or in the BASIC view if the caller sees no more of this row.
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
