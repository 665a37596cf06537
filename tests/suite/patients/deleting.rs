//! Deleting and undeleting patients.

use std::slice::from_ref;

use chrono::TimeDelta;
use clinic_proto::records::v1::{
    BatchGetPatientsRequest, ListPatientsRequest, Patient, UndeletePatientRequest,
};
use clinic_testkit::{Suite, failure, on_both, patient};
use tonic::Code;

use super::{delete, get, list};

fn undelete(id: &str) -> UndeletePatientRequest {
    UndeletePatientRequest { id: id.into(), ..Default::default() }
}

fn with_deleted() -> ListPatientsRequest {
    ListPatientsRequest { show_deleted: true, include_total_size: true, ..Default::default() }
}

on_both! {
    async fn a_deleted_patient_is_invisible_until_undeleted(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        suite.clock.advance(TimeDelta::minutes(1));
        let deleted = staff.patients().delete_patient(delete(&made.id)).await.unwrap().into_inner();
        assert_eq!(deleted.deleted_at, deleted.updated_at);
        let (since, until) = (made.created_at.unwrap(), deleted.deleted_at.unwrap());
        assert!(until.seconds >= since.seconds + 60);
        assert_eq!(deleted.medical_history, made.medical_history);

        assert_eq!(failure(staff.patients().get_patient(get(&made.id)).await).code, Code::NotFound);
        let ids = vec![made.id.clone()];
        let batch = BatchGetPatientsRequest { ids, allow_missing: true, ..Default::default() };
        let batch = staff.patients().batch_get_patients(batch).await.unwrap().into_inner();
        assert!(batch.patients.is_empty());
        let request = ListPatientsRequest { include_total_size: true, ..Default::default() };
        let page = staff.patients().list_patients(request).await.unwrap().into_inner();
        assert_eq!((page.patients.len(), page.total_size), (0, Some(0)));
        let again = failure(staff.patients().delete_patient(delete(&made.id)).await);
        assert_eq!(again.code, Code::NotFound);

        let back =
            staff.patients().undelete_patient(undelete(&made.id)).await.unwrap().into_inner();
        let expected =
            Patient { etag: back.etag.clone(), updated_at: back.updated_at, ..made.clone() };
        assert_eq!(back, expected);
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, back);
    }

    async fn undeleting_a_patient_who_is_not_deleted_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let refused = failure(staff.patients().undelete_patient(undelete(&made.id)).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::AlreadyExists, "ALREADY_EXISTS")
        );
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, made);
    }

    async fn undeleting_with_a_stale_etag_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let deleted = staff.patients().delete_patient(delete(&made.id)).await.unwrap().into_inner();
        let mut request = UndeletePatientRequest { id: made.id.clone(), etag: made.etag };
        let stale = failure(staff.patients().undelete_patient(request.clone()).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        request.etag = deleted.etag;
        staff.patients().undelete_patient(request).await.unwrap();
    }

    async fn show_deleted_includes_patients_that_the_caller_may_undelete(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let kept = staff.create_patient(patient()).await;
        suite.clock.advance(TimeDelta::milliseconds(2));
        let gone = staff.create_patient(patient()).await;
        let gone = staff.patients().delete_patient(delete(&gone.id)).await.unwrap().into_inner();
        for account in [&staff, &suite.admin().await] {
            let page = account.patients().list_patients(with_deleted()).await.unwrap().into_inner();
            assert_eq!(page.patients, [kept.clone(), gone.clone()]);
            assert_eq!(page.total_size, Some(2));
            assert_eq!(list(account, ListPatientsRequest::default()).await, from_ref(&kept));
        }
        assert!(list(&other, with_deleted()).await.is_empty());
        let doctor = suite.verified_doctor().await;
        let page = doctor.patients().list_patients(with_deleted()).await.unwrap().into_inner();
        let ids: Vec<_> = page.patients.into_iter().map(|patient| patient.id).collect();
        assert_eq!((ids, page.total_size), (vec![kept.id], Some(1)));
        // Patients may not undelete their own record.
        let ann = suite.patient().await;
        suite.admin().await.patients().delete_patient(delete(&ann.profile_id)).await.unwrap();
        assert!(list(&ann, with_deleted()).await.is_empty());
    }

    async fn an_administrator_may_undelete_the_patients_of_staff(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let made = staff.create_patient(patient()).await;
        staff.patients().delete_patient(delete(&made.id)).await.unwrap();
        admin.patients().undelete_patient(undelete(&made.id)).await.unwrap();
        let back = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(back.owner_id, staff.user.id);
    }
}
