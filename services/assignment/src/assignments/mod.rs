//! Assignments.

mod fields;
mod listing;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use service::Assignments;
