//! Sessions: sign-in, refresh, lists and end.

mod cleanup;
mod login;
mod model;
mod refresh;
mod service;
pub(crate) mod store;

pub(crate) use cleanup::clean_up;
#[cfg(test)]
pub(crate) use cleanup::delete_old;
pub(crate) use model::{Client, SignIn};
