//! Finding patients by the beginning of a name.

use chrono::TimeDelta;
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{Account, Suite, on_both};

use super::{delete, named, update};

/// `First Last` of all whom a query finds, page by page of this size; the total must agree.
async fn find(by: &Account, query: &str, page_size: i32) -> Vec<String> {
    let mut request = ListPatientsRequest {
        query: query.into(),
        page_size,
        include_total_size: true,
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = by.patients().list_patients(request.clone()).await.unwrap().into_inner();
        let names = page.patients.iter().map(|p| format!("{} {}", p.first_name, p.last_name));
        found.extend(names);
        assert!(found.len() < 100, "the pages end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            assert_eq!(page.total_size, i64::try_from(found.len()).ok(), "{query}");
            return found;
        }
    }
}

async fn a_clinic_with(suite: &Suite, names: &[(&str, &str)]) -> Account {
    let staff = suite.staff().await;
    for (first, last) in names {
        suite.clock.advance(TimeDelta::milliseconds(2));
        staff.create_patient(named(first, last)).await;
    }
    staff
}

on_both! {
    async fn a_name_is_found_by_its_beginning_whatever_the_case(suite: &Suite) {
        let names = [("Ann", "McDonald"), ("Bob", "MCALLEN"), ("Cid", "Amc"), ("mcleod", "Zed")];
        let staff = a_clinic_with(suite, &names).await;
        for query in ["mc", "MC", "Mc", " mC "] {
            let found = find(&staff, query, 50).await;
            assert_eq!(found, ["Bob MCALLEN", "Ann McDonald", "mcleod Zed"], "{query}");
        }
        assert_eq!(find(&staff, "mcd", 50).await, ["Ann McDonald"]);
        assert!(find(&staff, "donald", 50).await.is_empty());
        assert_eq!(find(&staff, "", 50).await.len(), 4);
    }

    async fn case_is_disregarded_in_every_script(suite: &Suite) {
        let names = [
            ("Émile", "Ångström"),
            ("Ιωάννης", "Παπαδόπουλος"),
            ("Лев", "Толстой"),
            ("Jürgen", "Groß"),
            ("李", "雷"),
            ("Ömer", "Çelik"),
        ];
        let staff = a_clinic_with(suite, &names).await;
        for (query, name) in [
            ("ÉMILE", "Émile Ångström"),
            ("ångs", "Émile Ångström"),
            ("ÅNGSTRÖM", "Émile Ångström"),
            ("ΙΩΆ", "Ιωάννης Παπαδόπουλος"),
            ("ΠΑΠΑΔΌΠΟΥΛΟΣ", "Ιωάννης Παπαδόπουλος"),
            ("παπαδόπουλος", "Ιωάννης Παπαδόπουλος"),
            ("ТОЛ", "Лев Толстой"),
            ("лев", "Лев Толстой"),
            ("gross", "Jürgen Groß"),
            ("GROSS", "Jürgen Groß"),
            ("groß", "Jürgen Groß"),
            ("雷", "李 雷"),
            ("ÖM", "Ömer Çelik"),
            ("çe", "Ömer Çelik"),
        ] {
            assert_eq!(find(&staff, query, 50).await, [name], "{query}");
        }
    }

    async fn wildcards_are_letters_like_any_other(suite: &Suite) {
        let names =
            [("100%", "Sure"), ("A_B", "Under"), ("AXB", "Wild"), ("C\\D", "Slash"), ("*", "Star")];
        let staff = a_clinic_with(suite, &names).await;
        for (query, found) in [
            ("%", vec![]),
            ("_", vec![]),
            ("100%", vec!["100% Sure"]),
            ("a_", vec!["A_B Under"]),
            ("a%", vec![]),
            ("c\\", vec!["C\\D Slash"]),
            ("*", vec!["* Star"]),
            ("?", vec![]),
            ("'", vec![]),
            ("' OR 1=1 --", vec![]),
        ] {
            assert_eq!(find(&staff, query, 50).await, found, "{query}");
        }
    }

    async fn last_names_come_before_first_names_on_pages_of_every_size(suite: &Suite) {
        let names = [
            ("Sam", "Young"),
            ("Zoe", "Samson"),
            ("Samuel", "Sample"),
            ("Samira", "Abel"),
            ("Ann", "Sample"),
            ("sam", "Xi"),
            ("Bo", "Other"),
        ];
        let staff = a_clinic_with(suite, &names).await;
        let expected =
            ["Samuel Sample", "Ann Sample", "Zoe Samson", "Sam Young", "sam Xi", "Samira Abel"];
        for size in [1, 2, 3, 4, 5, 6, 50] {
            assert_eq!(find(&staff, "sam", size).await, expected, "pages of {size}");
        }
    }

    async fn a_query_finds_only_whom_the_caller_may_see(suite: &Suite) {
        let staff = a_clinic_with(suite, &[("Ann", "Same"), ("Bob", "Same")]).await;
        let other = a_clinic_with(suite, &[("Cid", "Same")]).await;
        assert_eq!(find(&staff, "same", 1).await, ["Ann Same", "Bob Same"]);
        assert_eq!(find(&other, "same", 1).await, ["Cid Same"]);
        assert_eq!(find(&suite.admin().await, "same", 1).await.len(), 3);
        assert_eq!(find(&suite.verified_doctor().await, "same", 2).await.len(), 3);
        assert!(find(&suite.unverified_doctor().await, "same", 2).await.is_empty());
        assert!(find(&suite.patient().await, "same", 2).await.is_empty());
    }

    async fn a_changed_name_is_found_and_the_old_one_is_not(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(named("Ann", "Maiden")).await;
        let request = update(&made.id, named("", "Wedded"), &["last_name"]);
        staff.patients().update_patient(request).await.unwrap();
        assert_eq!(find(&staff, "wed", 50).await, ["Ann Wedded"]);
        assert!(find(&staff, "maid", 50).await.is_empty());
        staff.patients().delete_patient(delete(&made.id)).await.unwrap();
        assert!(find(&staff, "wed", 50).await.is_empty());
    }
}
