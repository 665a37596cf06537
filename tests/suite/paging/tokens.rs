//! A page token is valid only for the query that returned it, and for the same caller.

use std::fmt::Debug;

use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{AssignmentStatus, ListAssignmentsRequest};
use clinic_proto::records::v1::{ListDoctorsRequest, ListPatientsRequest};
use clinic_testkit::{Suite, failure, on_both};
use tonic::{Code, Response, Status};

use super::fill_lists;

fn assert_refused<T: Debug>(response: Result<Response<T>, Status>, what: &str) {
    let refused = failure(response);
    let (code, reason) = (refused.code, refused.reason.as_str());
    assert_eq!((code, reason), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"), "{what}");
}

on_both! {
    async fn a_mangled_page_token_is_refused(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 2).await;
        for list in lists {
            let token = list.page(&staff, 1, "", false).await.unwrap().into_inner().next;
            let (head, tail) = token.split_at(token.len() / 2);
            let swapped: String = tail.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
            for mangled in [
                head.to_owned(),
                tail.to_owned(),
                format!("{head}{swapped}"),
                format!("{token}A"),
                format!("{token}="),
                format!(" {token}"),
                token.to_lowercase() + "x",
                "x".to_owned(),
                "!!".to_owned(),
                "A".repeat(2048),
                "0".to_owned(),
                "1'; --".to_owned(),
            ] {
                assert_refused(list.page(&staff, 1, &mangled, false).await, &format!("{list:?}"));
            }
            list.page(&staff, 1, &token, false).await.unwrap();
        }
    }

    async fn a_page_token_of_another_list_is_refused(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 2).await;
        for one in &lists {
            let token = one.page(&staff, 1, "", false).await.unwrap().into_inner().next;
            for (at, other) in lists.iter().enumerate() {
                let response = other.page(&staff, 1, &token, false).await;
                if format!("{one:?}") == format!("{other:?}") {
                    response.unwrap();
                } else {
                    assert_refused(response, &format!("{one:?} at {at}: {other:?}"));
                }
            }
        }
    }

    async fn a_page_token_of_other_filters_is_refused(suite: &Suite) {
        let (staff, _) = fill_lists(suite, 2).await;
        let request = ListPatientsRequest { page_size: 1, ..Default::default() };
        let page = staff.patients().list_patients(request.clone()).await.unwrap().into_inner();
        let request = ListPatientsRequest { page_token: page.next_page_token, ..request };
        for other in [
            ListPatientsRequest { query: "love".into(), ..request.clone() },
            ListPatientsRequest { show_deleted: true, ..request.clone() },
        ] {
            assert_refused(staff.patients().list_patients(other).await, "patients");
        }
        // Size, view and total may change between pages.
        let same =
            ListPatientsRequest { page_size: 7, view: 1, include_total_size: true, ..request };
        assert_eq!(
            staff.patients().list_patients(same).await.unwrap().into_inner().patients.len(),
            1
        );

        let request =
            ListDoctorsRequest { page_size: 1, query: "greg".into(), ..Default::default() };
        let page = staff.doctors().list_doctors(request.clone()).await.unwrap().into_inner();
        let request = ListDoctorsRequest { page_token: page.next_page_token, ..request };
        for other in [
            ListDoctorsRequest { query: "gre".into(), ..request.clone() },
            ListDoctorsRequest { specialization: "cardiology".into(), ..request.clone() },
            ListDoctorsRequest { available: Some(true), ..request.clone() },
            ListDoctorsRequest { show_deleted: true, ..request.clone() },
        ] {
            assert_refused(staff.doctors().list_doctors(other).await, "doctors");
        }

        let request = ListAssignmentsRequest { page_size: 1, ..Default::default() };
        let page =
            staff.assignments().list_assignments(request.clone()).await.unwrap().into_inner();
        let made = &page.assignments[0];
        let (patient_id, doctor_id) = (made.patient_id.clone(), made.doctor_id.clone());
        let request = ListAssignmentsRequest { page_token: page.next_page_token, ..request };
        for other in [
            ListAssignmentsRequest { patient_id, ..request.clone() },
            ListAssignmentsRequest { doctor_id, ..request.clone() },
            ListAssignmentsRequest { patient_id: "me".into(), ..request.clone() },
            ListAssignmentsRequest { status: AssignmentStatus::Active.into(), ..request.clone() },
            ListAssignmentsRequest { status: AssignmentStatus::Ended.into(), ..request.clone() },
        ] {
            assert_refused(staff.assignments().list_assignments(other).await, "assignments");
        }
    }

    async fn a_page_token_of_another_caller_is_refused(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 2).await;
        let (admin, house) = (suite.admin().await, suite.verified_doctor().await);
        for list in &lists {
            let token = list.page(&staff, 1, "", false).await.unwrap().into_inner().next;
            for other in [&admin, &house] {
                assert_refused(list.page(other, 1, &token, false).await, &format!("{list:?}"));
            }
        }
    }

    async fn a_page_token_from_before_a_change_of_roles_is_refused(suite: &Suite) {
        let (staff, lists) = fill_lists(suite, 2).await;
        let mut tokens = Vec::new();
        for list in &lists {
            tokens.push(list.page(&staff, 1, "", false).await.unwrap().into_inner().next);
        }
        let more = suite.give_roles(&staff, &[Role::Staff, Role::Doctor]).await;
        for (list, token) in lists.iter().zip(&tokens) {
            assert_refused(list.page(&more, 1, token, false).await, &format!("{list:?}"));
        }
    }
}
