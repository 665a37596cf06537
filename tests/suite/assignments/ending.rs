//! Ending assignments.

use chrono::TimeDelta;
use clinic_proto::assignment::v1::{
    Assignment, AssignmentStatus, EndAssignmentRequest, ListAssignmentsRequest,
};
use clinic_testkit::{Suite, failure, on_both};
use tonic::Code;

use super::{create, create_pair, end, list};

on_both! {
    async fn an_ended_assignment_is_kept_and_the_pair_can_be_assigned_again(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let first = create(&staff, [&p, &d]).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(1));
        let ended = staff.assignments().end_assignment(end(&first.id)).await.unwrap().into_inner();
        let expected = Assignment {
            status: AssignmentStatus::Ended.into(),
            ended_at: ended.updated_at,
            updated_at: ended.updated_at,
            etag: ended.etag.clone(),
            ..first.clone()
        };
        assert_eq!(ended, expected);
        assert!(ended.ended_at.unwrap().seconds >= first.started_at.unwrap().seconds + 60);
        assert_ne!(ended.etag, first.etag);

        suite.clock.advance(TimeDelta::minutes(1));
        let second = create(&staff, [&p, &d]).await.unwrap().into_inner();
        assert_ne!(second.id, first.id);
        assert_eq!(failure(create(&staff, [&p, &d]).await).code, Code::AlreadyExists);
        assert_eq!(list(&staff, ListAssignmentsRequest::default()).await, [ended, second.clone()]);
        staff.assignments().end_assignment(end(&second.id)).await.unwrap();
        create(&staff, [&p, &d]).await.unwrap();
    }

    async fn ending_an_ended_assignment_changes_nothing(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = create(&staff, [&p, &d]).await.unwrap().into_inner();
        let ended = staff.assignments().end_assignment(end(&made.id)).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(1));
        for etag in ["", ended.etag.as_str()] {
            let request = EndAssignmentRequest { id: made.id.clone(), etag: etag.into() };
            let again = staff.assignments().end_assignment(request).await.unwrap().into_inner();
            assert_eq!(again, ended);
        }
        let request = EndAssignmentRequest { id: made.id, etag: made.etag };
        let stale = failure(staff.assignments().end_assignment(request).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
    }

    async fn ending_with_a_stale_etag_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = create(&staff, [&p, &d]).await.unwrap().into_inner();
        for etag in ["v7", "x", " "] {
            let request = EndAssignmentRequest { id: made.id.clone(), etag: etag.into() };
            let stale = failure(staff.assignments().end_assignment(request).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
        let request = EndAssignmentRequest { id: made.id, etag: made.etag };
        staff.assignments().end_assignment(request).await.unwrap();
    }
}
