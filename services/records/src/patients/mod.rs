//! Patients.

mod fields;
mod service;

#[cfg(test)]
pub(crate) use fields::Patient;
pub(crate) use service::Patients;
