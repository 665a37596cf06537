//! Settings.

use clap::Args;
use clinic_server::settings::Common;

use crate::scopes::DoctorPatientView;

/// The settings of records.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub common: Common,
    /// Which patient data verified doctors can see
    #[arg(long, env = "CLINIC_DOCTOR_PATIENT_VIEW", value_enum, default_value = "basic")]
    pub doctor_patient_view: DoctorPatientView,
}
