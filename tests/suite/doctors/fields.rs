//! Validation of the fields of doctors.

use clinic_proto::records::v1::{
    BatchGetDoctorsRequest, CreateDoctorRequest, DeleteDoctorRequest, Doctor, ListDoctorsRequest,
    UndeleteDoctorRequest, UpdateDoctorRequest, VerifyDoctorRequest,
};
use clinic_testkit::{Suite, doctor, failure, invalid_fields, on_both};

use super::{get, list, update};

fn create(doctor: Doctor) -> CreateDoctorRequest {
    CreateDoctorRequest { doctor: Some(doctor), ..Default::default() }
}

/// A field, and a function that makes it invalid.
type Bad = (&'static str, fn(&mut Doctor));

const BAD: [Bad; 27] = [
    ("first_name", |d| d.first_name.clear()),
    ("first_name", |d| d.first_name = "a".repeat(101)),
    ("first_name", |d| d.first_name = "Greg\tory".into()),
    ("last_name", |d| d.last_name = " ".into()),
    ("last_name", |d| d.last_name = "é".repeat(101)),
    ("last_name", |d| d.last_name = "Hou\0se".into()),
    ("specialization", |d| d.specialization.clear()),
    ("specialization", |d| d.specialization = "a".repeat(101)),
    ("specialization", |d| d.specialization = "Cardio\nlogy".into()),
    ("license_number", |d| d.license_number.clear()),
    ("license_number", |d| d.license_number = "a".repeat(51)),
    ("license_number", |d| d.license_number = "MD\u{7f}1".into()),
    ("qualifications", |d| d.qualifications = "a".repeat(1001)),
    ("qualifications", |d| d.qualifications = "M\u{1b}D".into()),
    ("qualifications", |d| d.qualifications = "MD\r\nPhD".into()),
    ("years_of_experience", |d| d.years_of_experience = -1),
    ("years_of_experience", |d| d.years_of_experience = 81),
    ("consultation_fee", |d| d.consultation_fee = "free".into()),
    ("consultation_fee", |d| d.consultation_fee = "-1".into()),
    ("consultation_fee", |d| d.consultation_fee = "1.234".into()),
    ("consultation_fee", |d| d.consultation_fee = "123456789".into()),
    ("consultation_fee", |d| d.consultation_fee = "1e3".into()),
    ("phone_number", |d| d.phone_number = "call me".into()),
    ("phone_number", |d| d.phone_number = "555".into()),
    ("email", |d| d.email = "nobody".into()),
    ("email", |d| d.email = format!("{}@example.com", "a".repeat(250))),
    ("email", |d| d.email = "a\0@example.com".into()),
];

on_both! {
    async fn all_invalid_fields_are_reported_together_and_nothing_is_written(suite: &Suite) {
        let staff = suite.staff().await;
        let bad = Doctor {
            etag: "e".repeat(65),
            user_id: "7".into(),
            first_name: "a".repeat(101),
            last_name: " ".into(),
            specialization: "Cardio\nlogy".into(),
            license_number: "a".repeat(51),
            qualifications: "M\u{1b}D".into(),
            years_of_experience: 81,
            consultation_fee: "free".into(),
            phone_number: "call me".into(),
            email: "nobody".into(),
            ..Default::default()
        };
        let named = [
            "doctor.etag",
            "doctor.user_id",
            "doctor.first_name",
            "doctor.last_name",
            "doctor.specialization",
            "doctor.license_number",
            "doctor.qualifications",
            "doctor.years_of_experience",
            "doctor.consultation_fee",
            "doctor.phone_number",
            "doctor.email",
        ];
        let request = CreateDoctorRequest { doctor: Some(bad.clone()), request_id: "7".into() };
        let response = staff.doctors().create_doctor(request).await;
        assert_eq!(invalid_fields(response), [&named[..], &["request_id"]].concat());
        assert!(list(&staff, ListDoctorsRequest::default()).await.is_empty());

        let made = staff.create_doctor(doctor()).await;
        let response = staff.doctors().update_doctor(update(&made.id, bad, &["*"])).await;
        assert_eq!(invalid_fields(response), named);
        assert_eq!(list(&staff, ListDoctorsRequest::default()).await, [made]);
    }

    async fn each_invalid_field_is_reported_by_create_and_by_update(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        for (field, spoil) in BAD {
            let mut bad = doctor();
            spoil(&mut bad);
            let response = staff.doctors().create_doctor(create(bad.clone())).await;
            assert_eq!(invalid_fields(response), [format!("doctor.{field}")]);
            let response = staff.doctors().update_doctor(update(&made.id, bad, &[field])).await;
            assert_eq!(invalid_fields(response), [format!("doctor.{field}")]);
        }
        assert_eq!(list(&staff, ListDoctorsRequest::default()).await, [made]);
    }

    async fn text_is_stored_unchanged_except_for_surrounding_whitespace(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff
            .create_doctor(Doctor {
                first_name: " Grégory <i> ".into(),
                specialization: " Cardiology & \"more\" ".into(),
                license_number: " Lic-7/x ".into(),
                qualifications: "\n MD,\n\tPhD \n".into(),
                years_of_experience: 80,
                consultation_fee: "99999999.9".into(),
                ..doctor()
            })
            .await;
        let read = staff.doctors().get_doctor(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, made);
        assert_eq!(read.first_name, "Grégory <i>");
        assert_eq!(read.specialization, "Cardiology & \"more\"");
        assert_eq!(read.license_number, "Lic-7/x");
        assert_eq!(read.qualifications, "MD,\n\tPhD");
        assert_eq!((read.years_of_experience, read.consultation_fee.as_str()), (80, "99999999.9"));
    }

    async fn a_doctor_is_available_by_default(suite: &Suite) {
        let staff = suite.staff().await;
        for (given, available) in [(None, true), (Some(true), true), (Some(false), false)] {
            let made = staff.create_doctor(Doctor { available: given, ..doctor() }).await;
            assert_eq!(made.available, Some(available));
        }
    }

    async fn only_auth_may_link_a_doctor_to_an_account(suite: &Suite) {
        let staff = suite.staff().await;
        let mine = Doctor { user_id: staff.user.id.clone(), ..doctor() };
        let response = staff.doctors().create_doctor(create(mine.clone())).await;
        assert_eq!(invalid_fields(response), ["doctor.user_id"]);
        let mut intake = suite.as_service("intake").doctors;
        for given in [doctor(), mine.clone()] {
            let refused = failure(intake.create_doctor(create(given)).await);
            assert_eq!(refused.reason, "ROLE_REQUIRED");
        }
        let mut auth = suite.as_service("auth").doctors;
        assert_eq!(invalid_fields(auth.create_doctor(create(doctor())).await), ["doctor.user_id"]);
        let again = CreateDoctorRequest { request_id: staff.user.id.clone(), ..create(mine) };
        let made = auth.create_doctor(again.clone()).await.unwrap().into_inner();
        assert_eq!((&made.owner_id, &made.user_id), (&String::new(), &staff.user.id));
        assert_eq!(auth.create_doctor(again).await.unwrap().into_inner(), made);
    }

    async fn missing_or_malformed_request_fields_are_reported(suite: &Suite) {
        let admin = suite.admin().await;
        let mut doctors = admin.doctors();
        assert_eq!(invalid_fields(doctors.create_doctor(CreateDoctorRequest::default()).await), ["doctor"]);
        for id in ["", "7", "ME"] {
            assert_eq!(invalid_fields(doctors.get_doctor(get(id)).await), ["id"]);
            let request = UpdateDoctorRequest { id: id.into(), ..Default::default() };
            assert_eq!(invalid_fields(doctors.update_doctor(request).await), ["id", "doctor"]);
        }
        let etag = "e".repeat(65);
        for id in ["", "7", "me"] {
            let request = DeleteDoctorRequest { id: id.into(), etag: etag.clone() };
            assert_eq!(invalid_fields(doctors.delete_doctor(request).await), ["id", "etag"]);
            let request = UndeleteDoctorRequest { id: id.into(), etag: etag.clone() };
            assert_eq!(invalid_fields(doctors.undelete_doctor(request).await), ["id", "etag"]);
            let request = VerifyDoctorRequest { id: id.into(), etag: etag.clone() };
            assert_eq!(invalid_fields(doctors.verify_doctor(request).await), ["id", "etag"]);
        }
        let ids = vec!["me".into(), admin.user.id.clone()];
        let request = BatchGetDoctorsRequest { ids, ..Default::default() };
        assert_eq!(invalid_fields(doctors.batch_get_doctors(request).await), ["ids[0]"]);
        let request = ListDoctorsRequest {
            page_size: -1,
            page_token: "t".repeat(2049),
            specialization: "a".repeat(101),
            query: "a\0".into(),
            ..Default::default()
        };
        assert_eq!(
            invalid_fields(doctors.list_doctors(request).await),
            ["page_size", "page_token", "specialization", "query"]
        );
    }
}
