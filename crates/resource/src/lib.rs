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
pub use field::Field;
pub use list::{List, Page, Part, Range};
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
    /// The fields that are columns.
    const FIELDS: &'static [Field<Self::Message>];
    /// Fields of the message that follow from others and from the view: [`Resource::complete`].
    const DERIVED: &'static [&'static str] = &[];
    /// The condition of rows that are there, where rows can be deleted: `deleted_at IS NULL`.
    const LIVE: Option<&'static str> = None;

    /// Sets what follows from other fields and from the view.
    fn complete(_message: &mut Self::Message, _view: View) {}
}

/// The names of all fields that a resource knows, in order. A test compares them with the contract's,
/// so that no field can be forgotten.
pub fn field_names<R: Resource>() -> Vec<&'static str> {
    let columns = R::FIELDS.iter().map(|field| field.name);
    let mut names: Vec<_> = columns.chain(R::DERIVED.iter().copied()).collect();
    names.sort_unstable();
    names
}

/// A row that was read.
pub struct Found<R: Resource> {
    pub id: Uuid,
    is_full: bool,
    message: R::Message,
}

impl<R: Resource> Found<R> {
    /// How many columns it is read from.
    const WIDTH: usize = 2 + R::FIELDS.len();

    /// The message with as much as the caller may see, and no more than was asked for.
    pub fn into_message(self, asked: View) -> R::Message {
        let Self { is_full, mut message, .. } = self;
        let view = if is_full { asked } else { View::Basic };
        if view == View::Basic {
            for field in R::FIELDS {
                field.hide(&mut message);
            }
        }
        R::complete(&mut message, view);
        message
    }
}
