//! Which assignments each caller lists and reads.

use chrono::TimeDelta;
use clinic_proto::assignment::v1::{
    Assignment, AssignmentStatus, GetAssignmentRequest, ListAssignmentsRequest,
};
use clinic_testkit::{Account, Suite, doctor, failure, on_both, patient};
use tonic::Code;

use super::{end, list};

/// Accounts of a clinic, with patients, doctors and assignments.
struct Clinic {
    staff: Account,
    admin: Account,
    ann: Account,
    house: Account,
    /// Ids of the patient and the doctor that `staff` created.
    pat: String,
    grey: String,
    /// In order: House with Ann, House with Pat, Grey with Pat, and the ended one of Grey with Ann.
    made: [Assignment; 4],
}

impl Clinic {
    async fn new(suite: &Suite) -> Self {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let (ann, house) = (suite.patient().await, suite.verified_doctor().await);
        let pat = staff.create_patient(patient()).await.id;
        let grey = staff.create_doctor(doctor()).await.id;
        let tick = || suite.clock.advance(TimeDelta::milliseconds(2));
        let first = admin.assign(&ann.profile_id, &house.profile_id).await;
        tick();
        let second = staff.assign(&pat, &house.profile_id).await;
        tick();
        let third = staff.assign(&pat, &grey).await;
        tick();
        let fourth = admin.assign(&ann.profile_id, &grey).await;
        let fourth =
            admin.assignments().end_assignment(end(&fourth.id)).await.unwrap().into_inner();
        Self { staff, admin, ann, house, pat, grey, made: [first, second, third, fourth] }
    }

    /// Returns the indexes in `made` of the assignments on the page. Asserts the total.
    async fn find(&self, by: &Account, request: ListAssignmentsRequest) -> Vec<usize> {
        let request = ListAssignmentsRequest { include_total_size: true, ..request };
        let page = by.assignments().list_assignments(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, i64::try_from(page.assignments.len()).ok());
        let number = |found: &Assignment| self.made.iter().position(|made| made == found);
        page.assignments.iter().map(|found| number(found).expect("not in `made`")).collect()
    }
}

fn of(patient_id: &str, doctor_id: &str, status: AssignmentStatus) -> ListAssignmentsRequest {
    ListAssignmentsRequest {
        patient_id: patient_id.into(),
        doctor_id: doctor_id.into(),
        status: status.into(),
        ..Default::default()
    }
}

on_both! {
    async fn callers_list_their_own_assignments_and_filters_narrow_the_list(suite: &Suite) {
        use AssignmentStatus::{Active, Ended, Unspecified as Any};

        let clinic = Clinic::new(suite).await;
        let Clinic { staff, admin, ann, house, pat, grey, .. } = &clinic;
        let (a, h) = (ann.profile_id.as_str(), house.profile_id.as_str());
        let cases: [(&Account, _, &[usize]); 24] = [
            (admin, of("", "", Any), &[0, 1, 2, 3]),
            (admin, of("", "", Active), &[0, 1, 2]),
            (admin, of("", "", Ended), &[3]),
            (admin, of(a, "", Any), &[0, 3]),
            (admin, of("", grey, Any), &[2, 3]),
            (admin, of(a, grey, Any), &[3]),
            (admin, of(a, grey, Active), &[]),
            (admin, of("me", "", Any), &[]),
            (staff, of("", "", Any), &[1, 2]),
            (staff, of(a, "", Any), &[]),
            (staff, of("", h, Any), &[1]),
            (staff, of(pat, grey, Active), &[2]),
            (staff, of("", "me", Any), &[]),
            (ann, of("", "", Any), &[0, 3]),
            (ann, of("me", "", Active), &[0]),
            (ann, of(a, "", Ended), &[3]),
            (ann, of(pat, "", Any), &[]),
            (ann, of("", h, Any), &[0]),
            (house, of("", "", Any), &[0, 1]),
            (house, of("", "me", Any), &[0, 1]),
            (house, of(pat, "", Any), &[1]),
            (house, of(pat, "me", Active), &[1]),
            (house, of("", grey, Any), &[]),
            (house, of("me", "", Any), &[]),
        ];
        for (at, (account, request, expected)) in cases.into_iter().enumerate() {
            assert_eq!(clinic.find(account, request).await, expected, "case {at}");
        }
    }

    async fn only_callers_who_list_an_assignment_can_get_it(suite: &Suite) {
        let clinic = Clinic::new(suite).await;
        let other = suite.staff().await;
        for account in [&clinic.staff, &clinic.admin, &clinic.ann, &clinic.house, &other] {
            let listed = list(account, ListAssignmentsRequest::default()).await;
            for made in &clinic.made {
                let request = GetAssignmentRequest { id: made.id.clone() };
                let response = account.assignments().get_assignment(request).await;
                if listed.contains(made) {
                    assert_eq!(&response.unwrap().into_inner(), made);
                } else {
                    assert_eq!(failure(response).code, Code::NotFound);
                }
            }
        }
        assert!(list(&other, ListAssignmentsRequest::default()).await.is_empty());
    }
}
