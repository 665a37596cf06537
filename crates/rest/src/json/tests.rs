//! Compares our JSON with that of prost-reflect, which is an independent implementation.

use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind,
    MessageDescriptor, SerializeOptions, Value,
};

use super::{read, write};
use crate::schema::{MessageId, Schema};

/// A random number generator with the same sequence in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "a",
            "Z",
            "0",
            " ",
            "\"",
            "\\",
            "/",
            "<",
            "\n",
            "\u{0}",
            "\u{7f}",
            "ü",
            "\u{2028}",
            "👩🏽‍⚕️",
            "\\u0041",
            "\u{10ffff}",
        ];
        (0..self.below(6)).map(|_| self.of(&PARTS)).collect()
    }

    /// Returns a message with some of its fields.
    fn message(&mut self, kind: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        match kind.full_name() {
            "google.protobuf.Timestamp" => {
                // From the year 1 to the year 9999.
                let seconds = [-62_135_596_800, -1, 0, 1_700_000_000, 253_402_300_799];
                let nanos = [0, 1, 500_000_000, 120_000, 999_999_999];
                message.set_field_by_name("seconds", Value::I64(self.of(&seconds)));
                message.set_field_by_name("nanos", Value::I32(self.of(&nanos)));
                return message;
            }
            // prost-reflect writes paths in lowerCamelCase, so only single words are the same.
            "google.protobuf.FieldMask" => {
                let paths =
                    (0..self.below(3)).map(|_| Value::String(self.of(&["name", "email"]).into()));
                message.set_field_by_name("paths", Value::List(paths.collect()));
                return message;
            }
            _ => {}
        }
        for field in kind.fields().filter(|_| self.below(3) > 0).collect::<Vec<_>>() {
            if depth == 0 && matches!(field.kind(), Kind::Message(_)) {
                continue;
            }
            let value = match field.cardinality() {
                Cardinality::Repeated => {
                    Value::List((0..self.below(4)).map(|_| self.value(&field, depth)).collect())
                }
                _ => self.value(&field, depth),
            };
            message.set_field(&field, value);
        }
        message
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::String => Value::String(self.text()),
            Kind::Bool => Value::Bool(self.below(2) == 0),
            Kind::Int32 => Value::I32(self.of(&[0, 1, -1, 7, i32::MIN, i32::MAX])),
            Kind::Int64 => Value::I64(self.of(&[0, 1, -1, 1 << 53, i64::MIN, i64::MAX])),
            // Includes numbers that the contract does not define.
            Kind::Enum(_) => Value::EnumNumber(self.of(&[0, 1, 2, 99, -1])),
            Kind::Message(kind) => Value::Message(self.message(&kind, depth - 1)),
            kind => panic!("{kind:?}"),
        }
    }
}

/// Returns the request and response messages of all RPCs with a path.
fn messages() -> (Schema, Vec<(MessageDescriptor, MessageId)>) {
    let pool = DescriptorPool::decode(clinic_proto::FILE_DESCRIPTOR_SET).unwrap();
    let (mut schema, mut messages) = (Schema::default(), Vec::new());
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if clinic_contract::paths(&method).unwrap().is_some() {
            for kind in [method.input(), method.output()] {
                let id = schema.add(&kind).unwrap();
                messages.push((kind, id));
            }
        }
    }
    assert!(messages.len() > 50);
    (schema, messages)
}

/// Runs a test on many messages of every type.
fn for_messages(test: impl Fn(&Schema, MessageId, &DynamicMessage)) {
    let (schema, messages) = messages();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (kind, id) in messages {
        for _ in 0..100 {
            test(&schema, id, &random.message(&kind, 3));
        }
    }
}

fn ours(schema: &Schema, id: MessageId, wire: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    write::message(schema, id, wire, &mut json).unwrap();
    json
}

fn theirs(message: &DynamicMessage, options: &SerializeOptions) -> Vec<u8> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(&mut serializer, options).unwrap();
    json
}

