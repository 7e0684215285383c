//! The small checks that every conversion is made of.

use super::invalid::{InvalidMessage, Problem};
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use muster_core::ids::{Attempt, IdError, RequestId, TEXT_MAX_BYTES};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What a field holds, converted; it has to be set.
///
/// # Errors
/// `Missing`, or what its conversion finds, with the field's name before it.
pub fn required<M, C>(field: &str, message: Option<M>) -> Result<C, InvalidMessage>
where
    C: TryFrom<M, Error = InvalidMessage>,
{
    nested(field, present(field, message)?)
}

/// A request's id.
///
/// # Errors
/// `Identity` where it is no UUID.
pub fn request_id(given: &str) -> Result<RequestId, InvalidMessage> {
    parsed("request_id", given)
}

/// A message's encoding: the same for the same message, so that two can be compared by a hash.
#[must_use]
pub fn payload<M: prost::Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// That a repeated field holds no more than `max` items.
///
/// # Errors
/// `TooMany`.
pub fn require_items(field: &str, given: usize, max: usize) -> Result<(), InvalidMessage> {
    if given > max { Err(InvalidMessage::new(field, Problem::TooMany { given, max })) } else { Ok(()) }
}

/// A text that a person wrote and that will be kept: 1 to [`TEXT_MAX_BYTES`] bytes without control characters.
///
/// # Errors
/// `Empty`, `TooLong` or `ControlCharacters`.
pub fn text(field: &str, given: String) -> Result<String, InvalidMessage> {
    bounded_text(field, given, TEXT_MAX_BYTES)
}

/// A text of 1 to `max` bytes without control characters.
///
/// # Errors
/// `Empty`, `TooLong` or `ControlCharacters`.
pub fn bounded_text(field: &str, given: String, max: usize) -> Result<String, InvalidMessage> {
    let problem = if given.is_empty() {
        Problem::Empty
    } else if given.len() > max {
        Problem::TooLong { given: given.len(), max }
    } else if given.chars().any(char::is_control) {
        Problem::ControlCharacters
    } else {
        return Ok(given);
    };
    Err(InvalidMessage::new(field, problem))
}

pub(super) fn present<M>(field: &str, message: Option<M>) -> Result<M, InvalidMessage> {
    message.ok_or_else(|| InvalidMessage::new(field, Problem::Missing))
}

pub(super) fn nested<M, C>(field: &str, message: M) -> Result<C, InvalidMessage>
where
    C: TryFrom<M, Error = InvalidMessage>,
{
    C::try_from(message).map_err(|invalid| invalid.within(field))
}

pub(super) fn optional<M, C>(field: &str, message: Option<M>) -> Result<Option<C>, InvalidMessage>
where
    C: TryFrom<M, Error = InvalidMessage>,
{
    message.map(|message| nested(field, message)).transpose()
}

pub(super) fn each<M, C>(field: &str, messages: Vec<M>, max: usize) -> Result<Vec<C>, InvalidMessage>
where
    C: TryFrom<M, Error = InvalidMessage>,
{
    require_items(field, messages.len(), max)?;
    let convert = |(index, message)| C::try_from(message).map_err(|invalid| invalid.within(&at(field, index)));
    messages.into_iter().enumerate().map(convert).collect()
}

/// A name or an id.
///
/// # Errors
/// `Identity` with what its own rule says.
pub fn parsed<C: FromStr<Err = IdError>>(field: &str, given: &str) -> Result<C, InvalidMessage> {
    given.parse().map_err(|error: IdError| InvalidMessage::new(field, error))
}

/// What an empty text says nothing of.
pub(super) fn unless_empty<T>(
    given: &str,
    read: impl FnOnce(&str) -> Result<T, InvalidMessage>,
) -> Result<Option<T>, InvalidMessage> {
    if given.is_empty() { Ok(None) } else { read(given).map(Some) }
}

pub(super) fn each_parsed<C>(field: &str, given: &[String], max: usize) -> Result<Vec<C>, InvalidMessage>
where
    C: FromStr<Err = IdError>,
{
    require_items(field, given.len(), max)?;
    given.iter().enumerate().map(|(index, item)| parsed(&at(field, index), item)).collect()
}

/// An attempt's count.
///
/// # Errors
/// `Identity` for 0.
pub fn attempt(field: &str, given: u32) -> Result<Attempt, InvalidMessage> {
    Attempt::new(given).map_err(|error| InvalidMessage::new(field, error))
}

/// How many items a page is to hold: what was asked for, or [`PAGE_DEFAULT`] for 0.
///
/// # Errors
/// `OutOfRange` above [`PAGE_MAX`].
pub fn page_size(field: &str, given: u32) -> Result<usize, InvalidMessage> {
    let asked = if given == 0 { PAGE_DEFAULT } else { given };
    within_range(field, asked.into(), 1, PAGE_MAX.into())?;
    // At most PAGE_MAX, which fits every usize.
    Ok(asked as usize)
}

pub(super) fn within_range(field: &str, given: u64, min: u64, max: u64) -> Result<u64, InvalidMessage> {
    if (min..=max).contains(&given) {
        Ok(given)
    } else {
        Err(InvalidMessage::new(field, Problem::OutOfRange { given, min, max }))
    }
}

pub(super) fn size_mib(field: &str, given: u64) -> Result<u64, InvalidMessage> {
    within_range(field, given, 0, crate::limits::SIZE_MAX_MIB)
}

/// A boolean that marks which of several a message is: always true when set.
pub(super) fn marked<C>(field: &str, given: bool, meaning: C) -> Result<C, InvalidMessage> {
    if given { Ok(meaning) } else { Err(InvalidMessage::new(field, Problem::MarkedFalse)) }
}

/// An enum's field: `E` is the generated enum, which doesn't know every number; `meaning` gives nothing for its
/// UNSPECIFIED.
pub(super) fn enumerated<E, C>(
    field: &str,
    kind: &'static str,
    value: i32,
    meaning: impl FnOnce(E) -> Option<C>,
) -> Result<C, InvalidMessage>
where
    E: TryFrom<i32>,
{
    let known = E::try_from(value).ok().and_then(meaning);
    known.ok_or_else(|| InvalidMessage::new(field, Problem::NotInEnum { kind, value }))
}

/// That no key stands twice.
pub(super) fn each_once<K: Ord>(field: &str, inner: &str, keys: impl Iterator<Item = K>) -> Result<(), InvalidMessage> {
    let mut seen = BTreeMap::new();
    for (index, key) in keys.enumerate() {
        if let Some(first) = seen.insert(key, index) {
            return Err(InvalidMessage::new(inner, Problem::Repeated { first }).within(&at(field, index)));
        }
    }
    Ok(())
}

pub(super) fn at(field: &str, index: usize) -> String {
    format!("{field}[{index}]")
}
