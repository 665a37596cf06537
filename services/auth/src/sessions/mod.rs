//! Sign-ins: how they begin, go on, and end.

mod cleanup;
mod login;
mod model;
mod refresh;
mod service;
pub(crate) mod store;

pub(crate) use cleanup::clean_up;
pub(crate) use model::{Client, SignIn};
