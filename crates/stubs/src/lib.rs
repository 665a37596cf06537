//! gRPC clients and servers, generated from the services in `proto/`.
//!
//! A service implements the generated `…Handler` trait and is served as
//! `PatientServiceServer::new(Handler(patients))`. Its functions get a [`clinic_net::Context`]
//! and a valid request.

pub mod codec;

/// Makes a tonic service of a type that implements a generated `…Handler` trait.
#[derive(Clone)]
pub struct Handler<H>(pub H);

#[allow(clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
pub mod assignment {
    pub mod v1 {
        tonic::include_proto!("clinic.assignment.v1");
    }
}

#[allow(clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
pub mod auth {
    pub mod v1 {
        tonic::include_proto!("clinic.auth.v1");
    }
}

#[allow(clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
pub mod records {
    pub mod v1 {
        tonic::include_proto!("clinic.records.v1");
    }
}
