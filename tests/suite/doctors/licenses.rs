//! License numbers are unique among doctors that are not deleted.

use clinic_proto::records::v1::{CreateDoctorRequest, Doctor, ListDoctorsRequest};
use clinic_testkit::{Suite, doctor, on_both};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::{delete, get, list, undelete, update};

fn licensed(license_number: &str) -> Doctor {
    Doctor { license_number: license_number.into(), ..doctor() }
}

fn create(doctor: Doctor) -> CreateDoctorRequest {
    CreateDoctorRequest { doctor: Some(doctor), ..Default::default() }
}

/// Asserts ALREADY_EXISTS for `license_number`.
fn assert_taken(response: Result<Response<Doctor>, Status>) {
    let status = response.expect_err("the license number is taken");
    assert_eq!(status.code(), Code::AlreadyExists);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "ALREADY_EXISTS");
    assert_eq!(info.metadata.get("field").map(String::as_str), Some("license_number"));
}

on_both! {
    async fn license_numbers_are_unique_regardless_of_owner_case_and_spaces(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let first = staff.create_doctor(licensed("MD-77ä")).await;
        for license in ["MD-77ä", "md-77Ä", "  Md-77Ä "] {
            assert_taken(other.doctors().create_doctor(create(licensed(license))).await);
        }
        let second = other.create_doctor(licensed("MD-78")).await;
        let request = update(&second.id, licensed("md-77ä"), &["license_number"]);
        assert_taken(other.doctors().update_doctor(request).await);
        let read = other.doctors().get_doctor(get(&second.id)).await.unwrap().into_inner();
        assert_eq!(read, second);
        // Doctors may change the case of their own number.
        let request = update(&first.id, licensed("md-77Ä"), &["license_number"]);
        let changed = staff.doctors().update_doctor(request).await.unwrap().into_inner();
        assert_eq!(changed.license_number, "md-77Ä");
        assert_eq!(list(&staff, ListDoctorsRequest::default()).await.len(), 2);
    }

    async fn the_license_number_of_a_deleted_doctor_can_be_reused(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let first = staff.create_doctor(licensed("MD-1")).await;
        staff.doctors().delete_doctor(delete(&first.id)).await.unwrap();
        let second = other.create_doctor(licensed("md-1")).await;
        assert_taken(staff.doctors().undelete_doctor(undelete(&first.id)).await);

        let request = update(&second.id, licensed("MD-2"), &["license_number"]);
        other.doctors().update_doctor(request).await.unwrap();
        let back = staff.doctors().undelete_doctor(undelete(&first.id)).await.unwrap().into_inner();
        assert!(back.deleted_at.is_none());
        assert_taken(other.doctors().create_doctor(create(licensed("MD-1"))).await);
    }

    async fn a_refused_create_does_not_use_up_its_request_id(suite: &Suite) {
        let staff = suite.staff().await;
        let first = staff.create_doctor(licensed("MD-1")).await;
        let request_id = suite.clock.new_id().to_string();
        let request = CreateDoctorRequest { doctor: Some(licensed("MD-1")), request_id };
        assert_taken(staff.doctors().create_doctor(request.clone()).await);
        staff.doctors().delete_doctor(delete(&first.id)).await.unwrap();
        let made = staff.doctors().create_doctor(request.clone()).await.unwrap().into_inner();
        let again = staff.doctors().create_doctor(request).await.unwrap().into_inner();
        assert_eq!(made, again);
    }
}
