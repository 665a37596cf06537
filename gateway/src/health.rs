//! The gateway's health: SERVING while every service of the suite is.

use std::sync::Arc;

use clinic_net::health::Health;
use futures::future::select_all;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

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
            let services = || routes.iter().zip(known.iter().copied());
            let serves = services().all(|((_, target), state)| {
                matches!(target.access, TargetKind::Foreign { .. }) || state == Serving
            });
            let suite = (String::new(), if serves { Serving } else { NotServing });
            let states = services().map(|((name, _), state)| (name.to_owned(), state));
            health.set(states.chain([suite]).collect());
        }
        let changed = upstreams.iter_mut().map(|upstream| Box::pin(upstream.changed()));
        // The senders are dropped when the gateway ends.
        if select_all(changed).await.0.is_err() {
            return;
        }
    }
}
