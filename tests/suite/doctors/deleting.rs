//! Deleting and undeleting doctors.

use clinic_proto::records::v1::{Doctor, ListDoctorsRequest};
use clinic_testkit::{Suite, doctor, failure, on_both};
use tonic::Code;

use super::{delete, get, list, undelete, update};

on_both! {
    async fn a_deleted_doctor_is_invisible_to_everyone_until_undeleted(suite: &Suite) {
        let (staff, ann) = (suite.staff().await, suite.patient().await);
        let made = staff.create_doctor(doctor()).await;
        ann.doctors().get_doctor(get(&made.id)).await.unwrap();
        let deleted = staff.doctors().delete_doctor(delete(&made.id)).await.unwrap().into_inner();
        assert!(deleted.deleted_at.is_some() && deleted.etag != made.etag);
        for account in [&staff, &ann, &suite.admin().await] {
            let response = account.doctors().get_doctor(get(&made.id)).await;
            assert_eq!(failure(response).code, Code::NotFound);
            assert!(list(account, ListDoctorsRequest::default()).await.is_empty());
        }
        let back = staff.doctors().undelete_doctor(undelete(&made.id)).await.unwrap().into_inner();
        let expected = Doctor { etag: back.etag.clone(), updated_at: back.updated_at, ..made };
        assert_eq!(back, expected);
        assert_eq!(list(&ann, ListDoctorsRequest::default()).await, [back]);
    }

    async fn undeleting_a_doctor_who_is_not_deleted_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        let refused = failure(staff.doctors().undelete_doctor(undelete(&made.id)).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::AlreadyExists, "ALREADY_EXISTS")
        );
    }

    async fn update_delete_and_undelete_with_a_stale_etag_are_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        let change =
            Doctor { qualifications: "PhD".into(), etag: made.etag.clone(), ..Default::default() };
        let request = update(&made.id, change, &[]);
        staff.doctors().update_doctor(request.clone()).await.unwrap();
        let stale = failure(staff.doctors().update_doctor(request).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        let mut request = delete(&made.id);
        request.etag = made.etag.clone();
        assert_eq!(failure(staff.doctors().delete_doctor(request).await).reason, "STALE_ETAG");
        staff.doctors().delete_doctor(delete(&made.id)).await.unwrap();
        let mut request = undelete(&made.id);
        request.etag = made.etag;
        assert_eq!(failure(staff.doctors().undelete_doctor(request).await).reason, "STALE_ETAG");
    }

    async fn undeleting_restores_the_account_and_verification_of_a_doctor(suite: &Suite) {
        let (house, admin) = (suite.verified_doctor().await, suite.admin().await);
        admin.doctors().delete_doctor(delete(&house.profile_id)).await.unwrap();
        assert_eq!(failure(house.doctors().get_doctor(get("me")).await).code, Code::NotFound);
        admin.doctors().undelete_doctor(undelete(&house.profile_id)).await.unwrap();
        let mine = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        assert_eq!((mine.user_id, mine.verified), (house.user.id, true));
    }
}
