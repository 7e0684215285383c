//! How values of core stand in columns: ids as text, numbers as they are, the rest as JSON.

use super::fault::Fault;
use muster_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(Fault::Encoding)
}

pub(super) fn from_json<T: DeserializeOwned>(table: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Nonsense(format!("a row of {table} can't be read: {error}")))
}

pub(super) fn parse<T: FromStr<Err: Display>>(table: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::Nonsense(format!("a row of {table} can't be read: {error}")))
}

/// SQLite's integers are signed; beyond 2^63 they come out negative, and back as they were.
pub(super) fn number(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) fn from_number(value: i64) -> u64 {
    value.cast_unsigned()
}

pub(super) fn time(at: Timestamp) -> i64 {
    number(at.0)
}

pub(super) fn from_time(at: i64) -> Timestamp {
    Timestamp(from_number(at))
}

/// A page's size as SQLite takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit.min(crate::PAGE_MAX)).unwrap_or(i64::MAX)
}
