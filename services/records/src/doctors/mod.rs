//! Doctors: who they are and what they practise.

mod model;
mod service;
mod store;

pub(crate) use service::Doctors;
#[cfg(test)]
pub(crate) use store::Filter;
