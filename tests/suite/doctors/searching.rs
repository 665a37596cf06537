//! Finding doctors by specialization, availability and name.

use chrono::TimeDelta;
use clinic_proto::records::v1::{Doctor, ListDoctorsRequest};
use clinic_testkit::{Account, Suite, doctor, on_both};

use super::delete;

/// Returns the first names on all pages of a request. Asserts the total.
async fn find(by: &Account, request: &ListDoctorsRequest, page_size: i32) -> Vec<String> {
    let mut request = ListDoctorsRequest { page_size, include_total_size: true, ..request.clone() };
    let mut found = Vec::new();
    loop {
        let page = by.doctors().list_doctors(request.clone()).await.unwrap().into_inner();
        found.extend(page.doctors.into_iter().map(|doctor| doctor.first_name));
        assert!(found.len() < 100, "paging does not end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            assert_eq!(page.total_size, i64::try_from(found.len()).ok(), "{request:?}");
            return found;
        }
    }
}

/// Creates four doctors, in the order below. Returns their owner.
async fn owner_of_four_doctors(suite: &Suite) -> Account {
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
    async fn filters_apply_alone_and_combined_with_a_query(suite: &Suite) {
        owner_of_four_doctors(suite).await;
        // Every caller sees all doctors.
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

    async fn sql_wildcards_in_a_query_match_literally(suite: &Suite) {
        let staff = owner_of_four_doctors(suite).await;
        staff
            .create_doctor(Doctor { first_name: "E_E".into(), last_name: "50%".into(), ..doctor() })
            .await;
        for (query, found) in [("%", 0), ("_", 0), ("l_e", 0), ("e_", 1), ("50%", 1)] {
            let request = ListDoctorsRequest { query: query.into(), ..Default::default() };
            assert_eq!(find(&staff, &request, 50).await.len(), found, "{query}");
        }
    }

    async fn show_deleted_includes_doctors_that_the_caller_may_undelete(suite: &Suite) {
        let (staff, other) = (owner_of_four_doctors(suite).await, suite.staff().await);
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
