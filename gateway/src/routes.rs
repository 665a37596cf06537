//! Maps services to upstreams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clinic_identity::Policy;
use clinic_net::{Upstream, settings};

use crate::Route;

/// The destination of calls to a service.
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    /// Whether the contract or the operator sets the access rules.
    pub(crate) access: TargetKind,
}

pub(crate) enum TargetKind {
    /// A service of the suite. The contract has a rule for every method.
    Contract,
    /// An operator's own service.
    Foreign {
        public: bool,
        /// Maximum timeout of a call.
        max: Option<Duration>,
    },
}

/// All services by full name.
pub(crate) struct Routes {
    targets: HashMap<String, Target>,
    /// Names in the order in which reflection lists them.
    names: Vec<String>,
}

impl Routes {
    /// Creates the routes to the suite's services, by package, and to an operator's own services.
    pub(crate) fn new(
        policy: &Policy,
        upstreams: &BTreeMap<&str, &str>,
        foreign: &[Route],
    ) -> Result<Self> {
        let mut routes = Self { targets: HashMap::new(), names: Vec::new() };
        let channels: BTreeMap<&str, Upstream> = upstreams
            .iter()
            .map(|(name, urls)| Ok((*name, settings::upstream(name, urls)?)))
            .collect::<Result<_>>()?;
        let services = policy.methods().filter_map(|(path, _)| path.split('/').nth(1));
        for service in services.collect::<BTreeSet<_>>() {
            // `clinic.records.v1.PatientService` is served by `records`.
            let name = service.split('.').nth(1).unwrap_or_default();
            let missing = || format!("no URL for {service}: set it with --upstream {name}=URL");
            let upstream = channels.get(name).with_context(missing)?;
            routes.add(service, upstream.clone(), TargetKind::Contract);
        }
        for Route { service, url, public, max } in foreign {
            let name = "a routed service";
            let upstream = Upstream::new(name, service, settings::urls(name, url)?)?;
            routes.add(service, upstream, TargetKind::Foreign { public: *public, max: *max });
        }
        Ok(routes)
    }

    fn add(&mut self, name: &str, upstream: Upstream, access: TargetKind) {
        self.targets.insert(name.to_owned(), Target { upstream, access });
        self.names.push(name.to_owned());
    }

    pub(crate) fn get(&self, service: &str) -> Option<&Target> {
        self.targets.get(service)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.targets.iter().map(|(name, target)| (name.as_str(), target))
    }

    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().filter(|t| matches!(t.access, TargetKind::Foreign { .. }))
    }
}
