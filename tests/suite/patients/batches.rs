//! BatchGetPatients.

use clinic_proto::records::v1::{BatchGetPatientsRequest, Patient};
use clinic_testkit::{Account, Suite, invalid_fields, on_both, patient, visible_error};

use super::{delete, get};

async fn batch(by: &Account, ids: &[&str], allow_missing: bool) -> Vec<Patient> {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let request = BatchGetPatientsRequest { ids, allow_missing, ..Default::default() };
    by.patients().batch_get_patients(request).await.unwrap().into_inner().patients
}

on_both! {
    async fn a_batch_is_returned_in_the_order_of_its_ids(suite: &Suite) {
        let staff = suite.staff().await;
        let a = staff.create_patient(patient()).await;
        let b = staff.create_patient(patient()).await;
        let c = staff.create_patient(patient()).await;
        let ids = [c.id.as_str(), &a.id.to_uppercase(), &b.id];
        let found = batch(&staff, &ids, false).await;
        assert_eq!(found, [c, a, b]);
    }

    async fn a_batch_with_a_duplicate_id_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let id = staff.create_patient(patient()).await.id;
        for again in [id.clone(), id.to_uppercase()] {
            let ids = vec![id.clone(), again];
            let request = BatchGetPatientsRequest { ids, allow_missing: true, ..Default::default() };
            assert_eq!(invalid_fields(staff.patients().batch_get_patients(request).await), ["ids"]);
        }
    }

    async fn a_missing_id_fails_the_batch_unless_allow_missing_is_set(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let mine = staff.create_patient(patient()).await;
        let theirs = other.create_patient(patient()).await;
        let gone = staff.create_patient(patient()).await;
        staff.patients().delete_patient(delete(&gone.id)).await.unwrap();
        let never = suite.clock.new_id().to_string();
        let not_found = visible_error(staff.patients().get_patient(get(&never)).await);
        for missing in [&theirs.id, &gone.id, &never] {
            let ids = vec![mine.id.clone(), missing.clone()];
            let request = BatchGetPatientsRequest { ids, ..Default::default() };
            let response = staff.patients().batch_get_patients(request).await;
            assert_eq!(visible_error(response), not_found);
        }
        let ids = [theirs.id.as_str(), &mine.id, &gone.id, &never];
        assert_eq!(batch(&staff, &ids, true).await, [mine]);
    }

    async fn a_batch_has_one_to_five_hundred_ids(suite: &Suite) {
        let staff = suite.staff().await;
        let request = |count| BatchGetPatientsRequest {
            ids: (0..count).map(|_| suite.clock.new_id().to_string()).collect(),
            allow_missing: true,
            ..Default::default()
        };
        assert_eq!(invalid_fields(staff.patients().batch_get_patients(request(0)).await), ["ids"]);
        assert_eq!(invalid_fields(staff.patients().batch_get_patients(request(501)).await), ["ids"]);
        staff.patients().batch_get_patients(request(500)).await.unwrap();
    }

    async fn a_large_invalid_batch_does_not_affect_other_calls(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let made = other.create_patient(patient()).await;
        for (count, named) in [(100_000, 1), (500, 65)] {
            let ids = (0..count).map(|n| format!("nonsense {n}")).collect();
            let request = BatchGetPatientsRequest { ids, ..Default::default() };
            let (mut by_staff, mut by_other) = (staff.patients(), other.patients());
            // Both use the same connection between the gateway and records.
            let (refused, found) = tokio::join!(
                by_staff.batch_get_patients(request),
                by_other.get_patient(get(&made.id)),
            );
            assert_eq!(invalid_fields(refused).len(), named);
            assert_eq!(found.unwrap().into_inner(), made);
            staff.create_patient(patient()).await;
        }
    }
}
