//! From a request of HTTP to the message of its method.

use std::borrow::Cow;

use clinic_proto::validation::Violation;
use percent_encoding::percent_decode_str;
use prost::Message as _;

use crate::binding::{Binding, From};
use crate::json::read::{self, Found, Unreadable, expected, mask, scalar, shortened};
use crate::routes::Matched;
use crate::schema::{Schema, Type};
use crate::wire::{FieldPath, Scalar, nested};

/// What of the request is not in its path.
#[derive(Default)]
pub struct Input<'a> {
    pub query: Option<&'a str>,
    /// Empty where there is none, which is the same as `{}`.
    pub body: &'a [u8],
    /// Of `If-Match`: the etag without its quotes.
    pub etag: Option<&'a str>,
    /// Of `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// Why there is no message. Names are those of the JSON body, the query or the header.
#[derive(Debug)]
pub enum Refusal {
    /// The body is not JSON.
    NotJson {
        line: usize,
        column: usize,
    },
    Fields(Vec<Violation>),
}

/// Bytes before a message of gRPC: a flag and the length.
const PREFIX: usize = 5;

impl Matched<'_> {
    /// The message as a frame of gRPC: a flag, four bytes of length, and protobuf.
    ///
    /// # Errors
    /// With everything that is wrong, as far as it is found without knowing the rules of fields.
    pub fn request(&self, input: &Input<'_>) -> Result<Vec<u8>, Refusal> {
        let Self { binding, schema, .. } = self;
        let mut frame = vec![0; PREFIX];
        let mut problems = Vec::new();
        let given = match read_body(binding, schema, input.body, &mut frame) {
            Ok(given) => given,
            Err(Unreadable::Syntax { line, column }) => {
                return Err(Refusal::NotJson { line, column });
            }
            Err(Unreadable::Fields(violations)) => {
                problems = violations;
                Vec::new()
            }
        };
        let masked = self.read_query(input.query, &mut frame, &mut problems);
        if let (Some(update), false) = (&binding.update, masked) {
            let paths = if update.replace { vec!["*".to_owned()] } else { given };
            let paths = prost_types::FieldMask { paths }.encode_to_vec();
            update.mask.write_message(&paths, &mut frame);
        }
        match (input.etag, &binding.etag) {
            (Some(etag), Some(field)) => field.write(Scalar::Text(etag), &mut frame),
            (Some(_), None) => problems.push(Violation::new("If-Match", "cannot be used here")),
            (None, _) => {}
        }
        if let (Some(key), Some(field)) = (input.idempotency_key, &binding.request_id) {
            field.write(Scalar::Text(key), &mut frame);
        }
        // Last, so that it is the path that counts.
        for ((name, field), text) in binding.captures.iter().zip(&self.captured) {
            let text = percent_decode_str(text).decode_utf8();
            match text.ok().filter(|text| write_text(schema, field, text, &mut frame)) {
                Some(_) => {}
                None => problems.push(Violation::new(name.as_str(), expected(schema, field.kind))),
            }
        }
        frame.extend_from_slice(&binding.fixed);
        if !problems.is_empty() {
            return Err(Refusal::Fields(problems));
        }
        let len = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX);
        for (byte, of_len) in frame.iter_mut().skip(1).zip(len.to_be_bytes()) {
            *byte = of_len;
        }
        Ok(frame)
    }

    /// Whether the query says what an update changes.
    fn read_query(
        &self,
        query: Option<&str>,
        out: &mut Vec<u8>,
        problems: &mut Vec<Violation>,
    ) -> bool {
        let Self { binding, schema, .. } = self;
        let mut seen: Vec<Cow<'_, str>> = Vec::new();
        let mut masked = false;
        for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let mut problem = |message: String| {
                problems.push(Violation::new(shortened(&name), message));
            };
            let Some(field) = binding.in_query(schema, &name) else {
                problem("is not a parameter here".into());
                continue;
            };
            // A form that was not filled in sends empty text.
            if text.is_empty() {
                continue;
            }
            if !write_text(schema, &field, &text, out) {
                problem(expected(schema, field.kind));
            }
            masked |= name == "update_mask";
            if !field.repeated && seen.contains(&name) {
                problem("is given twice".into());
            }
            seen.push(name);
        }
        masked
    }
}

impl Binding {
    /// The field that a parameter of the query stands for.
    pub(crate) fn in_query(&self, schema: &Schema, name: &str) -> Option<FieldPath> {
        let outermost = name.split('.').next().unwrap_or_default();
        let elsewhere = match &self.body {
            From::Nothing => false,
            From::Everything => true,
            From::Field { name, .. } => name == outermost,
        };
        let said = self.said.iter().any(|said| said == name);
        let field = FieldPath::find(schema, self.input, name)?;
        let mask = self.update.is_some() && name == "update_mask";
        let scalar = mask || !matches!(field.kind, Type::Message(_));
        (!elsewhere && !said && scalar).then_some(field)
    }
}

/// What the body gives to the message; of an update also which fields it names.
fn read_body(
    binding: &Binding,
    schema: &Schema,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Vec<String>, Unreadable> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    match &binding.body {
        From::Nothing => Ok(Vec::new()),
        From::Everything => {
            let read = read::message(schema, binding.input, body)?;
            let fields = &schema.message(binding.input).fields;
            let said = read.given.iter().filter_map(|at| fields.get(*at));
            let said: Vec<_> = said
                .filter(|field| binding.said.contains(&field.name))
                .map(|field| Violation::new(field.name.as_str(), "is said by the path already"))
                .collect();
            if !said.is_empty() {
                return Err(Unreadable::Fields(said));
            }
            out.extend_from_slice(&read.wire);
            Ok(Vec::new())
        }
        From::Field { number, message, .. } => {
            let read = read::message(schema, *message, body)?;
            nested(*number, out, |out| out.extend_from_slice(&read.wire));
            let fields = &schema.message(*message).fields;
            let given = read.given.iter().filter_map(|at| fields.get(*at));
            Ok(given.filter(|field| field.changeable).map(|field| field.name.clone()).collect())
        }
    }
}

/// Adds what the text of a path or a query stands for; false when it cannot be that.
fn write_text(schema: &Schema, field: &FieldPath, text: &str, out: &mut Vec<u8>) -> bool {
    if let Type::Message(_) = field.kind {
        field.write_message(&mask(text).encode_to_vec(), out);
        return true;
    }
    let value = from_text(schema, field.kind, text);
    if let Some(value) = value {
        field.write(value, out);
    }
    value.is_some()
}

/// The value that the text stands for.
pub(crate) fn from_text<'a>(schema: &Schema, kind: Type, text: &'a str) -> Option<Scalar<'a>> {
    let found = match kind {
        // As Python writes it too.
        Type::Bool if text.eq_ignore_ascii_case("true") || text == "1" => Found::Bool(true),
        Type::Bool if text.eq_ignore_ascii_case("false") || text == "0" => Found::Bool(false),
        Type::Enum(_) => text.parse().map_or(Found::Text(text), Found::Int),
        _ => Found::Text(text),
    };
    scalar(schema, kind, found)
}
