//! The REST API, as clients see it that do not know gRPC. Tests that do not depend on the database
//! run on SQLite only.

mod bodies;
mod browsers;
mod client;
mod contract;
mod creating;
mod http2;
mod listing;
mod matrix;
mod paths;
mod refusals;
mod replacing;
mod server;
mod services;
mod slow;
mod text;
mod translator;
mod updating;

use serde_json::{Value, json};

pub(crate) use client::{Reply, Rest};
pub(crate) use contract::Contract;

/// Returns a path without its trailing slash and, as in the documentation, with it.
fn both(path: &str) -> [String; 2] {
    let bare = path.trim_end_matches('/');
    [bare.to_owned(), format!("{bare}/")]
}

/// Returns a patient with every field, the same as [`clinic_testkit::patient`].
fn patient() -> Value {
    json!({
        "first_name": "Ada",
        "last_name": "Lovelace",
        "date_of_birth": "1985-05-15",
        "gender": "F",
        "phone_number": "+1 555 123-4567",
        "email": "ada@example.com",
        "address": "456 Oak St\nCity",
        "medical_history": "BP <120 & \"fine\"",
    })
}

/// Returns a doctor with every field and a unique license number.
fn doctor() -> Value {
    let license = clinic_testkit::doctor().license_number;
    json!({
        "first_name": "Gregory",
        "last_name": "House",
        "specialization": "Cardiology",
        "license_number": license,
        "qualifications": "MD",
        "years_of_experience": 10,
        "consultation_fee": "150.50",
        "available": true,
        "phone_number": "9876543210",
        "email": "house@example.com",
    })
}

/// Asserts that a response contains all fields of a request with their values.
fn assert_contains(response: &Value, sent: &Value) {
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&response[name], value, "{name}");
    }
}
