//! ListPatientDoctors and ListDoctorPatients, which join assignments with records.

use chrono::TimeDelta;
use clinic_proto::assignment::v1::{
    AssignmentStatus, DoctorPatient, ListDoctorPatientsRequest, ListPatientDoctorsRequest,
    PatientDoctor,
};
use clinic_proto::records::v1::{
    DeleteDoctorRequest, DeletePatientRequest, Doctor, GetDoctorRequest, GetPatientRequest,
    Patient, PatientView, UndeletePatientRequest,
};
use clinic_testkit::{Account, Suite, doctor, failure, on_both, patient};
use tonic::{Code, Response, Status};

use super::{create_pair, end};

async fn doctors_of(
    by: &Account,
    patient_id: &str,
    status: AssignmentStatus,
) -> Result<Vec<PatientDoctor>, Status> {
    let request = ListPatientDoctorsRequest {
        patient_id: patient_id.into(),
        status: status.into(),
        include_total_size: true,
        ..Default::default()
    };
    let page = by.assignments().list_patient_doctors(request).await?.into_inner();
    assert_eq!(page.total_size, i64::try_from(page.doctors.len()).ok());
    Ok(page.doctors)
}

async fn patients_of(
    by: &Account,
    doctor_id: &str,
    status: AssignmentStatus,
) -> Result<Vec<DoctorPatient>, Status> {
    let request = ListDoctorPatientsRequest {
        doctor_id: doctor_id.into(),
        status: status.into(),
        include_total_size: true,
        ..Default::default()
    };
    let page = by.assignments().list_doctor_patients(request).await?.into_inner();
    assert_eq!(page.total_size, i64::try_from(page.patients.len()).ok());
    Ok(page.patients)
}

async fn get_doctor(by: &Account, id: &str) -> Doctor {
    let request = GetDoctorRequest { id: id.into() };
    by.doctors().get_doctor(request).await.unwrap().into_inner()
}

async fn get_patient(by: &Account, id: &str) -> Patient {
    let request = GetPatientRequest { id: id.into(), ..Default::default() };
    by.patients().get_patient(request).await.unwrap().into_inner()
}

const ANY: AssignmentStatus = AssignmentStatus::Unspecified;

