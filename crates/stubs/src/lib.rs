//! gRPC clients and servers, generated from the services in `proto/`.
//!
//! A service implements the generated `…Handler` trait and is served as
//! `patient_service(patients)`. Its functions get a [`clinic_net::Context`] and a valid request.

pub mod codec;

/// Makes a tonic service of a type that implements a generated `…Handler` trait.
#[derive(Clone)]
pub struct Handler<H>(pub H);

// A module for each package with services: `records::v1` is `clinic.records.v1`.
include!(concat!(env!("OUT_DIR"), "/packages.rs"));
