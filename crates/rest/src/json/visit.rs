//! The serde visitors of the reader.

use std::fmt::{self, Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::{Found, Reader, shortened};
use crate::schema::{Field, Form, Message, MessageId, Type};
use crate::wire;

/// The visitor of the whole body.
pub(super) struct Outermost<'r, 's>(pub(super) &'r mut Reader<'s>, pub(super) MessageId);

impl<'de> DeserializeSeed<'de> for Outermost<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        let message = self.0.schema.message(self.1);
        self.0.object(message, object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.refuse()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.refuse()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.refuse()
    }
}

impl Outermost<'_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "the return type of every visit method")]
    fn refuse<E: de::Error>(self) -> Result<(), E> {
        self.0.is_object = false;
        Ok(())
    }
}

/// The visitor of a field name. Returns the field's index, or `None` for an unknown name.
pub(super) struct Key<'r, 's>(pub(super) &'r mut Reader<'s>, pub(super) &'s Message);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let Self(reader, message) = self;
        if let Some((place, _)) = message.named(name) {
            return Ok(Some(place));
        }
        reader.within(&shortened(name), |reader| {
            reader.problem(reader.path.clone(), "is not a known field")
        })?;
        Ok(None)
    }
}

/// The visitor of a field's value, or of an item of a list.
pub(super) struct Slot<'r, 's> {
    pub(super) reader: &'r mut Reader<'s>,
    pub(super) field: &'s Field,
    /// Whether this is an item of a list, not the list.
    pub(super) item: bool,
}

impl Slot<'_, '_> {
    fn scalar<E: de::Error>(self, found: Found<'_>) -> Result<bool, E> {
        match self.field.repeated && !self.item {
            true => self.reader.wrong_type(self.field, true)?,
            false => self.reader.scalar(self.field, found)?,
        }
        Ok(true)
    }
}

impl<'de> DeserializeSeed<'de> for Slot<'_, '_> {
    /// Whether there is a value: null is none.
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        if self.item {
            self.reader.wrong_type(self.field, false)?;
        }
        Ok(false)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.scalar(Found::Text(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        self.scalar(Found::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<bool, E> {
        self.scalar(Found::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<bool, E> {
        self.scalar(i64::try_from(number).map_or(Found::Real(f64::MAX), Found::Int))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<bool, E> {
        self.scalar(Found::Real(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { reader, field, item } = self;
        if !field.repeated || item {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            reader.wrong_type(field, false)?;
            return Ok(true);
        }
        let outer = reader.path.len();
        for index in 0_usize.. {
            let _ = write!(reader.path, "[{index}]");
            let more = list.next_element_seed(Slot { reader, field, item: true });
            reader.path.truncate(outer);
            if more?.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let Self { reader, field, item } = self;
        let schema = reader.schema;
        if let (Type::Message(id), true) = (field.kind, field.repeated == item) {
            let message = schema.message(id);
            if message.form == Form::Object {
                // Encoded separately, because its length precedes it.
                let outer = std::mem::take(&mut reader.wire);
                let outcome = reader.object(message, object);
                let inner = std::mem::replace(&mut reader.wire, outer);
                wire::bytes(field.number, &inner, &mut reader.wire);
                return outcome.map(|()| true);
            }
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        reader.wrong_type(field, field.repeated && !item)?;
        Ok(true)
    }
}
