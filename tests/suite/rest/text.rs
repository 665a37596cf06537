//! Text is returned byte for byte, and fields that a view hides are absent.

use clinic_proto::records::v1::GetPatientRequest;
use clinic_testkit::{Backend, run};
use serde_json::json;

use super::client::JSON;
use super::{Rest, patient};

const TEXTS: [&str; 9] = [
    "BP <120 & >80",
    "\"quotes\", 'quotes' and \\backslashes\\ \\u0041 \\n",
    "line\nline\n\nline",
    "👩🏽‍⚕️ 🇩🇪 é e\u{301} ß 漢字 \u{1F9EC}",
    "شكوى المريض \u{5d0}",
    "</script><script>alert(1)</script>",
    "100% {\"a\": [1]} /* x */ //",
    "a\u{2028}b\u{2029}c\u{a0}d",
    "'; DROP TABLE patients; --",
];

#[tokio::test(flavor = "multi_thread")]
async fn text_is_returned_byte_for_byte() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let staff = Rest::of(suite, &account);
        for text in TEXTS {
            let mut sent = patient();
            sent["medical_history"] = text.into();
            // As UTF-8, and with all non-ASCII characters escaped.
            let plain = sent.to_string();
            let escaped: String = plain.chars().map(escape).collect();
            for body in [plain, escaped] {
                let made =
                    staff.send("POST", "/api/patients/", &[JSON], body.as_bytes()).await.ok();
                assert_eq!(made.json["medical_history"], *text);
                let read = staff.get(&format!("/api/patients/{}/", made.id())).await.ok();
                assert_eq!(read.json["medical_history"], *text);
                let request = GetPatientRequest { id: made.id().to_owned(), ..Default::default() };
                let stored = account.patients().get_patient(request).await.unwrap().into_inner();
                assert_eq!(stored.medical_history, text);
            }
        }
        // Responses do not escape more than JSON requires.
        let made = staff.post("/api/patients/", &patient()).await.ok();
        assert!(made.text().contains(r#""medical_history":"BP <120 & \"fine\"""#), "{made:?}");
    })
    .await;
}

fn escape(letter: char) -> String {
    match letter.is_ascii() {
        true => letter.to_string(),
        false => {
            letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_basic_view_omits_hidden_fields() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let made = staff.post("/api/patients/", &patient()).await.ok();
        let doctor = Rest::of(suite, &suite.verified_doctor().await);
        let path = format!("/api/patients/{}/", made.id());
        let basic = json!({
            "id": made.id(),
            "first_name": "Ada",
            "last_name": "Lovelace",
            "date_of_birth": "1985-05-15",
            "gender": "F",
            "view": "PATIENT_VIEW_BASIC",
        });
        assert_eq!(doctor.get(&path).await.ok().json, basic);
        let list = doctor.get("/api/patients/").await.ok();
        assert_eq!(list.json, json!({ "patients": [basic] }));
        assert_eq!(list.header("etag"), None);
        // Callers who may see more can request the basic view.
        let less = staff.get(&format!("{path}?view=PATIENT_VIEW_BASIC")).await.ok();
        assert_eq!(less.json, basic);
    })
    .await;
}
