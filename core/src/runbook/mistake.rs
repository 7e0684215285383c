//! What is wrong with a runbook, and where. Says it to a person; nothing reads it back.

use crate::class::Class;
use crate::ids::clip;

/// Most mistakes reported of one runbook. Where there are more, a last one says how many.
pub const MISTAKES_MAX: usize = 100;

/// Longest piece of a runbook that is quoted in a mistake, in characters.
const QUOTE_MAX_CHARACTERS: usize = 60;

/// One thing that is wrong with a runbook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}, column {column}: {what}; {mend}")]
pub struct Mistake {
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl Mistake {
    /// What the caller may do now: mend the runbook.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}

/// Mistakes as they are found, by where they are in the text.
pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: Vec<(usize, String, String)>,
    /// Found beyond [`MISTAKES_MAX`].
    more: usize,
}

impl<'t> Mistakes<'t> {
    pub(super) fn in_text(text: &'t str) -> Self {
        Mistakes { text, found: Vec::new(), more: 0 }
    }

    /// Notes a mistake at a byte of the text.
    pub(super) fn note(&mut self, offset: usize, what: impl Into<String>, mend: impl Into<String>) {
        if self.found.len() < MISTAKES_MAX {
            self.found.push((offset, what.into(), mend.into()));
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order of the text.
    pub(super) fn into_list(mut self) -> Vec<Mistake> {
        self.found.sort();
        let mut list = Vec::with_capacity(self.found.len() + 1);
        let mut position = Position { offset: 0, line: 1, column: 1 };
        for (offset, what, mend) in self.found {
            position.advance(self.text, offset);
            list.push(Mistake { line: position.line, column: position.column, what, mend });
        }
        if self.more > 0 {
            let what = format!("{} more mistakes are not shown", self.more);
            list.push(Mistake { line: position.line, column: position.column, what, mend: "mend these first".into() });
        }
        list
    }
}

/// A place in a text, moved forward only, so that all mistakes are placed in one pass.
struct Position {
    offset: usize,
    line: usize,
    column: usize,
}

impl Position {
    fn advance(&mut self, text: &str, to: usize) {
        for c in text.get(self.offset..).unwrap_or_default().chars() {
            if self.offset >= to {
                break;
            }
            self.offset += c.len_utf8();
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

/// A piece of the runbook in quotes, short and printable.
pub(super) fn quote(piece: &str) -> String {
    let clipped = clip(piece);
    let mut short: String = clipped.chars().take(QUOTE_MAX_CHARACTERS).collect();
    if short.len() < clipped.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// The candidate that `given` was most likely meant to be, if one is close enough.
pub(super) fn nearest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let given: Vec<char> = given.to_lowercase().chars().take(QUOTE_MAX_CHARACTERS).collect();
    candidates
        .into_iter()
        .map(|candidate| (edits(&given, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.chars().count() / 4 && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be put in, taken out, exchanged or swapped with their neighbour.
fn edits(given: &[char], candidate: &str) -> usize {
    let wanted: Vec<char> = candidate.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=wanted.len()).collect();
    for (row, g) in given.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, w) in wanted.iter().enumerate() {
            let exchanged = last[column] + usize::from(g != w);
            let mut least = exchanged.min(last[column + 1] + 1).min(now[column] + 1);
            let swapped = row > 0 && column > 0 && given[row - 1] == *w && *g == wanted[column - 1];
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            now.push(least);
        }
        before = std::mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let keys = ["limits", "retry", "wave", "source"];
        for (given, meant) in [("limts", "limits"), ("Limits", "limits"), ("rtery", "retry"), ("waves", "wave")] {
            assert_eq!(nearest(given, keys), Some(meant), "{given}");
        }
        assert_eq!(nearest("zzz", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let mut mistakes = Mistakes::in_text("ä = 1\nöö = 2\n");
        mistakes.note("ä = 1\nöö ".len(), "second", "x");
        mistakes.note(0, "first", "x");
        let list = mistakes.into_list();
        assert_eq!((list[0].line, list[0].column), (1, 1));
        assert_eq!((list[1].line, list[1].column), (2, 4));
        assert_eq!(list[1].to_string(), "line 2, column 4: second; x");
    }

    #[test]
    fn too_many_mistakes_are_counted() {
        let mut mistakes = Mistakes::in_text("a");
        for _ in 0..MISTAKES_MAX + 7 {
            mistakes.note(0, "wrong", "mend it");
        }
        let list = mistakes.into_list();
        assert_eq!(list.len(), MISTAKES_MAX + 1);
        assert!(list[MISTAKES_MAX].what.starts_with("7 more"));
    }
}
