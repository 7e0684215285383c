//! Values drawn from a list of numbers, so that a failing case shrinks to a short list of small ones: 0 is always the plainest
//! choice, and what is drawn past the list's end is 0.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;

/// How deep messages may stand in messages.
const DEPTH_MAX: u32 = 6;
/// Numbers at the ends of what can be counted, and small ones.
const NUMBERS: [u64; 18] = [
    0,
    1,
    2,
    3,
    5,
    17,
    255,
    1_000,
    65_536,
    i32::MAX as u64,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    1_700_000_000_000,
    315_360_000_000,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Texts that mean something somewhere, or are no names at all.
pub(crate) const TEXTS: [&str; 22] = [
    "",
    "a",
    "site-a",
    "site-a-1",
    "web",
    "operator",
    "0a000000-0000-4000-8000-000000000001",
    "0A000000-0000-4000-8000-000000000001",
    "00000000-0000-0000-0000-000000000000",
    "0a000000-0000-4000-8000",
    "\u{0}",
    "a\nb",
    "\u{1b}[31m",
    "-rf",
    "../../etc/passwd",
    "ä\u{202e}ö",
    "😀",
    "1",
    "18446744073709551616",
    "-1",
    "{}",
    "x-1.y_2",
];

/// Numbers as TOML writes them that are none of muster's.
pub(crate) const NUMBER_WORDS: [&str; 10] = [
    "-1",
    "0.5",
    "nan",
    "inf",
    "-9223372036854775808",
    "9223372036854775807",
    "1e308",
    "0x10",
    "1979-05-27T07:32:00Z",
    "1_000",
];

/// A list of numbers to draw from.
pub(crate) fn numbers(most: usize) -> impl Strategy<Value = Vec<u64>> {
    vec(any::<u64>(), 0..most)
}

/// What is still to be drawn.
pub(crate) struct Choices<'c> {
    left: std::slice::Iter<'c, u64>,
    texts: &'c [String],
}

impl<'c> Choices<'c> {
    /// Draws from `numbers`; `texts` are more that a text may be.
    pub(crate) fn of(numbers: &'c [u64], texts: &'c [String]) -> Self {
        Choices { left: numbers.iter(), texts }
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.left.next().copied().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.any() % bound).unwrap_or(0)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left.len() == 0
    }

    pub(crate) fn number(&mut self) -> u64 {
        match self.below(NUMBERS.len() + 2) {
            index if index < NUMBERS.len() => NUMBERS[index],
            _ => self.any(),
        }
    }

    pub(crate) fn text(&mut self) -> String {
        let known = TEXTS.len() + self.texts.len();
        match self.below(known * 2 + 2) {
            // Those of the stage count twice as much: what means nothing is refused at the door.
            index if index < TEXTS.len() => TEXTS[index].to_owned(),
            index if index < known * 2 && !self.texts.is_empty() => self.texts[index % self.texts.len()].clone(),
            index if index < known * 2 => TEXTS[index % TEXTS.len()].to_owned(),
            index if index == known * 2 => "x".repeat(self.below(70_000)),
            _ => (0..self.below(12)).filter_map(|_| char::from_u32(self.any() as u32 & 0x001f_ffff)).collect(),
        }
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(64)).map(|_| self.any() as u8).collect()
    }
}

/// Every message that the API declares, by its full name.
pub(crate) struct Declared(pub(crate) BTreeMap<String, DescriptorProto>);

impl Declared {
    pub(crate) fn read(set: &FileDescriptorSet) -> Self {
        let mut all = BTreeMap::new();
        for file in &set.file {
            for message in &file.message_type {
                nested(&format!(".{}", file.package()), message, &mut all);
            }
        }
        Declared(all)
    }

    /// A message of this name, as bytes: its fields are of the declared types, and any of them may be missing.
    pub(crate) fn message(&self, name: &str, choices: &mut Choices<'_>, depth: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(message) = self.0.get(name).filter(|_| depth < DEPTH_MAX) else { return bytes };
        for field in &message.field {
            let count = match field.label() {
                Label::Repeated => choices.below(4),
                Label::Optional | Label::Required => usize::from(!choices.below(5).is_multiple_of(5)),
            };
            for _ in 0..count {
                self.field(field, choices, depth, &mut bytes);
            }
        }
        bytes
    }

    fn field(&self, field: &FieldDescriptorProto, choices: &mut Choices<'_>, depth: u32, bytes: &mut Vec<u8>) {
        let tag = |wire: u64| (u64::from(field.number().unsigned_abs()) << 3) | wire;
        let whole = match field.r#type() {
            Type::String => choices.text().into_bytes(),
            Type::Bytes => choices.bytes(),
            Type::Message | Type::Group => self.message(field.type_name(), choices, depth + 1),
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                varint(tag(1), bytes);
                bytes.extend(choices.number().to_le_bytes());
                return;
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                varint(tag(5), bytes);
                bytes.extend((choices.number() as u32).to_le_bytes());
                return;
            }
            Type::Enum => {
                varint(tag(0), bytes);
                let small = choices.below(16) as u64;
                varint(if small == 15 { choices.number() } else { small }, bytes);
                return;
            }
            Type::Int64 | Type::Uint64 | Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Sint64 | Type::Bool => {
                varint(tag(0), bytes);
                varint(choices.number(), bytes);
                return;
            }
        };
        varint(tag(2), bytes);
        varint(whole.len() as u64, bytes);
        bytes.extend(whole);
    }
}

fn nested(within: &str, message: &DescriptorProto, all: &mut BTreeMap<String, DescriptorProto>) {
    let name = format!("{within}.{}", message.name());
    for inner in &message.nested_type {
        nested(&name, inner, all);
    }
    all.insert(name, message.clone());
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Bytes with pieces cut out, doubled or changed.
pub(crate) fn spoilt(mut bytes: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    for _ in 0..=choices.below(4) {
        let (begin, length) = (choices.below(bytes.len() + 1), choices.below(9));
        let end = (begin + length).min(bytes.len());
        match choices.below(4) {
            0 => drop(bytes.drain(begin..end)),
            1 => {
                let piece = bytes[begin..end].to_vec();
                bytes.splice(begin..begin, piece);
            }
            2 => bytes[begin..end].iter_mut().for_each(|byte| *byte ^= choices.any() as u8),
            _ => {
                let piece = choices.bytes();
                bytes.splice(begin..end, piece);
            }
        }
    }
    bytes
}
