//! Typed access to a TOML table: whatever isn't as it should be becomes a mistake at its place, and reading goes on.
//!
//! It knows nothing about runbooks. Whatever returns `None` for a key that is there has noted a mistake.

use super::mistake::{Mistakes, nearest, quote};
use crate::calendar::DAY_MS;
use crate::time::{Timestamp, days_since_epoch};
use std::ops::RangeInclusive;
use toml_edit::{Array, Item, Offset, TableLike, Time, Value};

/// A value and where it stands in the text, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) offset: usize,
}

/// A table of the text.
pub(super) struct Section<'d> {
    /// How mistakes call it: `[limits]`.
    pub(super) title: String,
    /// Where it stands.
    pub(super) offset: usize,
    table: &'d dyn TableLike,
}

impl<'d> Section<'d> {
    pub(super) fn new(title: impl Into<String>, offset: usize, table: &'d dyn TableLike) -> Self {
        Section { title: title.into(), offset, table }
    }

    /// The same section under another name.
    pub(super) fn titled(self, title: String) -> Self {
        Section { title, ..self }
    }

    /// Notes every key that isn't one of these.
    pub(super) fn knows(&self, keys: &[&str], mistakes: &mut Mistakes<'_>) {
        for (key, _) in self.table.iter() {
            if keys.contains(&key) {
                continue;
            }
            let mend = match nearest(key, keys.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("it knows {}", keys.join(", ")),
            };
            mistakes.note(self.key_offset(key), format!("unknown key {} in {}", quote(key), self.title), mend);
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.item(key).is_some()
    }

    /// Where a key stands; where it isn't there, where the section begins.
    pub(super) fn key_offset(&self, key: &str) -> usize {
        let span = self.table.get_key_value(key).and_then(|(key, _)| key.span());
        span.map_or(self.offset, |span| span.start)
    }

    /// Notes that a key is missing, unless it is there.
    pub(super) fn needs(&self, key: &str, mend: &str, mistakes: &mut Mistakes<'_>) {
        if !self.has(key) {
            mistakes.note(self.offset, format!("{} has no \"{key}\"", self.title), mend);
        }
    }

    /// A text of 1 to `bytes_max` bytes without control characters.
    pub(super) fn text(&self, key: &str, bytes_max: usize, mistakes: &mut Mistakes<'_>) -> Option<At<&'d str>> {
        let item = self.item(key)?;
        let offset = self.value_offset(key, item);
        let Some(text) = item.as_str() else {
            self.wrong_type(key, "a text in quotes", item, mistakes);
            return None;
        };
        if text.trim().is_empty() {
            mistakes.note(offset, format!("\"{key}\" is empty"), "write something between the quotes");
            return None;
        }
        if text.len() > bytes_max {
            mistakes.note(offset, format!("\"{key}\" has {} bytes", text.len()), format!("use {bytes_max} at most"));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            mistakes.note(offset, format!("\"{key}\" holds control characters"), "take them out");
            return None;
        }
        Some(At { value: text, offset })
    }

    /// A whole number in a range.
    pub(super) fn number(
        &self,
        key: &str,
        range: &RangeInclusive<u64>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<At<u64>> {
        let item = self.item(key)?;
        let Some(given) = item.as_integer() else {
            self.wrong_type(key, "a whole number", item, mistakes);
            return None;
        };
        let offset = self.value_offset(key, item);
        match u64::try_from(given).ok().filter(|value| range.contains(value)) {
            Some(value) => Some(At { value, offset }),
            None => {
                let mend = format!("use {} to {}", range.start(), range.end());
                mistakes.note(offset, format!("\"{key}\" is {given}, which is out of range"), mend);
                None
            }
        }
    }

    /// A whole number in a range that a `u32` holds.
    pub(super) fn small_number(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<At<u32>> {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        let At { value, offset } = self.number(key, &wide, mistakes)?;
        u32::try_from(value).ok().map(|value| At { value, offset })
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<At<bool>> {
        let item = self.item(key)?;
        if let Some(value) = item.as_bool() {
            return Some(At { value, offset: self.value_offset(key, item) });
        }
        self.wrong_type(key, "true or false, without quotes", item, mistakes);
        None
    }

    /// A date and a time, with its offset from UTC.
    pub(super) fn moment(&self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<At<Timestamp>> {
        const WANTED: &str = "a date and time with its offset, like 2026-12-01T22:00:00Z, without quotes";
        let item = self.item(key)?;
        let given = item.as_value().and_then(Value::as_datetime);
        let parts = given.and_then(|given| Some((given.date?, given.time?, given.offset?)));
        let Some((date, time, offset)) = parts else {
            self.wrong_type(key, WANTED, item, mistakes);
            return None;
        };
        let minutes = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let (year, month, day) = (i64::from(date.year), date.month, date.day);
        let of_day_ms = i64::try_from(of_day_ms(time)).unwrap_or_default();
        let at_ms = days_since_epoch(year, month, day) * DAY_MS.cast_signed() + of_day_ms - minutes * 60_000;
        let at = u64::try_from(at_ms).ok().map(Timestamp);
        if at.is_none() {
            mistakes.note(self.value_offset(key, item), format!("\"{key}\" lies before 1970"), "name a later time");
        }
        Some(At { value: at?, offset: self.value_offset(key, item) })
    }

    /// A time of day, in milliseconds.
    pub(super) fn time_of_day(&self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<At<u64>> {
        let item = self.item(key)?;
        let given = item.as_value().and_then(Value::as_datetime);
        match given.map(|given| (given.date, given.time, given.offset)) {
            Some((None, Some(time), None)) => Some(At { value: of_day_ms(time), offset: self.value_offset(key, item) }),
            Some(_) | None => {
                self.wrong_type(key, "a time of day in UTC, like 22:00:00, without quotes", item, mistakes);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], mistakes: &mut Mistakes<'_>) -> Option<T> {
        let item = self.item(key)?;
        let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let Some(given) = item.as_str() else {
            self.wrong_type(key, &format!("one of {all}"), item, mistakes);
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == given);
        if found.is_none() {
            let mend = match nearest(given, words.iter().map(|(word, _)| *word)) {
                Some(meant) => format!("did you mean \"{meant}\"? It may be {all}"),
                None => format!("use one of {all}"),
            };
            mistakes.note(self.value_offset(key, item), format!("unknown {key} {}", quote(given)), mend);
        }
        found.map(|(_, value)| *value)
    }

    /// A list of texts. Entries of another type are noted and left out.
    pub(super) fn texts(&self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<At<Vec<At<&'d str>>>> {
        let item = self.item(key)?;
        let offset = self.value_offset(key, item);
        let Some(array) = item.as_array() else {
            self.wrong_type(key, "a list of texts, like [\"a\", \"b*\"]", item, mistakes);
            return None;
        };
        let mut texts = Vec::new();
        for entry in array {
            let offset = entry.span().map_or(offset, |span| span.start);
            match entry.as_str() {
                Some(value) => texts.push(At { value, offset }),
                None => {
                    let what = format!("an entry of \"{key}\" is {}", article(entry.type_name()));
                    mistakes.note(offset, what, "write it as a text in quotes");
                }
            }
        }
        Some(At { value: texts, offset })
    }

    /// A list of whole numbers in a range. Entries that aren't are noted and left out.
    pub(super) fn numbers(
        &self,
        key: &str,
        range: &RangeInclusive<u64>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<At<Vec<At<u64>>>> {
        let item = self.item(key)?;
        let offset = self.value_offset(key, item);
        let Some(array) = item.as_array() else {
            self.wrong_type(key, "a list of whole numbers, like [500, 1000]", item, mistakes);
            return None;
        };
        let mut numbers = Vec::new();
        for entry in array {
            let offset = entry.span().map_or(offset, |span| span.start);
            let number = entry.as_integer().and_then(|given| u64::try_from(given).ok());
            match number.filter(|value| range.contains(value)) {
                Some(value) => numbers.push(At { value, offset }),
                None => {
                    let what = format!("an entry of \"{key}\" is no whole number in its range");
                    mistakes.note(offset, what, format!("use {} to {}", range.start(), range.end()));
                }
            }
        }
        Some(At { value: numbers, offset })
    }

    /// Whether a list without entries stands there.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.item(key).and_then(Item::as_array).is_some_and(Array::is_empty)
    }

    /// A table within this one.
    pub(super) fn section(&self, key: &str, mistakes: &mut Mistakes<'_>) -> Option<Section<'d>> {
        let item = self.item(key)?;
        let table = item.as_table_like();
        if table.is_none() {
            self.wrong_type(key, &format!("a section, written [{key}]"), item, mistakes);
        }
        Some(Section::new(format!("[{key}]"), self.key_offset(key), table?))
    }

    /// Tables that repeat, whether written `[[key]]` or as a list of `{ … }`.
    pub(super) fn sections(&self, key: &str, path: &str, mistakes: &mut Mistakes<'_>) -> Option<Vec<Section<'d>>> {
        let item = self.item(key)?;
        let offset = self.value_offset(key, item);
        let wanted = format!("a list of sections, each begun with [[{path}]]");
        if let Some(tables) = item.as_array_of_tables() {
            let numbered = (1..).zip(tables.iter());
            let section = |(number, table): (usize, &'d toml_edit::Table)| {
                let offset = table.span().map_or(offset, |span| span.start);
                Section::new(format!("[[{path}]] {number}"), offset, table)
            };
            return Some(numbered.map(section).collect());
        }
        let Some(array) = item.as_array() else {
            self.wrong_type(key, &wanted, item, mistakes);
            return None;
        };
        inline_sections(array, path, offset, mistakes)
    }

    fn item(&self, key: &str) -> Option<&'d Item> {
        self.table.get(key).filter(|item| !item.is_none())
    }

    fn value_offset(&self, key: &str, item: &Item) -> usize {
        item.span().map_or_else(|| self.key_offset(key), |span| span.start)
    }

    fn wrong_type(&self, key: &str, wanted: &str, item: &Item, mistakes: &mut Mistakes<'_>) {
        let what = format!("\"{key}\" in {} is {}", self.title, article(item.type_name()));
        mistakes.note(self.value_offset(key, item), what, format!("it has to be {wanted}"));
    }
}

fn inline_sections<'d>(
    array: &'d Array,
    path: &str,
    offset: usize,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Section<'d>>> {
    let mut sections = Vec::new();
    for (number, entry) in (1..).zip(array.iter()) {
        let offset = entry.span().map_or(offset, |span| span.start);
        match entry.as_inline_table() {
            Some(table) => sections.push(Section::new(format!("[[{path}]] {number}"), offset, table)),
            None => mistakes.note(offset, wrong_entry(path, entry), format!("begin each with [[{path}]]")),
        }
    }
    Some(sections)
}

fn wrong_entry(path: &str, entry: &Value) -> String {
    format!("an entry of \"{path}\" is {}", article(entry.type_name()))
}

/// In milliseconds. A leap second counts as the one before it.
fn of_day_ms(time: Time) -> u64 {
    let seconds = u64::from(time.second.unwrap_or(0)).min(59);
    (u64::from(time.hour) * 60 + u64::from(time.minute)) * 60_000
        + seconds * 1_000
        + u64::from(time.nanosecond.unwrap_or(0)) / 1_000_000
}

fn article(type_name: &str) -> String {
    let an = type_name.starts_with(['a', 'i']);
    format!("{} {type_name}", if an { "an" } else { "a" })
}
