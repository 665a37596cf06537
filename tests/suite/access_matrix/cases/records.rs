//! records.

use clinic_proto::records::v1::{
    BatchGetDoctorsRequest, BatchGetPatientsRequest, CreateDoctorRequest, CreatePatientRequest,
    DeleteDoctorRequest, DeletePatientRequest, Doctor, GetDoctorRequest, GetPatientRequest,
    ListDoctorsRequest, ListPatientsRequest, Patient, UndeleteDoctorRequest,
    UndeletePatientRequest, UpdateDoctorRequest, UpdatePatientRequest, VerifyDoctorRequest,
};
use clinic_testkit::{doctor, patient};

use super::{Case, ME, NOTHING, sees, view, views, yes};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            path: "/clinic.records.v1.PatientService/CreatePatient",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let mut patient = patient();
                    if c.is_service() {
                        patient.user_id = w.suite.clock.new_id().to_string();
                    }
                    let request =
                        CreatePatientRequest { patient: Some(patient), ..Default::default() };
                    c.clients.patients.create_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/GetPatient",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let request =
                        GetPatientRequest { id: w.patient().await.id, ..Default::default() };
                    c.clients.patients.get_patient(request).await.map(view)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/GetPatient",
            label: "a patient of the verified DOCTOR",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = GetPatientRequest {
                        id: w.assignment().await.patient_id,
                        ..Default::default()
                    };
                    c.clients.patients.get_patient(request).await.map(view)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/GetPatient",
            label: "the caller's record",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = GetPatientRequest { id: ME.into(), ..Default::default() };
                    c.clients.patients.get_patient(request).await.map(view)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/GetPatient",
            label: "the PATIENT's record",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = GetPatientRequest {
                        id: w.patient.profile_id.clone(),
                        ..Default::default()
                    };
                    c.clients.patients.get_patient(request).await.map(view)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/BatchGetPatients",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = BatchGetPatientsRequest {
                        ids: vec![w.patient().await.id],
                        ..Default::default()
                    };
                    c.clients
                        .patients
                        .batch_get_patients(request)
                        .await
                        .map(|response| views(&response.get_ref().patients))
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/ListPatients",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.patient().await.id;
                    let response = c
                        .clients
                        .patients
                        .list_patients(ListPatientsRequest { page_size: 500, ..Default::default() })
                        .await?;
                    let found: Vec<_> =
                        response.into_inner().patients.into_iter().filter(|p| p.id == id).collect();
                    Ok(if found.is_empty() { NOTHING.into() } else { views(&found) })
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/ListPatients",
            label: "the PATIENT's record",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.patient.profile_id.clone();
                    let response = c
                        .clients
                        .patients
                        .list_patients(ListPatientsRequest { page_size: 500, ..Default::default() })
                        .await?;
                    let found: Vec<_> =
                        response.into_inner().patients.into_iter().filter(|p| p.id == id).collect();
                    Ok(if found.is_empty() { NOTHING.into() } else { views(&found) })
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/UpdatePatient",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let patient =
                        Some(Patient { phone_number: "5551234567".into(), ..Default::default() });
                    let request = UpdatePatientRequest {
                        id: w.patient().await.id,
                        patient,
                        update_mask: None,
                    };
                    c.clients.patients.update_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/UpdatePatient",
            label: "the caller's record",
            call: |_w, mut c| {
                Box::pin(async move {
                    let patient =
                        Some(Patient { phone_number: "5551234567".into(), ..Default::default() });
                    let request =
                        UpdatePatientRequest { id: ME.into(), patient, update_mask: None };
                    c.clients.patients.update_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/DeletePatient",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let request =
                        DeletePatientRequest { id: w.patient().await.id, ..Default::default() };
                    c.clients.patients.delete_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/DeletePatient",
            label: "the record of an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.accounts_patient().await.id;
                    let request = DeletePatientRequest { id, ..Default::default() };
                    c.clients.patients.delete_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.PatientService/UndeletePatient",
            label: "a deleted patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.patient().await.id;
                    let request = DeletePatientRequest { id: id.clone(), ..Default::default() };
                    w.owner.clients.patients.clone().delete_patient(request).await?;
                    let request = UndeletePatientRequest { id, ..Default::default() };
                    c.clients.patients.undelete_patient(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/CreateDoctor",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let mut doctor = doctor();
                    if c.is_service() {
                        doctor.user_id = w.suite.clock.new_id().to_string();
                    }
                    let request =
                        CreateDoctorRequest { doctor: Some(doctor), ..Default::default() };
                    c.clients.doctors.create_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/GetDoctor",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    c.clients
                        .doctors
                        .get_doctor(GetDoctorRequest { id: w.doctor().await.id })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/GetDoctor",
            label: "the caller's record",
            call: |_w, mut c| {
                Box::pin(async move {
                    c.clients.doctors.get_doctor(GetDoctorRequest { id: ME.into() }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/BatchGetDoctors",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = BatchGetDoctorsRequest {
                        ids: vec![w.doctor().await.id],
                        ..Default::default()
                    };
                    c.clients.doctors.batch_get_doctors(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/ListDoctors",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.doctor().await.id;
                    let response = c
                        .clients
                        .doctors
                        .list_doctors(ListDoctorsRequest { page_size: 500, ..Default::default() })
                        .await?;
                    Ok(sees(response.get_ref().doctors.iter().any(|d| d.id == id)))
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/UpdateDoctor",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let doctor =
                        Some(Doctor { phone_number: "5551234567".into(), ..Default::default() });
                    let request =
                        UpdateDoctorRequest { id: w.doctor().await.id, doctor, update_mask: None };
                    c.clients.doctors.update_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/UpdateDoctor",
            label: "the caller's record",
            call: |_w, mut c| {
                Box::pin(async move {
                    let doctor =
                        Some(Doctor { phone_number: "5551234567".into(), ..Default::default() });
                    let request = UpdateDoctorRequest { id: ME.into(), doctor, update_mask: None };
                    c.clients.doctors.update_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/DeleteDoctor",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let request =
                        DeleteDoctorRequest { id: w.doctor().await.id, ..Default::default() };
                    c.clients.doctors.delete_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/DeleteDoctor",
            label: "the record of an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.accounts_doctor().await.id;
                    let request = DeleteDoctorRequest { id, ..Default::default() };
                    c.clients.doctors.delete_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/UndeleteDoctor",
            label: "a deleted doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.doctor().await.id;
                    let request = DeleteDoctorRequest { id: id.clone(), ..Default::default() };
                    w.owner.clients.doctors.clone().delete_doctor(request).await?;
                    let request = UndeleteDoctorRequest { id, ..Default::default() };
                    c.clients.doctors.undelete_doctor(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.records.v1.DoctorService/VerifyDoctor",
            label: "a doctor",
            call: |w, mut c| {
                Box::pin(async move {
                    let request =
                        VerifyDoctorRequest { id: w.doctor().await.id, ..Default::default() };
                    c.clients.doctors.verify_doctor(request).await.map(yes)
                })
            },
        },
    ]
}
