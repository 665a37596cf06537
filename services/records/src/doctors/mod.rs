//! Doctors.

mod fields;
mod service;

#[cfg(test)]
pub(crate) use fields::Doctor;
pub(crate) use service::Doctors;
#[cfg(test)]
pub(crate) use service::filter;
