//! From protobuf to JSON, in one pass and without a message in between. 64-bit numbers are written
//! as numbers: they count things, and readers take both.

use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use serde::Serialize;

use crate::answer::Damaged;
use crate::schema::{EnumId, Field, Form, MessageId, Schema, Type};
use crate::wire::{Fields, Value};

/// Writes the message.
pub(crate) fn message(
    schema: &Schema,
    id: MessageId,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Damaged> {
    let message = schema.message(id);
    match message.form {
        Form::Object => {}
        Form::Timestamp => {
            let time = Timestamp::decode(wire).map_err(|_| Damaged)?;
            return value(&time.to_string(), out);
        }
        Form::FieldMask => {
            let mask = FieldMask::decode(wire).map_err(|_| Damaged)?;
            return value(&mask.paths.join(","), out);
        }
    }
    // The last of each field counts, and where a list begins.
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
        match (field.repeated, &slot) {
            (true, None) => *slot = Some(Value::Bytes(here)),
            (true, Some(_)) => {}
            (false, _) => *slot = Some(value),
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
            (true, from) => list(schema, field, from, out)?,
            (false, Some(value)) => one(schema, field.kind, value, out)?,
            (false, None) => one(schema, field.kind, Value::Number(0), out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

/// A list, whose items stand anywhere from there on.
fn list(
    schema: &Schema,
    field: &Field,
    from: Option<Value<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Damaged> {
    out.push(b'[');
    let empty = out.len();
    let Some(Value::Bytes(wire)) = from else {
        out.push(b']');
        return Ok(());
    };
    let item = |value: Value<'_>, out: &mut Vec<u8>| {
        if out.len() > empty {
            out.push(b',');
        }
        one(schema, field.kind, value, out)
    };
    for found in Fields(wire) {
        match found? {
            (number, _) if number != field.number => {}
            // Numbers travel packed.
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

fn one(schema: &Schema, kind: Type, found: Value<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    match (kind, found) {
        (Type::Text, Value::Bytes(bytes)) => {
            value(std::str::from_utf8(bytes).map_err(|_| Damaged)?, out)
        }
        (Type::Message(id), Value::Bytes(bytes)) => message(schema, id, bytes, out),
        (Type::Bool, Value::Number(number)) => value(&(number != 0), out),
        (Type::Int32, Value::Number(number)) => value(&int32(number), out),
        (Type::Int64, Value::Number(number)) => value(&number.cast_signed(), out),
        (Type::Enum(id), Value::Number(number)) => named(schema, id, int32(number), out),
        _ => Err(Damaged),
    }
}

/// The name of the value; its number where the contract here does not know it.
fn named(schema: &Schema, id: EnumId, number: i32, out: &mut Vec<u8>) -> Result<(), Damaged> {
    match schema.values(id).name(number) {
        Some(name) => value(name, out),
        None => value(&number, out),
    }
}

/// The lower half: negative numbers travel as 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "what protobuf asks of its readers")]
fn int32(number: u64) -> i32 {
    number.cast_signed() as i32
}

fn value<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Damaged> {
    serde_json::to_writer(out, value).map_err(|_| Damaged)
}
