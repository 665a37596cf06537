//! Accounts: registration, names, roles and status.

mod admin;
mod model;
mod records_client;
mod register;
mod registrations;
mod service;
pub(crate) mod store;

pub(crate) use model::{User, key};
pub(crate) use records_client::RecordsClient;
#[cfg(test)]
pub(crate) use registrations::complete as complete_registration;
