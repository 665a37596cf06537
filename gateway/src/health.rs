//! The health of the whole suite: the gateway serves when every service of it does.

use std::sync::Arc;

use clinic_net::health::{Health, States};
use futures::future::select_all;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::routes::{Routes, TargetAccess};

/// Follows the health of the services. Health checks of the gateway need no token; this way they cost
/// the services nothing.
pub(crate) async fn follow(health: Health, routes: Arc<Routes>) {
    let mut upstreams: Vec<_> = routes.iter().map(|(_, target)| target.upstream.health()).collect();
    loop {
        let known = upstreams.iter_mut().map(|upstream| *upstream.borrow_and_update());
        if let Some(known) = known.collect::<Option<Vec<_>>>() {
            health.set(states(&routes, &known));
        }
        let changed = upstreams.iter_mut().map(|upstream| Box::pin(upstream.changed()));
        // An upstream ends with the gateway.
        if select_all(changed).await.0.is_err() {
            return;
        }
    }
}

fn states(routes: &Routes, known: &[ServingStatus]) -> States {
    let of_suite = |access: &TargetAccess| matches!(access, TargetAccess::Contract);
    let mut each = routes.iter().zip(known);
    let all = each
        .all(|((_, target), state)| !of_suite(&target.access) || *state == ServingStatus::Serving);
    let suite = if all { ServingStatus::Serving } else { ServingStatus::NotServing };
    let states = routes.iter().zip(known).map(|((name, _), state)| (name.to_owned(), *state));
    states.chain([(String::new(), suite)]).collect()
}
