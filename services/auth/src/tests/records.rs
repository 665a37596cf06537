//! A records service that only makes and deletes, and fails when it is told to.

use std::sync::{Arc, Mutex};

use clinic_identity::{CLAIMS_HEADER, Caller, ClaimsVerifier};
use clinic_proto::records::v1::doctor_service_server::{DoctorService, DoctorServiceServer};
use clinic_proto::records::v1::patient_service_server::{PatientService, PatientServiceServer};
use clinic_proto::records::v1::*;
use tonic::{Request, Response, Status, async_trait};

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) patients: Vec<Patient>,
    pub(crate) doctors: Vec<Doctor>,
    pub(crate) deleted: Vec<String>,
    pub(crate) refusal: Option<Status>,
}

pub(crate) struct Records {
    pub(crate) url: String,
    pub(crate) kept: Arc<Mutex<Kept>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Fake {
    kept: Arc<Mutex<Kept>>,
    claims: Arc<ClaimsVerifier>,
}

impl Records {
    pub(crate) async fn start(claims: ClaimsVerifier) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Kept::default()));
        let fake = Fake { kept: Arc::clone(&kept), claims: Arc::new(claims) };
        let server = tonic::transport::Server::builder()
            .add_service(PatientServiceServer::new(fake.clone()))
            .add_service(DoctorServiceServer::new(fake))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Self { url, kept, server }
    }

    pub(crate) async fn stop(&mut self) {
        self.server.abort();
        assert!((&mut self.server).await.unwrap_err().is_cancelled());
    }

    pub(crate) fn refuse(&self, status: Status) {
        self.kept.lock().unwrap().refusal = Some(status);
    }
}

impl Fake {
    fn admit<M>(&self, request: &Request<M>) -> Result<(), Status> {
        let claims = request.metadata().get(CLAIMS_HEADER).unwrap().to_str().unwrap();
        assert_eq!(*self.claims.verify(claims).unwrap(), Caller::service("auth"));
        self.kept.lock().unwrap().refusal.clone().map_or(Ok(()), Err)
    }

    fn deleted(&self, id: String) {
        self.kept.lock().unwrap().deleted.push(id);
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl PatientService for Fake {
    async fn create_patient(&self, request: Request<CreatePatientRequest>) -> Answer<Patient> {
        self.admit(&request)?;
        let mut patient = request.into_inner().patient.unwrap();
        patient.id = patient.user_id.clone();
        self.kept.lock().unwrap().patients.push(patient.clone());
        Ok(Response::new(patient))
    }

    async fn delete_patient(&self, request: Request<DeletePatientRequest>) -> Answer<Patient> {
        self.admit(&request)?;
        self.deleted(request.into_inner().id);
        Ok(Response::new(Patient::default()))
    }

    async fn get_patient(&self, _: Request<GetPatientRequest>) -> Answer<Patient> {
        Err(Status::unimplemented(""))
    }
    async fn batch_get_patients(
        &self,
        _: Request<BatchGetPatientsRequest>,
    ) -> Answer<BatchGetPatientsResponse> {
        Err(Status::unimplemented(""))
    }
    async fn list_patients(&self, _: Request<ListPatientsRequest>) -> Answer<ListPatientsResponse> {
        Err(Status::unimplemented(""))
    }
    async fn update_patient(&self, _: Request<UpdatePatientRequest>) -> Answer<Patient> {
        Err(Status::unimplemented(""))
    }
    async fn undelete_patient(&self, _: Request<UndeletePatientRequest>) -> Answer<Patient> {
        Err(Status::unimplemented(""))
    }
}

#[async_trait]
impl DoctorService for Fake {
    async fn create_doctor(&self, request: Request<CreateDoctorRequest>) -> Answer<Doctor> {
        self.admit(&request)?;
        let mut doctor = request.into_inner().doctor.unwrap();
        doctor.id = doctor.user_id.clone();
        self.kept.lock().unwrap().doctors.push(doctor.clone());
        Ok(Response::new(doctor))
    }

    async fn delete_doctor(&self, request: Request<DeleteDoctorRequest>) -> Answer<Doctor> {
        self.admit(&request)?;
        self.deleted(request.into_inner().id);
        Ok(Response::new(Doctor::default()))
    }

    async fn get_doctor(&self, _: Request<GetDoctorRequest>) -> Answer<Doctor> {
        Err(Status::unimplemented(""))
    }
    async fn batch_get_doctors(
        &self,
        _: Request<BatchGetDoctorsRequest>,
    ) -> Answer<BatchGetDoctorsResponse> {
        Err(Status::unimplemented(""))
    }
    async fn list_doctors(&self, _: Request<ListDoctorsRequest>) -> Answer<ListDoctorsResponse> {
        Err(Status::unimplemented(""))
    }
    async fn update_doctor(&self, _: Request<UpdateDoctorRequest>) -> Answer<Doctor> {
        Err(Status::unimplemented(""))
    }
    async fn undelete_doctor(&self, _: Request<UndeleteDoctorRequest>) -> Answer<Doctor> {
        Err(Status::unimplemented(""))
    }
    async fn verify_doctor(&self, _: Request<VerifyDoctorRequest>) -> Answer<Doctor> {
        Err(Status::unimplemented(""))
    }
}
