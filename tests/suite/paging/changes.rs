//! Paging while rows are created, changed and deleted.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{
    AssignmentStatus, EndAssignmentRequest, ListAssignmentsRequest,
};
use clinic_proto::records::v1::{
    CreatePatientRequest, DeletePatientRequest, ListPatientsRequest, Patient, UpdatePatientRequest,
};
use clinic_testkit::{Account, Suite, doctor, on_both, patient};

use super::List;

async fn delete(by: &Account, id: &str) {
    let request = DeletePatientRequest { id: id.into(), ..Default::default() };
    by.patients().delete_patient(request).await.unwrap();
}

/// Reads all pages of a query, two rows each. After each page, deletes one listed and one unlisted
/// patient, and creates one. Those that remain must be listed once, and none twice.
async fn assert_stable_paging(staff: &Account, query: &str) {
    let names = |at: usize| Patient {
        first_name: format!("S{}", ["a", "z", "m"][at % 3]),
        last_name: ["Sa", "Other", "Sz", "Sm", "Sm"][at % 5].into(),
        ..patient()
    };
    let mut stayed = BTreeSet::new();
    for at in 0..15 {
        stayed.insert(staff.create_patient(names(at)).await.id);
    }
    let mut seen: Vec<String> = Vec::new();
    let mut request =
        ListPatientsRequest { query: query.into(), page_size: 2, ..Default::default() };
    loop {
        let page = staff.patients().list_patients(request.clone()).await.unwrap().into_inner();
        seen.extend(page.patients.into_iter().map(|patient| patient.id));
        assert!(seen.len() < 100, "paging does not end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        let unseen = stayed.iter().find(|id| !seen.contains(*id)).cloned();
        let last = seen.last().filter(|id| stayed.contains(*id)).cloned();
        for id in unseen.iter().chain(&last) {
            delete(staff, id).await;
            stayed.remove(id);
        }
        // The names sort before and after those on the page.
        staff.create_patient(names(seen.len())).await;
    }
    let once: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "a patient is listed twice");
    assert!(stayed.is_subset(&once), "a remaining patient is not listed");
    assert!(stayed.len() > 3, "too few patients remain");
}

on_both! {
    async fn paging_by_creation_is_stable_while_rows_change(suite: &Suite) {
        let staff = suite.staff().await;
        assert_stable_paging(&staff, "").await;
    }

    async fn paging_by_name_is_stable_while_rows_change(suite: &Suite) {
        let staff = suite.staff().await;
        assert_stable_paging(&staff, "s").await;
    }

    async fn paging_by_creation_with_several_roles_is_stable_while_rows_change(suite: &Suite) {
        let house = suite.verified_doctor().await;
        let house = suite.give_roles(&house, &[Role::Doctor, Role::Staff, Role::Patient]).await;
        assert_stable_paging(&house, "").await;
    }

    async fn paging_by_name_with_several_roles_is_stable_while_rows_change(suite: &Suite) {
        let house = suite.verified_doctor().await;
        let house = suite.give_roles(&house, &[Role::Doctor, Role::Staff, Role::Patient]).await;
        assert_stable_paging(&house, "s").await;
    }

    async fn renaming_a_row_between_pages_neither_skips_nor_repeats_others(suite: &Suite) {
        let staff = suite.staff().await;
        for new_name in ["Saaa", "Szzz", "Other"] {
            let mut made = BTreeSet::new();
            for last_name in ["Sb", "Sc", "Sd", "Se", "Sf", "Sg"] {
                let one = Patient { last_name: last_name.into(), ..patient() };
                made.insert(staff.create_patient(one).await.id);
            }
            let request =
                ListPatientsRequest { query: "s".into(), page_size: 3, ..Default::default() };
            let page = staff.patients().list_patients(request.clone()).await.unwrap().into_inner();
            let first: Vec<String> = page.patients.into_iter().map(|one| one.id).collect();
            // The last row of the page, after which the next page begins.
            let change = Patient { last_name: new_name.into(), ..Default::default() };
            let update = UpdatePatientRequest {
                id: first[2].clone(),
                patient: Some(change),
                update_mask: None,
            };
            staff.patients().update_patient(update).await.unwrap();
            let request = ListPatientsRequest {
                page_token: page.next_page_token,
                page_size: 500,
                ..request
            };
            let rest = staff.patients().list_patients(request).await.unwrap().into_inner();
            let mut rest: Vec<String> = rest.patients.into_iter().map(|one| one.id).collect();
            rest.retain(|id| *id != first[2]);
            let seen: BTreeSet<String> = first.iter().chain(&rest).cloned().collect();
            assert_eq!((seen.len(), &seen), (first.len() + rest.len(), &made), "{new_name}");
            for id in made {
                delete(&staff, &id).await;
            }
        }
    }

    async fn rows_created_at_the_same_moment_are_listed_once_each(suite: &Suite) {
        let staff = suite.staff().await;
        let made: Vec<_> = (0..20)
            .map(|_| {
                let mut client = staff.patients();
                let request =
                    CreatePatientRequest { patient: Some(patient()), ..Default::default() };
                tokio::spawn(async move { client.create_patient(request).await })
            })
            .collect();
        let mut ids = BTreeSet::new();
        for made in made {
            ids.insert(made.await.unwrap().unwrap().into_inner().id);
        }
        for list in [List::Patients, List::PatientsByName] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let page = list.page(&staff, 3, &token, false).await.unwrap().into_inner();
                seen.extend(page.ids);
                assert!(seen.len() < 100, "paging does not end");
                token = page.next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen.len(), 20);
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids);
        }
    }

    async fn patients_are_listed_in_order_of_creation(suite: &Suite) {
        let staff = suite.staff().await;
        let mut made = Vec::new();
        for _ in 0..10 {
            made.push(staff.create_patient(patient()).await.id);
        }
        let listed = List::Patients.page(&staff, 0, "", false).await.unwrap().into_inner();
        assert_eq!(listed.ids, made);
    }

    async fn ending_assignments_neither_skips_nor_repeats_active_ones(suite: &Suite) {
        let staff = suite.staff().await;
        let doctor = staff.create_doctor(doctor()).await.id;
        let mut made = Vec::new();
        for _ in 0..7 {
            suite.clock.advance(TimeDelta::milliseconds(2));
            let patient = staff.create_patient(patient()).await.id;
            made.push(staff.assign(&patient, &doctor).await.id);
        }
        let mut request = ListAssignmentsRequest {
            status: AssignmentStatus::Active.into(),
            page_size: 2,
            ..Default::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = staff.assignments().list_assignments(request.clone()).await.unwrap();
            let page = page.into_inner();
            seen.extend(page.assignments.into_iter().map(|assignment| assignment.id));
            assert!(seen.len() < 100, "paging does not end");
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            // The last one listed, and the last but one of all.
            for id in [&seen[seen.len() - 1], &made[5]] {
                let request = EndAssignmentRequest { id: id.clone(), ..Default::default() };
                staff.assignments().end_assignment(request).await.unwrap();
            }
        }
        made.remove(5);
        assert_eq!(seen, made);
    }
}
