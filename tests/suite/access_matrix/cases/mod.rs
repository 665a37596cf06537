//! One case for each RPC, or several if the outcome depends on whose record it is.

mod assignment;
mod auth;
mod records;

use std::future::Future;
use std::pin::Pin;

use clinic_proto::records::v1::{Patient, PatientView};
use tonic::{Response, Status};

use super::world::{Caller, Kind, World};

pub(crate) type Outcome<'a> = Pin<Box<dyn Future<Output = Result<String, Status>> + Send + 'a>>;

pub(crate) struct Case {
    /// As in the request line: `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// The record that the call is for.
    pub(crate) label: &'static str,
    pub(crate) call: for<'a> fn(&'a World<'a>, Caller) -> Outcome<'a>,
}

pub(crate) fn cases() -> Vec<Case> {
    [auth::cases(), records::cases(), assignment::cases()].concat()
}

impl Clone for Case {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl Caller {
    fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Service | Kind::Registrar)
    }
}

pub(crate) const ME: &str = "me";
const NOTHING: &str = "not listed";

pub(crate) fn yes<T>(_: Response<T>) -> String {
    "yes".to_owned()
}

pub(crate) fn sees(it: bool) -> String {
    if it { "listed".to_owned() } else { NOTHING.to_owned() }
}

fn view(response: Response<Patient>) -> String {
    views(&[response.into_inner()])
}

/// Returns the view that all of the patients have. Fields outside of the view must be empty.
fn views(patients: &[Patient]) -> String {
    assert!(!patients.is_empty());
    let names = patients.iter().map(|patient| match patient.view() {
        PatientView::Full => "FULL",
        PatientView::Basic => {
            assert_eq!(patient.medical_history, "", "BASIC holds no history");
            assert_eq!(patient.phone_number, "", "BASIC holds no telephone number");
            "BASIC"
        }
        PatientView::Unspecified => panic!("an answer says its view"),
    });
    let mut names: Vec<_> = names.collect();
    names.dedup();
    names.join(", ")
}
