//! Maps services to upstreams.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use clinic_net::{Upstream, settings};
use clinic_stubs::{assignment, auth, records};
use tonic::server::NamedService;

use crate::Route;

/// Where calls to a service go.
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    /// Whether the contract or the operator sets the access rules.
    pub(crate) access: TargetAccess,
}

pub(crate) enum TargetAccess {
    /// A service of the suite: every method has its rule.
    Contract,
    /// An operator's own service.
    Foreign {
        public: bool,
        /// Time that a call has at most.
        max: Option<Duration>,
    },
}

/// The table of all services.
pub(crate) struct Routes {
    targets: HashMap<String, Target>,
    /// In the order in which reflection lists them.
    names: Vec<String>,
}

impl Routes {
    /// The suite's services (auth, records and assignment) and an operator's own.
    pub(crate) fn new(own: &[Upstream; 3], foreign: &[Route]) -> Result<Self> {
        let mut routes = Self { targets: HashMap::new(), names: Vec::new() };
        let [auth, records, assignment] = own;
        let own = [
            (service_of::<auth::v1::auth_service_server::AuthServiceServer<()>>(), auth),
            (service_of::<auth::v1::user_admin_service_server::UserAdminServiceServer<()>>(), auth),
            (service_of::<auth::v1::token_service_server::TokenServiceServer<()>>(), auth),
            (
                service_of::<records::v1::patient_service_server::PatientServiceServer<()>>(),
                records,
            ),
            (service_of::<records::v1::doctor_service_server::DoctorServiceServer<()>>(), records),
            (
                service_of::<assignment::v1::assignment_service_server::AssignmentServiceServer<()>>(
                ),
                assignment,
            ),
        ];
        for (name, upstream) in own {
            routes.add(name, upstream.clone(), TargetAccess::Contract);
        }
        for Route { service, url, public, max } in foreign {
            let name = "a routed service";
            let upstream = Upstream::new(name, service, settings::urls(name, url)?)?;
            routes.add(service, upstream, TargetAccess::Foreign { public: *public, max: *max });
        }
        Ok(routes)
    }

    fn add(&mut self, name: &str, upstream: Upstream, access: TargetAccess) {
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
        self.targets.values().filter(|t| matches!(t.access, TargetAccess::Foreign { .. }))
    }
}

fn service_of<S: NamedService>() -> &'static str {
    S::NAME
}
