//! Converts an HTTP request to the request message of its method.

use clinic_proto::validation::Violation;
use percent_encoding::percent_decode_str;
use prost::Message as _;
use prost_types::FieldMask;

use crate::binding::{Binding, Source};
use crate::json::read;
use crate::json::values::{expected, from_text, mask, shortened};
use crate::naming::{HeaderFields, Place, last_name};
use crate::routes::Matched;
use crate::schema::{Schema, Type};
use crate::wire::{FieldPath, Value};

/// The parts of a request other than its path.
#[derive(Default)]
pub struct Input<'a> {
    pub query: Option<&'a str>,
    /// An empty body is the same as `{}`.
    pub body: &'a [u8],
    /// Etag from `If-Match`, without quotes.
    pub etag: Option<&'a str>,
    /// Value of `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// Violations found in headers.
    pub bad_headers: &'a [Violation],
}

const NOT_UTF8: &str = "must be UTF-8";

impl Matched<'_> {
    /// Returns the encoded request message of the method.
    ///
    /// # Errors
    /// All violations: values that cannot be read, and rules of the contract that the other fields
    /// break. If everything can be read, only the service checks the rules.
    pub fn request(&self, input: &Input<'_>) -> Result<Vec<u8>, Vec<Violation>> {
        let binding = self.binding;
        let mut message = Vec::new();
        let mut problems = Vec::new();
        let body = self.read_body(input.body, &mut message, &mut problems);
        let body_is_read = body.is_some();
        let mut mask = body.unwrap_or_default();
        let masked = self.read_query(input.query, &mut message, &mut problems);
        if let (Some(update), false) = (&binding.update, masked) {
            if update.replace {
                mask = vec!["*".to_owned()];
            }
            let mask = FieldMask { paths: mask }.encode_to_vec();
            update.mask.write(Value::Bytes(&mask), &mut message);
        }
        match (input.etag, &binding.etag) {
            (Some(etag), Some(field)) => field.write(Value::Bytes(etag.as_bytes()), &mut message),
            (Some(_), None) => problems.push(Violation::new("If-Match", "cannot be used here")),
            (None, _) => {}
        }
        problems.extend_from_slice(input.bad_headers);
        if let (Some(key), Some(field)) = (input.idempotency_key, &binding.request_id) {
            field.write(Value::Bytes(key.as_bytes()), &mut message);
        }
        self.read_path(&mut message, &mut problems);
        message.extend_from_slice(&binding.fixed);
        if !problems.is_empty() {
            self.add_broken_rules(&message, input, body_is_read, &mut problems);
            return Err(problems);
        }
        Ok(message)
    }

    /// Adds the rules of the contract that the message breaks, so one response names all
    /// violations. Only for a request that is refused anyway: the service checks all others.
    fn add_broken_rules(
        &self,
        message: &[u8],
        input: &Input<'_>,
        body_is_read: bool,
        problems: &mut Vec<Violation>,
    ) {
        let Self { binding, .. } = self;
        let Some(check) = binding.check else { return };
        // Of an item such as `roles[1]`, the name of the list.
        let list = |field: &str| field.split('[').next().unwrap_or_default().to_owned();
        let named: Vec<String> = problems.iter().map(|problem| list(&problem.field)).collect();
        let headers = HeaderFields {
            etag: input.etag.is_some(),
            request_id: input.idempotency_key.is_some(),
        };
        for violation in check(message) {
            if problems.len() >= read::MAX_PROBLEMS {
                break;
            }
            // The body could not be read, so it is unknown which fields are missing.
            if !body_is_read && matches!(binding.place(&violation.field), Place::Body(_)) {
                continue;
            }
            let violation = binding.as_sent(violation, headers);
            // A value that was not read is missing, and shifts the items after it in a list.
            let is_within = |outer: &String| {
                let rest = violation.field.strip_prefix(outer);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if !named.iter().any(is_within) {
                problems.push(violation);
            }
        }
    }

    /// Appends the fields of the body. Returns the names of the fields that a PATCH changes, or
    /// `None` if the body cannot be read.
    fn read_body(
        &self,
        body: &[u8],
        out: &mut Vec<u8>,
        problems: &mut Vec<Violation>,
    ) -> Option<Vec<String>> {
        let Self { binding, schema, .. } = self;
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        let message = match &binding.body {
            Source::Nothing => return Some(Vec::new()),
            Source::Everything => binding.input,
            Source::Field { message, .. } => *message,
        };
        let read = match read::message(schema, message, body) {
            Ok(read) => read,
            Err(violations) => {
                problems.extend(violations);
                return None;
            }
        };
        problems.extend(read.problems);
        let patch = binding.update.as_ref().is_some_and(|update| !update.replace);
        let fields = &schema.message(message).fields;
        let mut changed = Vec::new();
        for field in read.present.iter().filter_map(|index| fields.get(*index)) {
            let mut problem = |message| problems.push(Violation::new(field.name.as_str(), message));
            if matches!(binding.body, Source::Everything) && binding.of_path.contains(&field.name) {
                problem("is already set by the path");
            } else if patch && field.changeable {
                changed.push(field.name.clone());
            }
        }
        match &binding.body {
            Source::Field { number, .. } => Value::Bytes(&read.wire).write(*number, out),
            Source::Nothing | Source::Everything => out.extend_from_slice(&read.wire),
        }
        Some(changed)
    }

    /// Appends the fields of the path. They come last because the last value of a field counts.
    fn read_path(&self, out: &mut Vec<u8>, problems: &mut Vec<Violation>) {
        let Self { binding, schema, .. } = self;
        for ((name, field), text) in binding.captures.iter().zip(&self.captured) {
            let Ok(text) = percent_decode_str(text).decode_utf8() else {
                problems.push(binding.in_path(name, NOT_UTF8));
                continue;
            };
            // Ids may be in upper or lower case. `Source::Everything` refuses them in the body.
            let within = matches!(binding.body, Source::Field { .. });
            let other = field.text(out).ok().filter(|_| within);
            if other.is_some_and(|other| !other.is_empty() && !other.eq_ignore_ascii_case(&text)) {
                problems.push(Violation::new(last_name(name), "must be the same as in the path"));
            }
            if !write_text(schema, field, &text, out) {
                problems.push(binding.in_path(name, &expected(schema, field.kind)));
            }
        }
    }

    /// Appends the fields of the query. Returns whether it has an update mask.
    fn read_query(
        &self,
        query: Option<&str>,
        out: &mut Vec<u8>,
        problems: &mut Vec<Violation>,
    ) -> bool {
        let Self { binding, schema, .. } = self;
        let query = query.unwrap_or_default();
        let (mut seen, mut masked) = (Vec::new(), false);
        // The parser replaces invalid UTF-8, so the undecoded pair is checked as well.
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (pair, (name, text)) in pairs.zip(form_urlencoded::parse(query.as_bytes())) {
            if problems.len() >= read::MAX_PROBLEMS {
                break;
            }
            let mut problem = |message: String| {
                problems.push(Violation::new(shortened(&name), message));
            };
            let Some(field) = binding.in_query(schema, &name) else {
                problem("is not a known parameter".into());
                continue;
            };
            // HTML forms send empty text for inputs that are not filled in.
            if text.is_empty() {
                continue;
            }
            if percent_decode_str(pair).decode_utf8().is_err() {
                problem(NOT_UTF8.into());
            } else if !write_text(schema, &field, &text, out) {
                problem(expected(schema, field.kind));
            }
            masked |= name == "update_mask";
            if !field.repeated {
                if seen.contains(&name) {
                    problem("is given twice".into());
                } else {
                    seen.push(name);
                }
            }
        }
        masked
    }
}

impl Binding {
    /// Returns the field of a query parameter.
    pub(crate) fn in_query(&self, schema: &Schema, name: &str) -> Option<FieldPath> {
        let outermost = name.split('.').next().unwrap_or_default();
        let elsewhere = match &self.body {
            Source::Nothing => false,
            Source::Everything => true,
            Source::Field { name, .. } => name == outermost,
        };
        let of_path = self.of_path.iter().any(|of_path| of_path == name);
        let field = FieldPath::find(schema, self.input, name)?;
        let mask = self.update.is_some() && name == "update_mask";
        let scalar = mask || !matches!(field.kind, Type::Message(_));
        (!elsewhere && !of_path && scalar).then_some(field)
    }
}

/// Appends a value from the path or query. Returns false if it is not of the field's type.
fn write_text(schema: &Schema, field: &FieldPath, text: &str, out: &mut Vec<u8>) -> bool {
    if let Type::Message(_) = field.kind {
        field.write(Value::Bytes(&mask(text).encode_to_vec()), out);
        return true;
    }
    from_text(schema, field.kind, text).map(|value| field.write(value, out)).is_some()
}

#[cfg(test)]
mod tests;
