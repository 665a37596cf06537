//! What an operator may set.

use clap::Args;
use clinic_net::settings::{Keys, Serving};
use clinic_server::settings::{Answers, Database};

use crate::access::DoctorPatientView;

/// The settings of records.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub answers: Answers,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub database: Database,
    /// What verified doctors see of patients who are not theirs
    #[arg(long, env = "CLINIC_DOCTOR_PATIENT_VIEW", value_enum, default_value = "basic")]
    pub doctor_patient_view: DoctorPatientView,
}
