//! JSON over HTTP from the contract: which path leads to which method, requests from JSON to
//! protobuf, answers from protobuf to JSON, and the documents that describe it all.
//!
//! Everything is read from the descriptors once, when a process starts; a call then goes by tables,
//! straight from one form to the other. Knows no transport, no caller and no service.

mod answer;
mod binding;
mod json;
mod naming;
pub mod openapi;
pub mod postman;
mod request;
mod routes;
mod schema;
mod wire;

pub use answer::{Answer, Damaged};
pub use binding::Binding;
pub use naming::Given;
pub use request::Input;
pub use routes::{Found, Matched, Routes};
