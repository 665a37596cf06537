//! Assignments: which doctor treats which patient, since when, and why.

mod listing;
mod model;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use service::Assignments;
