//! The gateway's health: SERVING while every service of the suite is.

use std::sync::Arc;

use clinic_net::health::{Health, States};
use futures::future::select_all;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::routes::{Routes, TargetKind};

/// Maximum bytes of a health or reflection request, which need no token.
pub(crate) const MAX_QUESTION: u16 = 4 * 1024;

/// Follows the health of the services in the background. Health checks of the gateway need no
/// token, so they must not cause calls to the services.
pub(crate) async fn follow(health: Health, routes: Arc<Routes>) {
    let mut upstreams: Vec<_> = routes.iter().map(|(_, target)| target.upstream.health()).collect();
    loop {
        let known = upstreams.iter_mut().map(|upstream| *upstream.borrow_and_update());
        if let Some(known) = known.collect::<Option<Vec<_>>>() {
            health.set(states(&routes, &known));
        }
        let changed = upstreams.iter_mut().map(|upstream| Box::pin(upstream.changed()));
        // The senders are dropped when the gateway ends.
        if select_all(changed).await.0.is_err() {
            return;
        }
    }
}

fn states(routes: &Routes, known: &[ServingStatus]) -> States {
    let of_suite = |access: &TargetKind| matches!(access, TargetKind::Contract);
    let mut each = routes.iter().zip(known);
    let all = each
        .all(|((_, target), state)| !of_suite(&target.access) || *state == ServingStatus::Serving);
    let suite = if all { ServingStatus::Serving } else { ServingStatus::NotServing };
    let states = routes.iter().zip(known).map(|((name, _), state)| (name.to_owned(), *state));
    states.chain([(String::new(), suite)]).collect()
}
