//! Patients: who they are and what is known of their health.

mod model;
mod service;
mod store;

pub(crate) use service::Patients;
