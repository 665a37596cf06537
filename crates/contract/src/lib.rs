//! Reads the contract's options from its descriptors into plain data: what is valid and private in a
//! message, who may call a method, and which paths of the REST API lead to it.
//!
//! clinic-proto generates code from it, clinic-identity checks access by it, and clinic-rest serves
//! and documents paths by it.

mod access;
mod messages;
mod paths;

use std::error::Error;

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

pub use access::{AccessError, Callers, Method, methods};
pub use messages::{Choice, Field, Message, Rules, Shape, Type, message, messages};
pub use paths::{Body, Fixed, Path, Paths, Verb, paths};

/// Why the contract cannot be used as it is.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A plausible value of a field, as text: of a list one item.
pub fn example(field: &FieldDescriptor) -> Option<String> {
    let value = extension(&field.options(), "clinic.rest.v1.example")?;
    value.as_str().map(str::to_owned)
}

/// The value of an extension, where the options set it.
fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    options.extensions().find(|(e, _)| e.full_name() == name).map(|(_, value)| value.clone())
}