on_both! {
    async fn list_patient_doctors_includes_the_doctors_records(suite: &Suite) {
        let (staff, ann) = (suite.staff().await, suite.patient().await);
        let admin = suite.admin().await;
        let (one, two) = (staff.create_doctor(doctor()).await, staff.create_doctor(doctor()).await);
        let first = admin.assign(&ann.profile_id, &one.id).await;
        suite.clock.advance(TimeDelta::milliseconds(2));
        let second = admin.assign(&ann.profile_id, &two.id).await;
        let expected = [(first, one), (second, two)]
            .map(|(made, doctor)| PatientDoctor { assignment: Some(made), doctor: Some(doctor) });
        assert_eq!(doctors_of(&ann, "me", ANY).await.unwrap(), expected);
        assert_eq!(doctors_of(&ann, &ann.profile_id, ANY).await.unwrap(), expected);
        assert_eq!(doctors_of(&admin, &ann.profile_id, ANY).await.unwrap(), expected);
    }

    async fn list_doctor_patients_returns_only_what_the_caller_may_see(suite: &Suite) {
        let (staff, house, ann) =
            (suite.staff().await, suite.verified_doctor().await, suite.patient().await);
        let admin = suite.admin().await;
        let pat = staff.create_patient(patient()).await;
        let mine = staff.assign(&pat.id, &house.profile_id).await;
        suite.clock.advance(TimeDelta::milliseconds(2));
        let theirs = admin.assign(&ann.profile_id, &house.profile_id).await;

        let expected = [DoctorPatient { assignment: Some(mine.clone()), patient: Some(pat) }];
        assert_eq!(patients_of(&staff, &house.profile_id, ANY).await.unwrap(), expected);
        let seen = patients_of(&house, "me", ANY).await.unwrap();
        assert_eq!(seen, patients_of(&house, &house.profile_id, ANY).await.unwrap());
        let assignments: Vec<_> = seen.iter().flat_map(|seen| seen.assignment.clone()).collect();
        assert_eq!(assignments, [mine, theirs]);
        for seen in seen {
            let patient = seen.patient.unwrap();
            assert_eq!(patient.view(), PatientView::Basic);
            assert_eq!(get_patient(&house, &patient.id).await, patient);
        }
        let all = patients_of(&admin, &house.profile_id, ANY).await.unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|seen| seen.patient.as_ref().unwrap().view() == PatientView::Full));
        // A caller who may see the doctor but none of the patients gets an empty list.
        assert!(
            patients_of(&suite.staff().await, &house.profile_id, ANY).await.unwrap().is_empty()
        );
    }

    async fn joined_lists_default_to_active_assignments(suite: &Suite) {
        use AssignmentStatus::{Active, Ended};

        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let first = staff.assign(&p, &d).await;
        let first = staff.assignments().end_assignment(end(&first.id)).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::milliseconds(2));
        let second = staff.assign(&p, &d).await;
        let second =
            staff.assignments().end_assignment(end(&second.id)).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::milliseconds(2));
        let third = staff.assign(&p, &d).await;
        let (pat, doc) = (get_patient(&staff, &p).await, get_doctor(&staff, &d).await);
        for (status, expected) in
            [(ANY, vec![&third]), (Active, vec![&third]), (Ended, vec![&first, &second])]
        {
            let doctors = expected.iter().map(|a| PatientDoctor {
                assignment: Some((*a).clone()),
                doctor: Some(doc.clone()),
            });
            assert_eq!(doctors_of(&staff, &p, status).await.unwrap(), doctors.collect::<Vec<_>>());
            let patients = expected.iter().map(|a| DoctorPatient {
                assignment: Some((*a).clone()),
                patient: Some(pat.clone()),
            });
            assert_eq!(
                patients_of(&staff, &d, status).await.unwrap(),
                patients.collect::<Vec<_>>()
            );
        }
    }

    async fn the_entry_of_a_deleted_doctor_has_no_record(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let request = DeleteDoctorRequest { id: d.clone(), ..Default::default() };
        staff.doctors().delete_doctor(request).await.unwrap();
        let entry = PatientDoctor { assignment: Some(made), doctor: None };
        assert_eq!(doctors_of(&staff, &p, ANY).await.unwrap(), [entry]);
        let gone = patients_of(&staff, &d, ANY).await.map(Response::new);
        assert_eq!(failure(gone).code, Code::NotFound);
    }

    async fn the_entry_of_a_deleted_patient_has_no_record(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let request = DeletePatientRequest { id: p.clone(), ..Default::default() };
        staff.patients().delete_patient(request).await.unwrap();
        let entry = DoctorPatient { assignment: Some(made.clone()), patient: None };
        assert_eq!(patients_of(&staff, &d, ANY).await.unwrap(), [entry]);
        let gone = doctors_of(&staff, &p, ANY).await.map(Response::new);
        assert_eq!(failure(gone).code, Code::NotFound);

        let request = UndeletePatientRequest { id: p, ..Default::default() };
        let back = staff.patients().undelete_patient(request).await.unwrap().into_inner();
        let entry = DoctorPatient { assignment: Some(made), patient: Some(back) };
        assert_eq!(patients_of(&staff, &d, ANY).await.unwrap(), [entry]);
    }

    async fn a_verified_doctor_sees_only_themselves_among_a_patients_doctors(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.verified_doctor().await);
        let [p, d] = create_pair(&staff).await;
        staff.assign(&p, &d).await;
        assert!(doctors_of(&house, &p, ANY).await.unwrap().is_empty());
        let mine = staff.assign(&p, &house.profile_id).await;
        let found = doctors_of(&house, &p, ANY).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].assignment.as_ref(), Some(&mine));
    }
}
