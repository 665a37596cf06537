//! Converts names of the contract to Rust.

/// `PatientService` → `patient_service`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// `.clinic.records.v1.Patient` → `::clinic_proto::records::v1::Patient`.
pub(crate) fn rust_type(name: &str) -> String {
    let path = name.trim_start_matches(".clinic.").replace('.', "::");
    format!("::clinic_proto::{path}")
}
