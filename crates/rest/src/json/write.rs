//! Converts protobuf bytes to JSON in one pass, without an intermediate message. 64-bit integers
//! are written as numbers, not as strings: they are counts, and JSON readers accept both.

use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use serde::Serialize;

use crate::schema::{Field, Form, MessageId, Schema, Type};
use crate::wire::{Fields, MalformedResponse, Value};

/// Writes a message.
pub(crate) fn message(
    schema: &Schema,
    id: MessageId,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), MalformedResponse> {
    let message = schema.message(id);
    match message.form {
        Form::Object => {}
        Form::Timestamp => {
            let time = Timestamp::decode(wire).map_err(|_| MalformedResponse)?;
            return value(&time.to_string(), out);
        }
        Form::FieldMask => {
            let mask = FieldMask::decode(wire).map_err(|_| MalformedResponse)?;
            return value(&mask.paths.join(","), out);
        }
    }
    // The last value of each field; for a list, the bytes from its first item on.
    let mut last = vec![None; message.fields.len()];
    let mut fields = Fields(wire);
    loop {
        let here = fields.0;
        let Some(field) = fields.next() else { break };
        let (number, value) = field?;
        let Some(place) = message.place(number) else { continue };
        let (Some(slot), Some(field)) = (last.get_mut(place), message.fields.get(place)) else {
            continue;
        };
        if !field.repeated {
            *slot = Some(value);
        } else if slot.is_none() {
            *slot = Some(Value::Bytes(here));
        }
    }
    out.push(b'{');
    let empty = out.len();
    for (field, value) in message.fields.iter().zip(last) {
        if value.is_none() && field.optional && !field.repeated {
            continue;
        }
        if out.len() > empty {
            out.push(b',');
        }
        out.extend_from_slice(field.key.as_bytes());
        match (field.repeated, value) {
            (true, Some(Value::Bytes(from))) => list(schema, field, from, out)?,
            (true, _) => out.extend_from_slice(b"[]"),
            (false, Some(value)) => one(schema, field.kind, value, out)?,
            (false, None) => one(schema, field.kind, Value::Number(0), out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

/// Writes a list. In `from`, other fields may lie between the items.
fn list(
    schema: &Schema,
    field: &Field,
    from: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), MalformedResponse> {
    out.push(b'[');
    let empty = out.len();
    let item = |value: Value<'_>, out: &mut Vec<u8>| {
        if out.len() > empty {
            out.push(b',');
        }
        one(schema, field.kind, value, out)
    };
    for item_or_other in Fields(from) {
        match item_or_other? {
            (number, _) if number != field.number => {}
            // Numbers are packed.
            (_, Value::Bytes(packed)) if !matches!(field.kind, Type::Text | Type::Message(_)) => {
                let mut numbers = Fields(packed);
                while !numbers.0.is_empty() {
                    item(Value::Number(numbers.varint()?), out)?;
                }
            }
            (_, value) => item(value, out)?,
        }
    }
    out.push(b']');
    Ok(())
}

fn one(
    schema: &Schema,
    kind: Type,
    wire: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), MalformedResponse> {
    match (kind, wire) {
        (Type::Text, Value::Bytes(bytes)) => {
            value(std::str::from_utf8(bytes).map_err(|_| MalformedResponse)?, out)
        }
        (Type::Message(id), Value::Bytes(bytes)) => message(schema, id, bytes, out),
        (Type::Bool, Value::Number(number)) => value(&(number != 0), out),
        (Type::Int32, Value::Number(number)) => value(&int32(number), out),
        (Type::Int64, Value::Number(number)) => value(&number.cast_signed(), out),
        (Type::Enum(id), Value::Number(number)) => match schema.values(id).name(int32(number)) {
            Some(name) => value(name, out),
            // The contract does not define the number.
            None => value(&int32(number), out),
        },
        _ => Err(MalformedResponse),
    }
}

/// Returns the lower 32 bits: protobuf encodes negative numbers in 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "protobuf requires readers to truncate")]
fn int32(number: u64) -> i32 {
    number.cast_signed() as i32
}

fn value<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), MalformedResponse> {
    serde_json::to_writer(out, value).map_err(|_| MalformedResponse)
}
