//! Generates `Debug` for messages with private fields, whose values logs must not show.

use std::fmt::Write as _;

use clinic_contract::{Field, Message};

use crate::names;

pub(crate) fn generate(messages: &[Message]) -> String {
    let mut code = String::new();
    for message in messages.iter().filter(|m| m.has_private_field()) {
        let name = message.full_name.rsplit('.').next().unwrap_or_default();
        let _ = write!(
            code,
            "impl std::fmt::Debug for {} {{
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                    f.debug_struct({name:?})",
            names::path(message)
        );
        let mut oneofs = Vec::new();
        for field in &message.fields {
            match &field.oneof {
                Some(oneof) if oneofs.contains(oneof) => {}
                Some(oneof) => {
                    oneofs.push(oneof.clone());
                    let _ = write!(code, ".field({oneof:?}, &self.{oneof})");
                }
                None if field.private => {
                    let _ = write!(code, ".field({:?}, &crate::Private)", field.name);
                }
                None => {
                    let _ = write!(code, ".field({:?}, &self.{})", field.name, field.name);
                }
            }
        }
        code.push_str(".finish() } }\n");
        for oneof in oneofs {
            let _ = write!(code, "{}", oneof_debug(message, &oneof));
        }
    }
    code
}

/// Generates `Debug` for a oneof: prost's `skip_debug` also applies to the oneofs of a message.
fn oneof_debug(message: &Message, oneof: &str) -> String {
    let path = names::oneof_path(message, oneof);
    let arm = |field: &Field| {
        let name = names::upper_camel(&field.name);
        match field.private {
            true => format!(
                "Self::{name}(_) => f.debug_tuple({name:?}).field(&crate::Private).finish(),"
            ),
            false => {
                format!("Self::{name}(value) => f.debug_tuple({name:?}).field(value).finish(),")
            }
        }
    };
    let members = message.fields.iter().filter(|field| field.oneof.as_deref() == Some(oneof));
    let arms: String = members.map(arm).collect();
    format!(
        "impl std::fmt::Debug for {path} {{
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ match self {{ {arms} }} }}
        }}\n"
    )
}
