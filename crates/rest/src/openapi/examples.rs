//! Plausible values, by the names of fields.

use clinic_contract::{Field, Result};
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::Object;
use super::schemas::Use;

pub(crate) const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A value for a field of that name, where one is worth showing.
pub(crate) fn example(name: &str) -> Option<Value> {
    Some(match name {
        "id" | "user_id" | "owner_id" | "patient_id" | "doctor_id" | "assigned_by"
        | "request_id" => json!(ID),
        "ids" => json!([ID]),
        "etag" => json!("v1"),
        "created_at" | "updated_at" | "started_at" | "last_used_at" => {
            json!("2026-03-02T09:30:00Z")
        }
        "access_expires_at" => json!("2026-03-02T09:45:00Z"),
        "expires_at" | "refresh_expires_at" => json!("2026-03-09T09:30:00Z"),
        "first_name" => json!("Ada"),
        "last_name" => json!("Lovelace"),
        "name" => json!("Ada Lovelace"),
        "email" => json!("ada@example.com"),
        "username" => json!("ada.l"),
        "password" | "password_confirm" | "current_password" => json!("walnut-harbour-42"),
        "new_password" => json!("copper-meadow-17"),
        "access" => json!("eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"),
        "refresh" => json!("kq3vXhVbV0m6V1w9H1Zr8cV0Yw5Jt2uQpW7sN4xE6aM"),
        "role" => json!("ROLE_STAFF"),
        "roles" => json!(["ROLE_STAFF"]),
        "date_of_birth" => json!("1985-05-15"),
        "gender" => json!("F"),
        "phone_number" => json!("+1 555 123-4567"),
        "address" => json!("12 Example Street, Springfield"),
        "medical_history" => json!("Allergic to penicillin"),
        "specialization" => json!("Cardiology"),
        "license_number" => json!("MD-10001"),
        "qualifications" => json!("MD, FACC"),
        "years_of_experience" => json!(12),
        "consultation_fee" => json!("150.50"),
        "available" => json!(true),
        "reason_for_visit" => json!("Chest pain"),
        "notes" => json!("See again in two weeks"),
        "user_agent" => json!("Mozilla/5.0"),
        "client_ip" => json!("192.0.2.7"),
        "page_size" => json!(50),
        _ => return None,
    })
}

/// A body that is accepted. `fixed` are the values that the path gives to other fields.
pub(crate) fn body(
    message: &MessageDescriptor,
    to: Use,
    without: &[String],
    fixed: &[&str],
) -> Result<Object> {
    let said = clinic_contract::message(message)?;
    let mut body = Object::new();
    for (field, said_of) in message.fields().zip(&said.fields) {
        let name = field.name();
        let spare = said
            .choices
            .iter()
            .any(|choice| choice.fields.iter().skip(1).any(|other| other == name));
        let other = said_of.oneof.is_some() && !is_named(name, fixed);
        if without.iter().any(|other| other == name) || spare || other || !is_given(said_of, to) {
            continue;
        }
        match field.kind() {
            Kind::Message(inner) => {
                body.insert(name.to_owned(), self::body(&inner, Use::Create, &[], &[])?.into());
            }
            _ => match example(name) {
                Some(value) => {
                    body.insert(name.to_owned(), value);
                }
                None if said_of.required => {
                    return Err(format!("{}: there is no example", field.full_name()).into());
                }
                None => {}
            },
        }
    }
    // One field shows best that PATCH leaves the others alone.
    if let (Use::Patch, Some((name, value))) = (to, body.iter().next_back()) {
        body = Object::from_iter([(name.clone(), value.clone())]);
    }
    Ok(body)
}

/// Whether a client has reason to give the field.
fn is_given(said: &Field, to: Use) -> bool {
    let chosen = !said.immutable || (said.required && to == Use::Create);
    !said.output_only && said.name != "etag" && chosen
}

/// A path that fixes `ROLE_DOCTOR` is about the field `doctor`.
fn is_named(field: &str, fixed: &[&str]) -> bool {
    fixed.iter().any(|value| value.to_ascii_lowercase().ends_with(field))
}
