//! assignment.

use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, EndAssignmentRequest, GetAssignmentRequest,
    ListAssignmentsRequest, ListDoctorPatientsRequest, ListPatientDoctorsRequest,
    UpdateAssignmentRequest,
};
use clinic_testkit::assignment;

use super::{Case, NOTHING, sees, views, yes};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            path: "/clinic.assignment.v1.AssignmentService/CreateAssignment",
            label: "a doctor to a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let (patient, doctor) = (w.patient().await.id, w.doctor().await.id);
                    let request = CreateAssignmentRequest {
                        assignment: Some(assignment(&patient, &doctor)),
                        ..Default::default()
                    };
                    c.clients.assignments.create_assignment(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/GetAssignment",
            label: "an assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = GetAssignmentRequest { id: w.assignment().await.id };
                    c.clients.assignments.get_assignment(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/GetAssignment",
            label: "the PATIENT's assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = GetAssignmentRequest { id: w.own_assignment().await.id };
                    c.clients.assignments.get_assignment(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListAssignments",
            label: "an assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.assignment().await.id;
                    let request = ListAssignmentsRequest { page_size: 500, ..Default::default() };
                    let response = c.clients.assignments.list_assignments(request).await?;
                    Ok(sees(response.get_ref().assignments.iter().any(|a| a.id == id)))
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListAssignments",
            label: "the PATIENT's assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.own_assignment().await.id;
                    let request = ListAssignmentsRequest { page_size: 500, ..Default::default() };
                    let response = c.clients.assignments.list_assignments(request).await?;
                    Ok(sees(response.get_ref().assignments.iter().any(|a| a.id == id)))
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/UpdateAssignment",
            label: "an assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.assignment().await.id;
                    let assignment = Some(Assignment { notes: "new".into(), ..Default::default() });
                    let request = UpdateAssignmentRequest { id, assignment, update_mask: None };
                    c.clients.assignments.update_assignment(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/EndAssignment",
            label: "an assignment",
            call: |w, mut c| {
                Box::pin(async move {
                    let request =
                        EndAssignmentRequest { id: w.assignment().await.id, ..Default::default() };
                    c.clients.assignments.end_assignment(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListPatientDoctors",
            label: "a patient",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = ListPatientDoctorsRequest {
                        patient_id: w.assignment().await.patient_id,
                        ..Default::default()
                    };
                    let response = c.clients.assignments.list_patient_doctors(request).await?;
                    Ok(sees(!response.get_ref().doctors.is_empty()))
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListPatientDoctors",
            label: "the PATIENT's record",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = ListPatientDoctorsRequest {
                        patient_id: w.own_assignment().await.patient_id,
                        ..Default::default()
                    };
                    let response = c.clients.assignments.list_patient_doctors(request).await?;
                    Ok(sees(!response.get_ref().doctors.is_empty()))
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListDoctorPatients",
            label: "the verified DOCTOR",
            call: |w, mut c| {
                Box::pin(async move {
                    let patient = w.assignment().await.patient_id;
                    let request = ListDoctorPatientsRequest {
                        page_size: 500,
                        doctor_id: w.doctor.profile_id.clone(),
                        ..Default::default()
                    };
                    let response = c.clients.assignments.list_doctor_patients(request).await?;
                    let patients =
                        response.into_inner().patients.into_iter().filter_map(|p| p.patient);
                    let found: Vec<_> = patients.filter(|p| p.id == patient).collect();
                    Ok(if found.is_empty() { NOTHING.into() } else { views(&found) })
                })
            },
        },
    ]
}
