//! Validation of the fields of patients.

use chrono::TimeDelta;
use clinic_proto::records::v1::{
    BatchGetPatientsRequest, CreatePatientRequest, DeletePatientRequest, ListPatientsRequest,
    Patient, UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_testkit::{Suite, failure, invalid_fields, on_both, patient};
use tonic::Code;

use super::{get, list, named, update};

fn create(patient: Patient) -> CreatePatientRequest {
    CreatePatientRequest { patient: Some(patient), ..Default::default() }
}

/// A field, and a function that makes it invalid.
type Bad = (&'static str, fn(&mut Patient));

const BAD: [Bad; 28] = [
    ("first_name", |p| p.first_name.clear()),
    ("first_name", |p| p.first_name = "  ".into()),
    ("first_name", |p| p.first_name = "a".repeat(101)),
    ("first_name", |p| p.first_name = "A\nda".into()),
    ("first_name", |p| p.first_name = "\u{1b}[31mAda".into()),
    ("last_name", |p| p.last_name.clear()),
    ("last_name", |p| p.last_name = "é".repeat(101)),
    ("last_name", |p| p.last_name = "Love\0lace".into()),
    ("last_name", |p| p.last_name = "Love\u{85}lace".into()),
    ("date_of_birth", |p| p.date_of_birth = "2999-01-01".into()),
    ("date_of_birth", |p| p.date_of_birth = "1800-01-01".into()),
    ("date_of_birth", |p| p.date_of_birth = "2001-02-29".into()),
    ("date_of_birth", |p| p.date_of_birth = "15.05.1985".into()),
    ("date_of_birth", |p| p.date_of_birth = "1985-5-15".into()),
    ("gender", |p| p.gender = "X".into()),
    ("gender", |p| p.gender = "f".into()),
    ("phone_number", |p| p.phone_number = "call me".into()),
    ("phone_number", |p| p.phone_number = "5".repeat(21)),
    ("phone_number", |p| p.phone_number = "555\u{0}123".into()),
    ("email", |p| p.email = "nobody".into()),
    ("email", |p| p.email = format!("{}@example.com", "a".repeat(250))),
    ("email", |p| p.email = "a\n@example.com".into()),
    ("address", |p| p.address = "a".repeat(501)),
    ("address", |p| p.address = "Oak\u{8}St".into()),
    ("address", |p| p.address = "Oak St\r\nCity".into()),
    ("medical_history", |p| p.medical_history = "BP\r".into()),
    ("medical_history", |p| p.medical_history = "a".repeat(20_001)),
    ("medical_history", |p| p.medical_history = "BP\0".into()),
];

on_both! {
    async fn all_invalid_fields_are_reported_together_and_nothing_is_written(suite: &Suite) {
        let staff = suite.staff().await;
        let bad = Patient {
            etag: "e".repeat(65),
            user_id: "7".into(),
            first_name: "a".repeat(101),
            last_name: " ".into(),
            date_of_birth: "2999-01-01".into(),
            gender: "X".into(),
            phone_number: "call me".into(),
            email: "nobody".into(),
            address: "Oak\u{8}St".into(),
            medical_history: "a".repeat(20_001),
            ..Default::default()
        };
        let all = [
            "patient.etag",
            "patient.user_id",
            "patient.first_name",
            "patient.last_name",
            "patient.date_of_birth",
            "patient.gender",
            "patient.phone_number",
            "patient.email",
            "patient.address",
            "patient.medical_history",
        ];
        let request = CreatePatientRequest { patient: Some(bad.clone()), request_id: "7".into() };
        let response = staff.patients().create_patient(request).await;
        assert_eq!(invalid_fields(response), [&all[..], &["request_id"]].concat());
        assert!(list(&staff, ListPatientsRequest::default()).await.is_empty());

        let made = staff.create_patient(patient()).await;
        let response = staff.patients().update_patient(update(&made.id, bad, &["*"])).await;
        assert_eq!(invalid_fields(response), all);
        assert_eq!(list(&staff, ListPatientsRequest::default()).await, [made]);
    }

    async fn each_invalid_field_is_reported_by_create_and_by_update(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        for (field, spoil) in BAD {
            let mut bad = patient();
            spoil(&mut bad);
            let response = staff.patients().create_patient(create(bad.clone())).await;
            assert_eq!(invalid_fields(response), [format!("patient.{field}")]);
            let response = staff.patients().update_patient(update(&made.id, bad, &[field])).await;
            assert_eq!(invalid_fields(response), [format!("patient.{field}")]);
        }
        assert_eq!(list(&staff, ListPatientsRequest::default()).await, [made]);
    }

    async fn texts_of_the_maximum_length_are_stored_unchanged(suite: &Suite) {
        let staff = suite.staff().await;
        let given = Patient {
            first_name: "é".repeat(100),
            last_name: "山".repeat(100),
            phone_number: format!("+{}", "5".repeat(20)),
            address: "\u{1F3E0}".repeat(500),
            medical_history: "\u{1F9EC}".repeat(20_000),
            ..patient()
        };
        let made = staff.create_patient(given.clone()).await;
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, made);
        assert_eq!(
            (read.first_name, read.last_name, read.phone_number),
            (given.first_name, given.last_name, given.phone_number)
        );
        assert_eq!((read.address, read.medical_history), (given.address, given.medical_history));
    }

    async fn text_is_stored_unchanged_except_for_surrounding_whitespace(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff
            .create_patient(Patient {
                first_name: "  Zoë <b>'; DROP TABLE patients; --  ".into(),
                last_name: " O'Neil & \"Sons\" ".into(),
                address: "\n 1 Main St\n\tRear \n".into(),
                medical_history: "  BP <120\n\n%_\\ 100 µg &amp; \u{202e}ok\t".into(),
                ..patient()
            })
            .await;
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read.first_name, "Zoë <b>'; DROP TABLE patients; --");
        assert_eq!(read.last_name, "O'Neil & \"Sons\"");
        assert_eq!(read.address, "1 Main St\n\tRear");
        assert_eq!(read.medical_history, "BP <120\n\n%_\\ 100 µg &amp; \u{202e}ok");
        let change = Patient { address: " 2 Main St ".into(), ..Default::default() };
        let read = staff.patients().update_patient(update(&made.id, change, &[])).await.unwrap();
        assert_eq!(read.into_inner().address, "2 Main St");
    }

    async fn only_first_name_and_last_name_are_required(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(named("Ann", "Lee")).await;
        let rest = Patient {
            first_name: String::new(),
            last_name: String::new(),
            id: String::new(),
            etag: String::new(),
            owner_id: String::new(),
            created_at: None,
            updated_at: None,
            view: 0,
            ..made
        };
        assert_eq!(rest, Patient::default());
    }

    async fn a_date_of_birth_must_be_in_the_last_150_years(suite: &Suite) {
        let staff = suite.staff().await;
        let day = |days| (suite.clock.now() + TimeDelta::days(days)).date_naive().to_string();
        let born = |day: String| create(Patient { date_of_birth: day, ..patient() });
        staff.patients().create_patient(born(day(0))).await.unwrap();
        staff.patients().create_patient(born(day(-149 * 366))).await.unwrap();
        // Two days ahead, because tomorrow may begin before the check.
        let response = staff.patients().create_patient(born(day(2))).await;
        assert_eq!(invalid_fields(response), ["patient.date_of_birth"]);
        let response = staff.patients().create_patient(born(day(-151 * 366))).await;
        assert_eq!(invalid_fields(response), ["patient.date_of_birth"]);
    }

    async fn only_auth_may_link_a_patient_to_an_account(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let mine = Patient { user_id: staff.user.id.clone(), ..patient() };
        for account in [&staff, &admin] {
            let response = account.patients().create_patient(create(mine.clone())).await;
            assert_eq!(invalid_fields(response), ["patient.user_id"]);
        }
        let mut intake = suite.as_service("intake").patients;
        for given in [patient(), mine.clone()] {
            let refused = failure(intake.create_patient(create(given)).await);
            assert_eq!(refused.reason, "ROLE_REQUIRED");
        }
        let mut auth = suite.as_service("auth").patients;
        assert_eq!(invalid_fields(auth.create_patient(create(patient())).await), ["patient.user_id"]);
        let again =
            CreatePatientRequest { request_id: staff.user.id.clone(), ..create(mine.clone()) };
        let made = auth.create_patient(again.clone()).await.unwrap().into_inner();
        assert_eq!((&made.owner_id, &made.user_id), (&String::new(), &staff.user.id));
        assert_eq!(auth.create_patient(again).await.unwrap().into_inner(), made);
        // An account has one record.
        let second = failure(auth.create_patient(create(mine)).await);
        assert_eq!((second.code, second.reason.as_str()), (Code::AlreadyExists, "ALREADY_EXISTS"));
    }

    async fn missing_or_malformed_request_fields_are_reported(suite: &Suite) {
        let staff = suite.staff().await;
        let mut patients = staff.patients();
        assert_eq!(
            invalid_fields(patients.create_patient(CreatePatientRequest::default()).await),
            ["patient"]
        );
        for id in ["", "7", "ME", "01890a5dac96774bbcceb302099a8057----"] {
            assert_eq!(invalid_fields(patients.get_patient(get(id)).await), ["id"]);
            let request = UpdatePatientRequest { id: id.into(), ..Default::default() };
            assert_eq!(invalid_fields(patients.update_patient(request).await), ["id", "patient"]);
        }
        let etag = "e".repeat(65);
        for id in ["", "7", "me"] {
            let request = DeletePatientRequest { id: id.into(), etag: etag.clone() };
            assert_eq!(invalid_fields(patients.delete_patient(request).await), ["id", "etag"]);
            let request = UndeletePatientRequest { id: id.into(), etag: etag.clone() };
            assert_eq!(invalid_fields(patients.undelete_patient(request).await), ["id", "etag"]);
        }
        let ids = vec!["me".into(), staff.user.id.clone(), "7".into()];
        let request = BatchGetPatientsRequest { ids, view: 9, ..Default::default() };
        assert_eq!(
            invalid_fields(patients.batch_get_patients(request).await),
            ["ids[0]", "ids[2]", "view"]
        );
        let request = ListPatientsRequest {
            page_size: 501,
            page_token: "t".repeat(2049),
            query: "a\0".into(),
            view: 9,
            ..Default::default()
        };
        assert_eq!(
            invalid_fields(patients.list_patients(request).await),
            ["page_size", "page_token", "query", "view"]
        );
    }
}
