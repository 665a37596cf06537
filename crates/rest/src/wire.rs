//! The protobuf wire format: a sequence of fields, each with its number.

use prost::encoding::{self, DecodeContext, WireType, decode_key, decode_varint};

use crate::schema::{Field, MessageId, Schema, Type};

/// The response does not match the contract.
#[derive(Debug)]
pub struct Damaged;

/// The value of a field.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// An iterator over the fields of an encoded message.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Option<(u32, Value<'a>)>, Damaged> {
        while !self.0.is_empty() {
            let (number, kind) = decode_key(&mut self.0).map_err(|_| Damaged)?;
            match kind {
                WireType::Varint => return Ok(Some((number, Value::Number(self.varint()?)))),
                WireType::LengthDelimited => {
                    let len = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
                    let (value, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
                    self.0 = rest;
                    return Ok(Some((number, Value::Bytes(value))));
                }
                // No field of the schema has this wire type.
                other => encoding::skip_field(other, number, &mut self.0, DecodeContext::default())
                    .map_err(|_| Damaged)?,
            }
        }
        Ok(None)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        decode_varint(&mut self.0).map_err(|_| Damaged)
    }
}

/// The path of a nested field, such as `patient.user_id`.
#[derive(Clone)]
pub(crate) struct FieldPath {
    /// Field numbers of the enclosing messages.
    outer: Vec<u32>,
    number: u32,
    pub(crate) kind: Type,
    pub(crate) repeated: bool,
}

impl FieldPath {
    /// Finds a field by its dotted name.
    pub(crate) fn find(schema: &Schema, message: MessageId, name: &str) -> Option<Self> {
        let mut message = schema.message(message);
        let (mut outer, mut names) = (Vec::new(), name.split('.').peekable());
        while let Some(name) = names.next() {
            let (_, &Field { number, kind, repeated, .. }) = message.named(name)?;
            match (names.peek(), kind) {
                (None, _) => return Some(Self { outer, number, kind, repeated }),
                (Some(_), Type::Message(inner)) if !repeated => {
                    outer.push(number);
                    message = schema.message(inner);
                }
                (Some(_), _) => return None,
            }
        }
        None
    }

    /// Returns the last value of the field in a message.
    pub(crate) fn read<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, Damaged> {
        let mut found = Some(message);
        for number in self.outer.iter().chain([&self.number]) {
            let Some(message) = found.take() else { return Ok(None) };
            for field in Fields(message) {
                if let (n, Value::Bytes(value)) = field?
                    && n == *number
                {
                    found = Some(value);
                }
            }
        }
        Ok(found)
    }

    /// Returns the last value of the field as text; empty if there is none.
    pub(crate) fn text<'a>(&self, message: &'a [u8]) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.read(message)?.unwrap_or_default()).map_err(|_| Damaged)
    }

    /// Appends a value to a message. Decoders use the last value of a field, and merge messages.
    pub(crate) fn write(&self, value: Scalar<'_>, out: &mut Vec<u8>) {
        let mut field = Vec::new();
        value.write(self.number, &mut field);
        self.put(field, out);
    }

    /// Appends an encoded message to a message.
    pub(crate) fn write_message(&self, message: &[u8], out: &mut Vec<u8>) {
        let mut field = Vec::new();
        bytes(self.number, message, &mut field);
        self.put(field, out);
    }

    /// Appends an encoded field, wrapped in its enclosing messages.
    fn put(&self, mut field: Vec<u8>, out: &mut Vec<u8>) {
        for number in self.outer.iter().rev() {
            let within = std::mem::take(&mut field);
            bytes(*number, &within, &mut field);
        }
        out.extend_from_slice(&field);
    }
}

/// A value that is not a message.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(u64),
}

impl Scalar<'_> {
    pub(crate) fn write(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes(number, text.as_bytes(), out),
            Self::Number(value) => {
                encoding::encode_key(number, WireType::Varint, out);
                encoding::encode_varint(value, out);
            }
        }
    }
}

impl From<i64> for Scalar<'_> {
    /// Encodes negative numbers of any width as 64 bits in two's complement, as protobuf does.
    fn from(number: i64) -> Self {
        Self::Number(number.cast_unsigned())
    }
}

/// Appends text or an encoded message as a field.
pub(crate) fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(u64::try_from(value.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(value);
}
