//! Finding patients by the prefix of a name.

use chrono::TimeDelta;
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{Account, Suite, on_both};

use super::{delete, named, update};

/// Returns the names on all pages of a query. Asserts the total.
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
        assert!(found.len() < 100, "paging does not end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            assert_eq!(page.total_size, i64::try_from(found.len()).ok(), "{query}");
            return found;
        }
    }
}

async fn owner_of_patients(suite: &Suite, names: &[(&str, &str)]) -> Account {
    let staff = suite.staff().await;
    for (first, last) in names {
        suite.clock.advance(TimeDelta::milliseconds(2));
        staff.create_patient(named(first, last)).await;
    }
    staff
}

on_both! {
    async fn a_query_finds_prefixes_of_names_and_ignores_case(suite: &Suite) {
        let names = [("Ann", "McDonald"), ("Bob", "MCALLEN"), ("Cid", "Amc"), ("mcleod", "Zed")];
        let staff = owner_of_patients(suite, &names).await;
        for query in ["mc", "MC", "Mc", " mC "] {
            let found = find(&staff, query, 50).await;
            assert_eq!(found, ["Bob MCALLEN", "Ann McDonald", "mcleod Zed"], "{query}");
        }
        assert_eq!(find(&staff, "mcd", 50).await, ["Ann McDonald"]);
        assert!(find(&staff, "donald", 50).await.is_empty());
        assert_eq!(find(&staff, "", 50).await.len(), 4);
    }

    async fn a_query_ignores_case_in_every_script(suite: &Suite) {
        let names = [
            ("Émile", "Ångström"),
            ("Ιωάννης", "Παπαδόπουλος"),
            ("Лев", "Толстой"),
            ("Jürgen", "Groß"),
            ("李", "雷"),
            ("Ömer", "Çelik"),
        ];
        let staff = owner_of_patients(suite, &names).await;
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

    async fn sql_wildcards_in_a_query_match_literally(suite: &Suite) {
        let names =
            [("100%", "Sure"), ("A_B", "Under"), ("AXB", "Wild"), ("C\\D", "Slash"), ("*", "Star")];
        let staff = owner_of_patients(suite, &names).await;
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

    async fn matches_of_last_names_come_before_matches_of_first_names(suite: &Suite) {
        let names = [
            ("Sam", "Young"),
            ("Zoe", "Samson"),
            ("Samuel", "Sample"),
            ("Samira", "Abel"),
            ("Ann", "Sample"),
            ("sam", "Xi"),
            ("Bo", "Other"),
        ];
        let staff = owner_of_patients(suite, &names).await;
        let expected =
            ["Samuel Sample", "Ann Sample", "Zoe Samson", "Sam Young", "sam Xi", "Samira Abel"];
        for size in [1, 2, 3, 4, 5, 6, 50] {
            assert_eq!(find(&staff, "sam", size).await, expected, "pages of {size}");
        }
    }

    async fn a_query_finds_only_patients_that_the_caller_may_see(suite: &Suite) {
        let staff = owner_of_patients(suite, &[("Ann", "Same"), ("Bob", "Same")]).await;
        let other = owner_of_patients(suite, &[("Cid", "Same")]).await;
        assert_eq!(find(&staff, "same", 1).await, ["Ann Same", "Bob Same"]);
        assert_eq!(find(&other, "same", 1).await, ["Cid Same"]);
        assert_eq!(find(&suite.admin().await, "same", 1).await.len(), 3);
        assert_eq!(find(&suite.verified_doctor().await, "same", 2).await.len(), 3);
        assert!(find(&suite.unverified_doctor().await, "same", 2).await.is_empty());
        assert!(find(&suite.patient().await, "same", 2).await.is_empty());
    }

    async fn after_a_rename_a_query_finds_only_the_new_name(suite: &Suite) {
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
