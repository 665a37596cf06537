//! Generates `Debug` for messages with private fields, whose values logs must not show.

use clinic_contract::{Field, Message};

use crate::names;

pub(crate) fn generate(messages: &[Message]) -> String {
    messages.iter().filter(|message| message.has_private_field()).map(of_message).collect()
}

fn of_message(message: &Message) -> String {
    let shown = |Field { name, oneof, private, .. }: &Field| match oneof {
        Some(oneof) => format!(".field({oneof:?}, &self.{oneof})"),
        None if *private => format!(".field({name:?}, &crate::Private)"),
        None => format!(".field({name:?}, &self.{name})"),
    };
    // A oneof is shown once, at its first field.
    let mut oneofs: Vec<&str> = Vec::new();
    let mut fields = String::new();
    for field in &message.fields {
        match field.oneof.as_deref() {
            Some(oneof) if oneofs.contains(&oneof) => continue,
            Some(oneof) => oneofs.push(oneof),
            None => {}
        }
        fields.push_str(&shown(field));
    }
    let name = message.full_name.rsplit('.').next().unwrap_or_default();
    let body = format!("f.debug_struct({name:?}){}.finish()", fields);
    let oneofs: String = oneofs.iter().map(|oneof| of_oneof(message, oneof)).collect();
    implement(&names::path(message), &body) + &oneofs
}

/// Generates `Debug` for a oneof: prost's `skip_debug` also applies to the oneofs of a message.
fn of_oneof(message: &Message, oneof: &str) -> String {
    let arm = |field: &Field| {
        let name = names::upper_camel(&field.name);
        let (pattern, shown) =
            if field.private { ("_", "&crate::Private") } else { ("value", "value") };
        format!("Self::{name}({pattern}) => f.debug_tuple({name:?}).field({shown}).finish(),")
    };
    let members = message.fields.iter().filter(|field| field.oneof.as_deref() == Some(oneof));
    let arms: String = members.map(arm).collect();
    implement(&names::oneof_path(message, oneof), &format!("match self {{ {arms} }}"))
}

fn implement(path: &str, body: &str) -> String {
    format!(
        "impl std::fmt::Debug for {path} {{
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ {body} }}
        }}\n"
    )
}
