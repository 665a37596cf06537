//! The REST API of the contract: routes paths to RPCs, converts requests and responses between JSON
//! and protobuf, and generates the OpenAPI document.
//!
//! The descriptors are read once, when a process starts; calls use the tables made from them. This
//! crate knows nothing of transports, callers and services.

mod binding;
mod json;
mod naming;
pub mod openapi;
mod request;
mod response;
mod routes;
mod schema;
mod wire;

pub use binding::Binding;
pub use naming::HeaderFields;
pub use request::Input;
pub use response::Response;
pub use routes::{Matched, Route, Routes};
pub use wire::MalformedResponse;
