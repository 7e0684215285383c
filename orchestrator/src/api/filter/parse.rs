//! The words of a filter: restrictions and searched texts, joined by AND, each with its column. Pure; which fields
//! there are is no matter here.

use muster_core::ids::clip;

/// Longest filter, in bytes.
pub(super) const FILTER_MAX_BYTES: usize = 4_096;

/// Most restrictions and searched texts in one filter.
pub(super) const TERMS_MAX: usize = 64;

/// What has to be so of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    /// A field compares with a value.
    Restriction { field: Word, operator: Operator, value: Word },
    /// A text is found in it.
    Search(Word),
}

/// A word, or a quoted text without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Where it begins, in characters, from 1.
    pub(super) column: usize,
    pub(super) quoted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
}

/// What is wrong with a filter, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) column: usize,
    pub(super) what: String,
}

impl Operator {
    /// Longer ones first, so that none is taken for its beginning.
    const ALL: [Operator; 7] = [
        Operator::NotEqual,
        Operator::LessOrEqual,
        Operator::GreaterOrEqual,
        Operator::Equal,
        Operator::Less,
        Operator::Greater,
        Operator::Has,
    ];

    pub(super) fn sign(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Has => ":",
        }
    }
}

/// The terms of a filter. An empty filter has none.
pub(super) fn terms(filter: &str) -> Result<Vec<Term>, Mistake> {
    if filter.len() > FILTER_MAX_BYTES {
        let what = format!("the filter is {} bytes long; use at most {FILTER_MAX_BYTES}", filter.len());
        return Err(Mistake { column: 1, what });
    }
    let mut reader = Reader { characters: filter.chars().collect(), at: 0 };
    let mut terms = Vec::new();
    // The column of an AND that still wants its right side.
    let mut open_and = None;
    while reader.skip_space() {
        let column = reader.column();
        if terms.len() == TERMS_MAX {
            return Err(Mistake { column, what: format!("more than {TERMS_MAX} restrictions; leave some out") });
        }
        match reader.term()? {
            None if terms.is_empty() || open_and.is_some() => return Err(joins_two(column)),
            None => open_and = Some(column),
            Some(term) => {
                terms.push(term);
                open_and = None;
            }
        }
    }
    match open_and {
        Some(column) => Err(joins_two(column)),
        None => Ok(terms),
    }
}

fn joins_two(column: usize) -> Mistake {
    Mistake {
        column,
        what: "AND joins two restrictions, and one of them is missing; add it, or quote the word".to_owned(),
    }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    fn column(&self) -> usize {
        self.at + 1
    }

    fn next(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    /// False at the end.
    fn skip_space(&mut self) -> bool {
        while self.next().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.next().is_some()
    }

    fn mistake<T>(&self, what: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { column: self.column(), what: what.into() })
    }

    /// One term; none for the word AND.
    fn term(&mut self) -> Result<Option<Term>, Mistake> {
        let first = self.word(&[])?;
        let after_first = self.at;
        self.skip_space();
        let Some(operator) = self.operator() else {
            self.at = after_first;
            return match first.text.as_str() {
                "AND" if !first.quoted => Ok(None),
                "OR" | "NOT" if !first.quoted => {
                    let what = format!(
                        "{} is not understood; join restrictions by AND, use != for what is not to be, or quote the word",
                        first.text
                    );
                    Err(Mistake { column: first.column, what })
                }
                _ => Ok(Some(Term::Search(first))),
            };
        };
        if first.quoted {
            let what = "a field's name stands without quotes; take them away".to_owned();
            return Err(Mistake { column: first.column, what });
        }
        if !self.skip_space() {
            return self
                .mistake(format!("a value is missing after {}; add it, quoted if it has spaces", operator.sign()));
        }
        // Tags are often written with a colon.
        let value = self.word(&[':'])?;
        Ok(Some(Term::Restriction { field: first, operator, value }))
    }

    fn operator(&mut self) -> Option<Operator> {
        let rest = self.characters.get(self.at..).unwrap_or_default();
        let found = Operator::ALL.into_iter().find(|operator| {
            let mut sign = operator.sign().chars();
            sign.by_ref().zip(rest).all(|(wanted, given)| wanted == *given) && rest.len() >= operator.sign().len()
        })?;
        self.at += found.sign().len();
        Some(found)
    }

    /// A word or a quoted text; these signs may stand in a word as well.
    fn word(&mut self, allowed: &[char]) -> Result<Word, Mistake> {
        let column = self.column();
        match self.next() {
            Some(quote @ ('"' | '\'')) => Ok(Word { text: self.quoted(quote)?, column, quoted: true }),
            Some('(' | ')') => {
                self.mistake("parentheses are not understood; join restrictions by AND, or quote the text")
            }
            Some('-') => self.mistake("'-' before a word is not understood; use !=, or quote the text"),
            Some(_) | None => {
                let ends = |c: &char| c.is_whitespace() || "()\"'=!<>:".contains(*c) && !allowed.contains(c);
                let text: String =
                    self.characters.get(self.at..).unwrap_or_default().iter().take_while(|c| !ends(c)).collect();
                if text.is_empty() {
                    let found = self.next().map(String::from).unwrap_or_default();
                    return self
                        .mistake(format!("{found:?} stands where a word has to; quote it if it belongs to a text"));
                }
                self.at += text.chars().count();
                Ok(Word { text, column, quoted: false })
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Mistake> {
        let begin = self.column();
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.next() {
            self.at += 1;
            match character {
                _ if character == quote => return Ok(text),
                '\\' => match self.next() {
                    Some(escaped @ ('\\' | '"' | '\'')) => {
                        text.push(escaped);
                        self.at += 1;
                    }
                    Some(_) | None => {
                        self.at -= 1;
                        return self.mistake("a backslash stands before a quote or a backslash alone; double it");
                    }
                },
                plain => text.push(plain),
            }
        }
        Err(Mistake { column: begin, what: format!("the text {} has no closing quote; add it", clip(&text)) })
    }
}
