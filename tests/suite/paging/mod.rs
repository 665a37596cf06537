//! Paging, which works the same for every list.

mod changes;
mod large;
mod private;
mod tokens;

use clinic_proto::assignment::v1::{
    Assignment, ListAssignmentsRequest, ListDoctorPatientsRequest, ListPatientDoctorsRequest,
};
use clinic_proto::records::v1::{ListDoctorsRequest, ListPatientsRequest};
use clinic_testkit::{Account, Suite, doctor, invalid_fields, on_both, patient};
use tonic::{Response, Status};

/// Every list of the records and assignment services.
#[derive(Clone, Debug)]
enum List {
    Patients,
    PatientsByName,
    Doctors,
    DoctorsByName,
    Assignments,
    DoctorsOf(String),
    PatientsOf(String),
}

/// A page of any list.
#[derive(Debug, PartialEq)]
struct Page {
    ids: Vec<String>,
    next: String,
    total: Option<i64>,
}

impl List {
    /// Reads a page. Lists by name find all patients of `patient()` and doctors of `doctor()`.
    async fn page(
        &self,
        by: &Account,
        page_size: i32,
        token: &str,
        include_total_size: bool,
    ) -> Result<Response<Page>, Status> {
        let page_token = token.to_owned();
        let id = |assignment: Option<Assignment>| assignment.unwrap().id;
        let (ids, next, total) = match self {
            Self::Patients | Self::PatientsByName => {
                let by_name = matches!(self, Self::PatientsByName);
                let query = if by_name { "LOVE" } else { "" }.to_owned();
                let request = ListPatientsRequest {
                    page_size,
                    page_token,
                    include_total_size,
                    query,
                    ..Default::default()
                };
                let page = by.patients().list_patients(request).await?.into_inner();
                let ids = page.patients.into_iter().map(|patient| patient.id).collect();
                (ids, page.next_page_token, page.total_size)
            }
            Self::Doctors | Self::DoctorsByName => {
                let by_name = matches!(self, Self::DoctorsByName);
                let query = if by_name { "GREG" } else { "" }.to_owned();
                let request = ListDoctorsRequest {
                    page_size,
                    page_token,
                    include_total_size,
                    query,
                    ..Default::default()
                };
                let page = by.doctors().list_doctors(request).await?.into_inner();
                let ids = page.doctors.into_iter().map(|doctor| doctor.id).collect();
                (ids, page.next_page_token, page.total_size)
            }
            Self::Assignments => {
                let request = ListAssignmentsRequest {
                    page_size,
                    page_token,
                    include_total_size,
                    ..Default::default()
                };
                let page = by.assignments().list_assignments(request).await?.into_inner();
                let ids = page.assignments.into_iter().map(|assignment| assignment.id).collect();
                (ids, page.next_page_token, page.total_size)
            }
            Self::DoctorsOf(patient_id) => {
                let patient_id = patient_id.clone();
                let request = ListPatientDoctorsRequest {
                    page_size,
                    page_token,
                    include_total_size,
                    patient_id,
                    ..Default::default()
                };
                let page = by.assignments().list_patient_doctors(request).await?.into_inner();
                let ids = page.doctors.into_iter().map(|entry| id(entry.assignment)).collect();
                (ids, page.next_page_token, page.total_size)
            }
            Self::PatientsOf(doctor_id) => {
                let doctor_id = doctor_id.clone();
                let request = ListDoctorPatientsRequest {
                    page_size,
                    page_token,
                    include_total_size,
                    doctor_id,
                    ..Default::default()
                };
                let page = by.assignments().list_doctor_patients(request).await?.into_inner();
                let ids = page.patients.into_iter().map(|entry| id(entry.assignment)).collect();
                (ids, page.next_page_token, page.total_size)
            }
        };
        Ok(Response::new(Page { ids, next, total }))
    }
}

/// Creates `size` rows for each list, except for assignments: `2 * size - 1`. Returns their owner.
async fn fill_lists(suite: &Suite, size: usize) -> (Account, Vec<List>) {
    let staff = suite.staff().await;
    let (mut patients, mut doctors) = (Vec::new(), Vec::new());
    for _ in 0..size {
        patients.push(staff.create_patient(patient()).await.id);
        doctors.push(staff.create_doctor(doctor()).await.id);
    }
    for patient in &patients {
        staff.assign(patient, &doctors[0]).await;
    }
    for doctor in &doctors[1..] {
        staff.assign(&patients[0], doctor).await;
    }
    let joined = [List::DoctorsOf(patients[0].clone()), List::PatientsOf(doctors[0].clone())];
    let plain = [List::Patients, List::PatientsByName, List::Doctors, List::DoctorsByName];
    (staff, [&plain[..], &[List::Assignments], &joined].concat())
}

on_both! {
    async fn pages_of_every_size_list_each_row_once_in_the_same_order(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 5).await;
        for list in lists {
            let whole = list.page(&staff, 500, "", true).await.unwrap().into_inner();
            let rows = if matches!(list, List::Assignments) { 9 } else { 5 };
            assert_eq!(whole.ids.len(), rows, "{list:?}");
            assert_eq!((whole.next.as_str(), whole.total), ("", i64::try_from(rows).ok()));
            for size in [1, 2, 4, 5, 9] {
                let (mut ids, mut token) = (Vec::new(), String::new());
                loop {
                    let page = list.page(&staff, size, &token, false).await.unwrap().into_inner();
                    assert_eq!(page.total, None);
                    let full = page.ids.len() == usize::try_from(size).unwrap();
                    assert!(full || page.next.is_empty(), "only the last page may be short");
                    ids.extend(page.ids);
                    assert!(ids.len() < 100, "paging does not end");
                    token = page.next;
                    if token.is_empty() {
                        break;
                    }
                }
                assert_eq!(ids, whole.ids, "{list:?} by {size}");
            }
        }
    }

    async fn total_size_counts_the_rows_of_all_pages(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 3).await;
        for list in lists {
            let total = if matches!(list, List::Assignments) { 5 } else { 3 };
            let first = list.page(&staff, 2, "", true).await.unwrap().into_inner();
            assert_eq!((first.ids.len(), first.total), (2, Some(total)), "{list:?}");
            let second = list.page(&staff, 1, &first.next, true).await.unwrap().into_inner();
            assert_eq!((second.ids.len(), second.total), (1, Some(total)), "{list:?}");
        }
    }

    async fn a_page_has_fifty_rows_by_default_and_at_most_five_hundred(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 51).await;
        for list in lists {
            for wrong in [-1, 501, i32::MAX, i32::MIN] {
                let response = list.page(&staff, wrong, "", false).await;
                assert_eq!(invalid_fields(response), ["page_size"], "{list:?}");
            }
            let page = list.page(&staff, 0, "", false).await.unwrap().into_inner();
            assert_eq!(page.ids.len(), 50, "{list:?}");
            let rest = list.page(&staff, 500, &page.next, false).await.unwrap().into_inner();
            let rows = if matches!(list, List::Assignments) { 51 } else { 1 };
            assert_eq!((rest.ids.len(), rest.next.as_str()), (rows, ""), "{list:?}");
        }
    }
}
