//! A fake records service that can only create and delete, and can be made to fail. It dispatches
//! by path, so that new methods of the contract need no code here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use clinic_identity::{CLAIMS_HEADER, ClaimsVerifier};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    Patient,
};
use clinic_proto::validation::Validate;
use clinic_stubs::codec::ValidatingCodec;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tower::{Service, service_fn};

#[derive(Default)]
pub(crate) struct Kept {
    /// In order of creation, including deleted ones.
    pub(crate) patients: Vec<Patient>,
    pub(crate) doctors: Vec<Doctor>,
    pub(crate) deleted: Vec<String>,
    pub(crate) error: Option<Status>,
    /// The error that replaces the responses of completed calls.
    pub(crate) lost: Option<Status>,
    /// The first request and its record, by request id.
    seen: HashMap<String, (CreateDoctorRequest, Doctor)>,
}

pub(crate) struct Records {
    pub(crate) url: String,
    pub(crate) kept: Arc<Mutex<Kept>>,
}

impl Records {
    pub(crate) async fn start(claims: ClaimsVerifier) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Kept::default()));
        let fake = Fake { kept: Arc::clone(&kept), claims: Arc::new(claims) };
        let server = tonic::transport::Server::builder()
            .add_service(Patients(fake.clone()))
            .add_service(Doctors(fake))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
        tokio::spawn(async move { server.await.unwrap() });
        Self { url, kept }
    }

    pub(crate) fn refuse(&self, status: Status) {
        self.kept.lock().unwrap().error = Some(status);
    }

    /// Completes all later calls, but returns this error.
    pub(crate) fn lose_answers(&self, status: Option<Status>) {
        self.kept.lock().unwrap().lost = status;
    }

    /// Returns the accounts whose records are not deleted.
    pub(crate) fn left(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        let patients = kept.patients.iter().map(|p| (&p.id, &p.user_id));
        let all = patients.chain(kept.doctors.iter().map(|d| (&d.id, &d.user_id)));
        all.filter(|(id, _)| !kept.deleted.contains(id)).map(|(_, user)| user.clone()).collect()
    }
}

#[derive(Clone)]
struct Fake {
    kept: Arc<Mutex<Kept>>,
    claims: Arc<ClaimsVerifier>,
}

impl Fake {
    async fn handle(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            "/clinic.records.v1.PatientService/CreatePatient" => {
                self.unary(request, Kept::create_patient).await
            }
            "/clinic.records.v1.PatientService/DeletePatient" => {
                self.unary(request, |kept, m: DeletePatientRequest| {
                    kept.delete(m.id).map(|()| Patient::default())
                })
                .await
            }
            "/clinic.records.v1.DoctorService/CreateDoctor" => {
                self.unary(request, Kept::create_doctor).await
            }
            "/clinic.records.v1.DoctorService/DeleteDoctor" => {
                self.unary(request, |kept, m: DeleteDoctorRequest| {
                    kept.delete(m.id).map(|()| Doctor::default())
                })
                .await
            }
            path => Status::unimplemented(path).into_http(),
        }
    }

    async fn unary<M, A>(
        self,
        request: http::Request<Body>,
        response: impl Fn(&mut Kept, M) -> Result<A, Status> + Send + Sync + Clone + 'static,
    ) -> http::Response<Body>
    where
        M: prost::Message + Validate + Default + 'static,
        A: prost::Message + 'static,
    {
        let response = service_fn(move |request: Request<M>| {
            let claims = request.metadata().get(CLAIMS_HEADER).unwrap().to_str().unwrap();
            assert!(self.claims.verify(claims).unwrap().principal.is_service("auth"));
            let kept = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let response = match kept.error.clone() {
                Some(error) => Err(error),
                None => response(kept, request.into_inner()),
            };
            let response = kept.lost.clone().map_or(response, Err);
            std::future::ready(response.map(Response::new))
        });
        Grpc::new(ValidatingCodec::<A, M>::default()).unary(response, request).await
    }
}

impl Kept {
    fn create_patient(&mut self, request: CreatePatientRequest) -> Result<Patient, Status> {
        let mut patient = request.patient.unwrap();
        patient.id = patient.user_id.clone();
        self.not_deleted(&patient.id)?;
        if !self.patients.contains(&patient) {
            self.patients.push(patient.clone());
        }
        Ok(patient)
    }

    fn create_doctor(&mut self, request: CreateDoctorRequest) -> Result<Doctor, Status> {
        if let Some((first, doctor)) = self.seen.get(&request.request_id) {
            assert!(*first == request, "a request id stands for one request");
            self.not_deleted(&doctor.id)?;
            return Ok(doctor.clone());
        }
        let mut doctor = request.doctor.clone().unwrap();
        let live = self.doctors.iter().filter(|d| !self.deleted.contains(&d.id));
        if live.clone().any(|d| d.license_number == doctor.license_number) {
            return Err(clinic_net::Error::already_exists("license_number", "taken").into());
        }
        doctor.id = doctor.user_id.clone();
        self.doctors.push(doctor.clone());
        self.seen.insert(request.request_id.clone(), (request, doctor.clone()));
        Ok(doctor)
    }

    fn delete(&mut self, id: String) -> Result<(), Status> {
        self.not_deleted(&id)?;
        self.deleted.push(id);
        Ok(())
    }

    fn not_deleted(&self, id: &String) -> Result<(), Status> {
        if self.deleted.contains(id) {
            return Err(clinic_net::Error::not_found().into());
        }
        Ok(())
    }
}

macro_rules! named {
    ($($type:ident $name:literal)*) => {$(
        #[derive(Clone)]
        struct $type(Fake);

        impl NamedService for $type {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<Body>> for $type {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let response = self.0.clone().handle(request);
                Box::pin(async move { Ok(response.await) })
            }
        }
    )*};
}
named! {
    Patients "clinic.records.v1.PatientService"
    Doctors "clinic.records.v1.DoctorService"
}
