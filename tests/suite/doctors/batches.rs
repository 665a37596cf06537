//! BatchGetDoctors.

use std::slice::from_ref;

use clinic_proto::records::v1::BatchGetDoctorsRequest;
use clinic_testkit::{Suite, doctor, invalid_fields, on_both, visible_error};

use super::{delete, get};

on_both! {
    async fn a_batch_is_returned_in_the_order_of_its_ids(suite: &Suite) {
        let (staff, ann) = (suite.staff().await, suite.patient().await);
        let (a, b) = (staff.create_doctor(doctor()).await, staff.create_doctor(doctor()).await);
        let ids = vec![b.id.clone(), a.id.clone()];
        let request = BatchGetDoctorsRequest { ids, ..Default::default() };
        let found = ann.doctors().batch_get_doctors(request).await.unwrap().into_inner();
        assert_eq!(found.doctors, [b, a]);
    }

    async fn a_missing_id_fails_the_batch_unless_allow_missing_is_set(suite: &Suite) {
        let staff = suite.staff().await;
        let (kept, gone) =
            (staff.create_doctor(doctor()).await, staff.create_doctor(doctor()).await);
        staff.doctors().delete_doctor(delete(&gone.id)).await.unwrap();
        let never = suite.clock.new_id().to_string();
        let not_found = visible_error(staff.doctors().get_doctor(get(&never)).await);
        for missing in [&gone.id, &never] {
            let ids = vec![missing.clone(), kept.id.clone()];
            let mut request = BatchGetDoctorsRequest { ids, allow_missing: false };
            let response = staff.doctors().batch_get_doctors(request.clone()).await;
            assert_eq!(visible_error(response), not_found);
            request.allow_missing = true;
            let found = staff.doctors().batch_get_doctors(request).await.unwrap().into_inner();
            assert_eq!(found.doctors, from_ref(&kept));
        }
    }

    async fn a_batch_has_one_to_five_hundred_ids(suite: &Suite) {
        let staff = suite.staff().await;
        for count in [0, 501] {
            let ids = vec![staff.user.id.clone(); count];
            let request = BatchGetDoctorsRequest { ids, allow_missing: true };
            assert_eq!(invalid_fields(staff.doctors().batch_get_doctors(request).await), ["ids"]);
        }
    }
}
