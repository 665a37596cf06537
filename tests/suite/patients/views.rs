//! Which patients each caller sees, and in which view.

use clinic_proto::records::v1::{
    BatchGetPatientsRequest, DeleteDoctorRequest, GetPatientRequest, ListPatientsRequest, Patient,
    PatientView,
};
use clinic_testkit::{Account, Suite, failure, on_both, patient};
use tonic::Code;

use super::{get, list};

fn in_view(id: &str, view: PatientView) -> GetPatientRequest {
    GetPatientRequest { id: id.into(), view: view.into() }
}

fn basic(made: &Patient) -> Patient {
    Patient {
        id: made.id.clone(),
        first_name: made.first_name.clone(),
        last_name: made.last_name.clone(),
        date_of_birth: made.date_of_birth.clone(),
        gender: made.gender.clone(),
        view: PatientView::Basic.into(),
        ..Default::default()
    }
}

/// Reads a patient by Get, by BatchGet, from the list, and from a search.
async fn read_every_way(by: &Account, id: &str, view: PatientView) -> [Patient; 4] {
    let got = by.patients().get_patient(in_view(id, view)).await.unwrap().into_inner();
    let ids = vec![id.to_owned()];
    let request = BatchGetPatientsRequest { ids, view: view.into(), ..Default::default() };
    let batch = by.patients().batch_get_patients(request).await.unwrap().into_inner().patients;
    let request = ListPatientsRequest { view: view.into(), ..Default::default() };
    let listed = list(by, request.clone()).await;
    let found = list(by, ListPatientsRequest { query: "Love".into(), ..request }).await;
    let [batch, listed, found] = [batch, listed, found]
        .map(|patients| patients.into_iter().find(|patient| patient.id == id).expect("not read"));
    [got, batch, listed, found]
}

const ALL: [PatientView; 3] = [PatientView::Unspecified, PatientView::Basic, PatientView::Full];

on_both! {
    async fn owners_and_administrators_choose_the_view(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        for account in [&staff, &suite.admin().await] {
            for view in ALL {
                let expected = if view == PatientView::Basic { basic(&made) } else { made.clone() };
                for read in read_every_way(account, &made.id, view).await {
                    assert_eq!(read, expected);
                }
            }
        }
    }

    async fn a_verified_doctor_sees_every_patient_but_only_the_basic_view(suite: &Suite) {
        let (staff, doctor) = (suite.staff().await, suite.verified_doctor().await);
        let made = staff.create_patient(patient()).await;
        staff.assign(&made.id, &doctor.profile_id).await;
        for view in ALL {
            for read in read_every_way(&doctor, &made.id, view).await {
                assert_eq!(read, basic(&made));
            }
        }
    }

    async fn an_unverified_doctor_sees_no_patient(suite: &Suite) {
        let (staff, doctor) = (suite.staff().await, suite.unverified_doctor().await);
        let made = staff.create_patient(patient()).await;
        let response = doctor.patients().get_patient(get(&made.id)).await;
        assert_eq!(failure(response).code, Code::NotFound);
        let ids = vec![made.id];
        let mut request = BatchGetPatientsRequest { ids, ..Default::default() };
        let response = doctor.patients().batch_get_patients(request.clone()).await;
        assert_eq!(failure(response).code, Code::NotFound);
        request.allow_missing = true;
        let batch = doctor.patients().batch_get_patients(request).await.unwrap().into_inner();
        assert!(batch.patients.is_empty());
        let request = ListPatientsRequest { include_total_size: true, ..Default::default() };
        let page = doctor.patients().list_patients(request).await.unwrap().into_inner();
        assert_eq!((page.patients.len(), page.total_size), (0, Some(0)));
    }

    async fn a_doctor_whose_profile_is_deleted_sees_no_patient(suite: &Suite) {
        let (staff, doctor) = (suite.staff().await, suite.verified_doctor().await);
        let made = staff.create_patient(patient()).await;
        doctor.patients().get_patient(get(&made.id)).await.unwrap();
        let request = DeleteDoctorRequest { id: doctor.profile_id.clone(), ..Default::default() };
        suite.admin().await.doctors().delete_doctor(request).await.unwrap();
        let response = doctor.patients().get_patient(get(&made.id)).await;
        assert_eq!(failure(response).code, Code::NotFound);
        assert!(list(&doctor, ListPatientsRequest::default()).await.is_empty());
    }

    async fn a_patient_sees_only_their_own_record_and_in_full(suite: &Suite) {
        let (ann, bob) = (suite.patient().await, suite.patient().await);
        let mine = ann.patients().get_patient(get("me")).await.unwrap().into_inner();
        assert_eq!((mine.view(), mine.user_id.as_str()), (PatientView::Full, ann.user.id.as_str()));
        assert_eq!(mine.medical_history, patient().medical_history);
        let by_id = ann.patients().get_patient(get(&ann.profile_id)).await.unwrap().into_inner();
        assert_eq!(by_id, mine);
        let less = ann.patients().get_patient(in_view("me", PatientView::Basic)).await.unwrap();
        assert_eq!(less.into_inner(), basic(&mine));
        assert_eq!(list(&ann, ListPatientsRequest::default()).await, [mine]);
        let response = ann.patients().get_patient(get(&bob.profile_id)).await;
        assert_eq!(failure(response).code, Code::NotFound);
    }

    async fn staff_and_patients_list_only_their_own_patients(suite: &Suite) {
        let (one, two, ann) = (suite.staff().await, suite.staff().await, suite.patient().await);
        let (first, second) =
            (one.create_patient(patient()).await, two.create_patient(patient()).await);
        let everyone = ListPatientsRequest { include_total_size: true, ..Default::default() };
        for (account, ids) in [(&one, [&first.id]), (&two, [&second.id]), (&ann, [&ann.profile_id])]
        {
            let page =
                account.patients().list_patients(everyone.clone()).await.unwrap().into_inner();
            assert_eq!(page.patients.iter().map(|p| &p.id).collect::<Vec<_>>(), ids);
            assert_eq!(page.total_size, Some(1));
        }
        let page = suite.admin().await.patients().list_patients(everyone).await.unwrap();
        assert_eq!(page.into_inner().total_size, Some(3));
    }
}
