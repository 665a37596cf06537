//! The protobuf wire format: a sequence of fields, each with its number.

use prost::encoding::{self, DecodeContext, WireType, decode_key, decode_varint};

use crate::schema::{Field, MessageId, Schema, Type};

/// The response does not match the contract.
#[derive(Debug)]
pub struct MalformedResponse;

/// The value of a field.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    /// Encodes negative numbers of any width as 64 bits in two's complement, as protobuf does.
    fn from(number: i64) -> Self {
        Self::Number(number.cast_unsigned())
    }
}

impl Value<'_> {
    /// Appends the value as a field.
    pub(crate) fn write(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Number(value) => {
                encoding::encode_key(number, WireType::Varint, out);
                encoding::encode_varint(value, out);
            }
            Self::Bytes(bytes) => {
                encoding::encode_key(number, WireType::LengthDelimited, out);
                encoding::encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// An iterator over the fields of an encoded message.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), MalformedResponse>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Option<(u32, Value<'a>)>, MalformedResponse> {
        while !self.0.is_empty() {
            let (number, kind) = decode_key(&mut self.0).map_err(|_| MalformedResponse)?;
            match kind {
                WireType::Varint => return Ok(Some((number, Value::Number(self.varint()?)))),
                WireType::LengthDelimited => {
                    let len = usize::try_from(self.varint()?).map_err(|_| MalformedResponse)?;
                    let (value, rest) = self.0.split_at_checked(len).ok_or(MalformedResponse)?;
                    self.0 = rest;
                    return Ok(Some((number, Value::Bytes(value))));
                }
                // No field of the schema has this wire type.
                other => encoding::skip_field(other, number, &mut self.0, DecodeContext::default())
                    .map_err(|_| MalformedResponse)?,
            }
        }
        Ok(None)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, MalformedResponse> {
        decode_varint(&mut self.0).map_err(|_| MalformedResponse)
    }
}

/// The path of a nested field, such as `patient.user_id`.
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
    pub(crate) fn read<'a>(
        &self,
        message: &'a [u8],
    ) -> Result<Option<&'a [u8]>, MalformedResponse> {
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
    pub(crate) fn text<'a>(&self, message: &'a [u8]) -> Result<&'a str, MalformedResponse> {
        std::str::from_utf8(self.read(message)?.unwrap_or_default()).map_err(|_| MalformedResponse)
    }

    /// Appends the field, wrapped in its enclosing messages. Decoders use the last value of a
    /// field, and merge messages.
    pub(crate) fn write(&self, value: Value<'_>, out: &mut Vec<u8>) {
        let mut field = Vec::new();
        value.write(self.number, &mut field);
        for number in self.outer.iter().rev() {
            let inner = std::mem::take(&mut field);
            Value::Bytes(&inner).write(*number, &mut field);
        }
        out.extend_from_slice(&field);
    }
}
