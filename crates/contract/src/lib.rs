//! Reads the options of the contract from its descriptors into plain data: validation rules and
//! private fields of messages, access rules of methods, and paths of the REST API.
//!
//! clinic-proto generates code from this data, clinic-identity checks access with it, and
//! clinic-rest serves and documents the paths.

mod access;
mod messages;
mod modules;
mod paths;

use std::error::Error;

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

pub use access::{AccessError, Callers, Method, methods};
pub use messages::{Choice, Field, Message, Rules, Shape, Type, message, messages};
pub use modules::modules;
pub use paths::{Body, Fixed, Path, Paths, Verb, paths};

/// The result of reading the contract.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Returns an example of a field's value as text; for a list, of one item.
pub fn example(field: &FieldDescriptor) -> Option<String> {
    let value = extension(&field.options(), "clinic.rest.v1.example")?;
    value.as_str().map(str::to_owned)
}

/// Returns the value of an extension if the options set it.
fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    options.extensions().find(|(e, _)| e.full_name() == name).map(|(_, value)| value.clone())
}