#[test]
fn prost_reflect_reads_our_json() {
    for_messages(|schema, id, message| {
        let json = ours(schema, id, &message.encode_to_vec());
        let mut source = serde_json::Deserializer::from_slice(&json);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let kind = prost_reflect::ReflectMessage::descriptor(message);
        let read = DynamicMessage::deserialize_with_options(kind, &mut source, &options);
        let read = read.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&json)));
        source.end().unwrap();
        assert_eq!(read.encode_to_vec(), message.encode_to_vec(), "{message}");
    });
}

/// Asserts that a message was read as it was written, without its output-only fields.
fn assert_is_as_given(read: &read::Read, written: &DynamicMessage) {
    assert_eq!(read.problems, [], "{written}");
    let kind = prost_reflect::ReflectMessage::descriptor(written);
    let read = DynamicMessage::decode(kind, &*read.wire).unwrap();
    let mut given = written.clone();
    clear_output_only(&mut given);
    assert_eq!(read.encode_to_vec(), given.encode_to_vec(), "{written}");
}

fn clear_output_only(message: &mut DynamicMessage) {
    let kind = prost_reflect::ReflectMessage::descriptor(message);
    if !kind.full_name().starts_with("clinic.") {
        return;
    }
    let said = clinic_contract::message(&kind).unwrap().fields;
    for (field, said) in kind.fields().zip(said) {
        if said.output_only {
            message.clear_field(&field);
        } else if message.has_field(&field) {
            match message.get_field_mut(&field) {
                Value::Message(inner) => clear_output_only(inner),
                Value::List(items) => {
                    for item in items {
                        if let Value::Message(inner) = item {
                            clear_output_only(inner);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn we_read_prost_reflects_json() {
    let names = SerializeOptions::new().use_proto_field_name(true);
    for options in [
        names.clone(),
        names.clone().stringify_64_bit_integers(false),
        names.clone().use_enum_numbers(true),
        names.skip_default_fields(false),
    ] {
        for_messages(|schema, id, message| {
            let json = theirs(message, &options);
            let Ok(read) = read::message(schema, id, &json) else {
                panic!("{}", String::from_utf8_lossy(&json));
            };
            assert_is_as_given(&read, message);
        });
    }
}

#[test]
fn we_read_our_own_json() {
    for_messages(|schema, id, message| {
        let json = ours(schema, id, &message.encode_to_vec());
        let Ok(read) = read::message(schema, id, &json) else { panic!("{message}") };
        assert_is_as_given(&read, message);
    });
}

/// Returns the bytes with some of them changed, removed or repeated.
fn damaged(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.of(b"{}[]\",:\\0-\xff\0 en"),
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

#[test]
fn damage_is_found_or_harmless() {
    let (schema, messages) = messages();
    let mut random = Random(7);
    let (mut refused, mut taken) = (0, 0);
    for (kind, id) in messages {
        for _ in 0..300 {
            let wire = random.message(&kind, 2).encode_to_vec();
            let mut json = Vec::new();
            // The output for damaged protobuf is still valid JSON.
            if write::message(&schema, id, &damaged(&mut random, &wire), &mut json).is_ok() {
                serde_json::from_slice::<serde_json::Value>(&json).unwrap();
            }
            let json = damaged(&mut random, &ours(&schema, id, &wire));
            match read::message(&schema, id, &json) {
                Err(_) => refused += 1,
                Ok(read) if !read.problems.is_empty() => refused += 1,
                // If damaged JSON is read, it is still JSON, and the result is a message.
                Ok(read) => {
                    taken += 1;
                    serde_json::from_slice::<serde::de::IgnoredAny>(&json).unwrap();
                    DynamicMessage::decode(kind.clone(), &*read.wire).unwrap();
                }
            }
        }
    }
    assert!(refused > 1000 && taken > 100, "{refused} {taken}");
}
