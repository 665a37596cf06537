//! Finding doctors by what they practise, whether they take patients, and their names.

use chrono::TimeDelta;
use clinic_proto::records::v1::{Doctor, ListDoctorsRequest};
use clinic_testkit::{Account, Suite, doctor, on_both};

use super::delete;

/// The first names of all that a request finds, page by page of this size; the total must agree.
async fn find(by: &Account, request: &ListDoctorsRequest, page_size: i32) -> Vec<String> {
    let mut request = ListDoctorsRequest { page_size, include_total_size: true, ..request.clone() };
    let mut found = Vec::new();
    loop {
        let page = by.doctors().list_doctors(request.clone()).await.unwrap().into_inner();
        found.extend(page.doctors.into_iter().map(|doctor| doctor.first_name));
        assert!(found.len() < 100, "the pages end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            assert_eq!(page.total_size, i64::try_from(found.len()).ok(), "{request:?}");
            return found;
        }
    }
}

/// Four doctors, in the order in which they were made.
async fn a_clinic(suite: &Suite) -> Account {
    let staff = suite.staff().await;
    for (first_name, last_name, specialization, available) in [
        ("Ann", "Lee", "Cardiology", true),
        ("Lea", "Bell", "cardiology", false),
        ("Cid", "LEEDS", "Neurology", true),
        ("Dan", "Lee", "Chirurgie générale", true),
    ] {
        suite.clock.advance(TimeDelta::milliseconds(2));
        staff
            .create_doctor(Doctor {
                first_name: first_name.into(),
                last_name: last_name.into(),
                specialization: specialization.into(),
                available: Some(available),
                ..doctor()
            })
            .await;
    }
    staff
}

on_both! {
    async fn filters_apply_alone_and_combined_with_the_query(suite: &Suite) {
        a_clinic(suite).await;
        // Everybody sees all doctors.
        let patient = suite.patient().await;
        let request = |specialization: &str, available, query: &str| ListDoctorsRequest {
            specialization: specialization.into(),
            available,
            query: query.into(),
            ..Default::default()
        };
        let cases: [(_, &[&str]); 16] = [
            (request("", None, ""), &["Ann", "Lea", "Cid", "Dan"]),
            (request("Cardiology", None, ""), &["Ann", "Lea"]),
            (request(" CARDIOLOGY ", None, ""), &["Ann", "Lea"]),
            (request("chirurgie GÉNÉRALE", None, ""), &["Dan"]),
            (request("Cardio", None, ""), &[]),
            (request("%", None, ""), &[]),
            (request("", Some(true), ""), &["Ann", "Cid", "Dan"]),
            (request("", Some(false), ""), &["Lea"]),
            (request("cardiology", Some(true), ""), &["Ann"]),
            (request("neurology", Some(false), ""), &[]),
            (request("", None, "lE"), &["Ann", "Dan", "Cid", "Lea"]),
            (request("", None, "lee"), &["Ann", "Dan", "Cid"]),
            (request("", Some(true), "le"), &["Ann", "Dan", "Cid"]),
            (request("cardiology", None, "le"), &["Ann", "Lea"]),
            (request("cardiology", Some(false), "le"), &["Lea"]),
            (request("cardiology", Some(false), "lee"), &[]),
        ];
        for (request, expected) in cases {
            for page_size in [1, 2, 50] {
                let found = find(&patient, &request, page_size).await;
                assert_eq!(
                    found, expected,
                    "{request:?}, {} in pages of {page_size}",
                    request.query
                );
            }
        }
    }

    async fn wildcards_are_letters_like_any_other(suite: &Suite) {
        let staff = a_clinic(suite).await;
        staff
            .create_doctor(Doctor { first_name: "E_E".into(), last_name: "50%".into(), ..doctor() })
            .await;
        for (query, found) in [("%", 0), ("_", 0), ("l_e", 0), ("e_", 1), ("50%", 1)] {
            let request = ListDoctorsRequest { query: query.into(), ..Default::default() };
            assert_eq!(find(&staff, &request, 50).await.len(), found, "{query}");
        }
    }

    async fn deleted_doctors_are_shown_on_demand_to_who_may_undelete_them(suite: &Suite) {
        let (staff, other) = (a_clinic(suite).await, suite.staff().await);
        let gone = other.create_doctor(Doctor { first_name: "Gone".into(), ..doctor() }).await;
        other.doctors().delete_doctor(delete(&gone.id)).await.unwrap();
        let deleted_too = ListDoctorsRequest { show_deleted: true, ..Default::default() };
        let all = ["Ann", "Lea", "Cid", "Dan", "Gone"];
        for account in [&other, &suite.admin().await] {
            assert_eq!(find(account, &deleted_too, 2).await, all);
            assert_eq!(find(account, &ListDoctorsRequest::default(), 2).await, &all[..4]);
            let by_name = ListDoctorsRequest { query: "go".into(), ..deleted_too.clone() };
            assert_eq!(find(account, &by_name, 2).await, ["Gone"]);
        }
        for account in [&staff, &suite.patient().await] {
            assert_eq!(find(account, &deleted_too, 2).await, &all[..4]);
        }
    }
}
