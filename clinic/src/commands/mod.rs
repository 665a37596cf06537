//! The commands of `clinic`, one per file.

pub(crate) mod admin;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod up;
