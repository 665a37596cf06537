//! What the contract says beside its types, read from the descriptors into plain data: what is
//! valid and private in a message, and which paths of the REST API lead to a method.
//!
//! Code is generated from it (clinic-proto's build), and calls and documents go by it (clinic-rest).

mod messages;
mod paths;

use std::error::Error;

use prost_reflect::{DynamicMessage, Value};

pub use messages::{Choice, Field, Message, Rules, Shape, Type, message, messages};
pub use paths::{Body, Fixed, Path, Paths, Verb, paths};

/// Why the contract cannot be used as it is.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The value of an extension, where the options set it.
fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    options.extensions().find(|(e, _)| e.full_name() == name).map(|(_, value)| value.clone())
}
