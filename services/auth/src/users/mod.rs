//! Accounts: who they are, what they may be, and how they come to be.

mod admin;
mod model;
mod profile;
mod register;
mod registrations;
mod service;
pub(crate) mod store;

pub(crate) use model::{User, key};
pub(crate) use profile::Profiles;
#[cfg(test)]
pub(crate) use registrations::settle;
