//! AssignmentService.

mod creating;
mod ending;
mod fields;
mod joined;
mod listing;
mod updating;

use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, EndAssignmentRequest, ListAssignmentsRequest,
    UpdateAssignmentRequest,
};
use clinic_testkit::{Account, assignment, doctor, mask, patient};
use tonic::{Response, Status};

async fn create_pair(staff: &Account) -> [String; 2] {
    let patient = staff.create_patient(patient()).await;
    [patient.id, staff.create_doctor(doctor()).await.id]
}

async fn create(by: &Account, pair: [&str; 2]) -> Result<Response<Assignment>, Status> {
    let assignment = Some(assignment(pair[0], pair[1]));
    let request = CreateAssignmentRequest { assignment, ..Default::default() };
    by.assignments().create_assignment(request).await
}

fn update(id: &str, assignment: Assignment, paths: &[&str]) -> UpdateAssignmentRequest {
    let assignment = Some(assignment);
    UpdateAssignmentRequest { id: id.into(), assignment, update_mask: mask(paths) }
}

fn end(id: &str) -> EndAssignmentRequest {
    EndAssignmentRequest { id: id.into(), ..Default::default() }
}

/// Returns the first page.
async fn list(by: &Account, request: ListAssignmentsRequest) -> Vec<Assignment> {
    by.assignments().list_assignments(request).await.unwrap().into_inner().assignments
}
