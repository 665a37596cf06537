//! The names that prost generates.

use clinic_contract::Message;

/// `clinic.records.v1.Patient` → `crate::records::v1::Patient`.
pub(crate) fn path(message: &Message) -> String {
    format!("crate::{}", message.full_name.trim_start_matches("clinic.").replace('.', "::"))
}

/// `crate::auth::v1::register_request::Profile`.
pub(crate) fn oneof_path(message: &Message, oneof: &str) -> String {
    let path = path(message);
    let (module, name) = path.rsplit_once("::").unwrap_or_default();
    format!("{module}::{}::{}", lower_snake(name), upper_camel(oneof))
}

pub(crate) fn upper_camel(snake: &str) -> String {
    let mut camel = String::new();
    for word in snake.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn lower_snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
