//! Pages with much text: gRPC clients accept at most 4 MiB.

use clinic_proto::records::v1::Patient;

use super::*;

/// More histories of full length than fit into a response.
const MANY: usize = 45;

fn long() -> Patient {
    Patient { medical_history: "🩺".repeat(20_000), ..patient() }
}

/// Returns the ids on all pages, and the number of pages.
async fn pages(list: &List, by: &Account) -> (Vec<String>, usize) {
    let (mut ids, mut token) = (Vec::new(), String::new());
    for count in 1..=MANY {
        let page = list.page(by, 500, &token, true).await.unwrap().into_inner();
        assert_eq!(page.total, Some(i64::try_from(MANY).unwrap()));
        assert!(!page.ids.is_empty());
        ids.extend(page.ids);
        token = page.next;
        if token.is_empty() {
            return (ids, count);
        }
    }
    panic!("paging does not end");
}

on_both! {
    async fn a_page_ends_before_its_response_gets_too_large(suite: &Suite) {
        let staff = suite.staff().await;
        let doctor = staff.create_doctor(doctor()).await;
        let (mut patients, mut assignments) = (Vec::new(), Vec::new());
        for _ in 0..MANY {
            let patient = staff.create_patient(long()).await.id;
            assignments.push(staff.assign(&patient, &doctor.id).await.id);
            patients.push(patient);
        }
        assert_eq!(pages(&List::Patients, &staff).await, (patients.clone(), 2));
        let (mut by_name, count) = pages(&List::PatientsByName, &staff).await;
        by_name.sort();
        assert_eq!((by_name, count), (patients, 2));
        assert_eq!(pages(&List::PatientsOf(doctor.id), &staff).await, (assignments, 2));
    }
}
