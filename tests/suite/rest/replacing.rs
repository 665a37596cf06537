//! Updates that replace the whole resource, as PUT does. The cases of the access matrix only change
//! single fields.

use clinic_proto::assignment::v1::{Assignment, UpdateAssignmentRequest};
use clinic_proto::auth::v1::{UpdateUserRequest, User};
use clinic_proto::records::v1::{
    Doctor, GetDoctorRequest, Patient, UpdateDoctorRequest, UpdatePatientRequest,
};
use clinic_testkit::{mask, patient};

use crate::access_matrix::cases::{Case, ME, yes};

const PHONE_NUMBER: &str = "5551234567";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            path: "/clinic.auth.v1.AuthService/UpdateUser",
            label: "all of the caller's account",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = whole_user(ME);
                    c.clients.auth.update_user(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/UpdateUser",
            label: "all of the STAFF owner's account",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = whole_user(&w.owner.user.id);
                    c.clients.auth.update_user(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/UpdatePatient",
            label: "all of a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = whole_patient(w.patient().await);
                    c.clients.patients.update_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/UpdatePatient",
            label: "all of the caller's record",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = whole_patient(Patient { id: ME.into(), ..patient() });
                    c.clients.patients.update_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/UpdateDoctor",
            label: "all of a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = whole_doctor(w.doctor().await);
                    c.clients.doctors.update_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/UpdateDoctor",
            label: "all of the caller's record",
            call: |w, mut c| {
                Box::pin(async move {
                    // Unchanged: another license number would need a new verification.
                    let request = GetDoctorRequest { id: ME.into() };
                    let own = w.doctor.doctors().get_doctor(request).await?.into_inner();
                    // Other callers send it too, so the request must not name this account.
                    let (id, user_id, etag) = (ME.into(), String::new(), String::new());
                    let request = whole_doctor(Doctor { id, user_id, etag, ..own });
                    c.clients.doctors.update_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/UpdateAssignment",
            label: "all of an assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let assignment = Assignment { notes: "new".into(), ..w.assignment().await };
                    let request = UpdateAssignmentRequest {
                        id: assignment.id.clone(),
                        assignment: Some(assignment),
                        update_mask: mask(&["*"]),
                    };
                    c.clients.assignments.update_assignment(request).await.map(yes)
                })
            },
        },
    ]
}

/// The name is the only mutable field of an account.
fn whole_user(id: &str) -> UpdateUserRequest {
    let user = User { name: "Robin Miller".into(), ..Default::default() };
    UpdateUserRequest { id: id.to_owned(), user: Some(user), update_mask: mask(&["*"]) }
}

fn whole_patient(patient: Patient) -> UpdatePatientRequest {
    UpdatePatientRequest {
        id: patient.id.clone(),
        patient: Some(Patient { phone_number: PHONE_NUMBER.into(), ..patient }),
        update_mask: mask(&["*"]),
    }
}

fn whole_doctor(doctor: Doctor) -> UpdateDoctorRequest {
    UpdateDoctorRequest {
        id: doctor.id.clone(),
        doctor: Some(Doctor { phone_number: PHONE_NUMBER.into(), ..doctor }),
        update_mask: mask(&["*"]),
    }
}
