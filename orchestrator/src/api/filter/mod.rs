//! Filters of lists: a small part of AIP-160, the same for every list. `state = MOVING AND tag = web`, or a bare text
//! that is looked for. Decides which items a list shows, by what the items show; pure, and it must never guess what a
//! filter that it doesn't understand could mean.

mod fields;
mod parse;

use muster_core::ids::clip;
use muster_proto::status::{Violation, invalid};
use parse::{Mistake, Operator, Term, Word, terms};
use tonic::Status;

/// What can be listed and filtered.
pub(super) trait Listed: Sized + 'static {
    /// Its fields, by the names that filters use.
    const FIELDS: &'static [Field<Self>];

    /// Whether one of the texts that a search goes through passes the test.
    fn searched(&self, test: &dyn Fn(&str) -> bool) -> bool;
}

/// A field that filters may name.
pub(super) struct Field<T> {
    name: &'static str,
    kind: Kind<T>,
}

/// Whether one of a field's texts passes a test.
type AnyText<T> = fn(&T, &dyn Fn(&str) -> bool) -> bool;

/// What a field holds, and so how it is compared.
enum Kind<T> {
    /// One of a few words, in any case, with or without this prefix.
    Word {
        known: &'static [&'static str],
        prefix: &'static str,
        read: fn(&T) -> &str,
    },
    /// A text, or two of which either counts.
    Text(AnyText<T>),
    /// Any number of labels.
    Labels(fn(&T) -> &[String]),
    Number(fn(&T) -> u64),
    Truth(fn(&T) -> bool),
}

/// A filter that is understood.
pub(super) struct Filter<T: 'static>(Vec<Condition<T>>);

enum Condition<T: 'static> {
    Word {
        read: fn(&T) -> &str,
        wanted: &'static str,
        equal: bool,
    },
    Text {
        any: AnyText<T>,
        test: TextTest,
    },
    Labels {
        read: fn(&T) -> &[String],
        test: TextTest,
    },
    Number {
        read: fn(&T) -> u64,
        operator: Operator,
        wanted: u64,
    },
    Truth {
        read: fn(&T) -> bool,
        wanted: bool,
    },
    /// In lower case.
    Search(String),
}

enum TextTest {
    Is(String),
    IsNot(String),
    /// In lower case.
    Contains(String),
    /// Any text but an empty one.
    IsThere,
}

impl<T: Listed> Filter<T> {
    /// Reads a filter.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with each mistake and its column, as far as it can be read.
    pub(super) fn parse(filter: &str) -> Result<Self, Status> {
        let terms = terms(filter).map_err(|mistake| refused(vec![mistake]))?;
        let (mut conditions, mut mistakes) = (Vec::new(), Vec::new());
        for term in terms {
            match condition(term) {
                Ok(condition) => conditions.push(condition),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(Filter(conditions)) } else { Err(refused(mistakes)) }
    }

    /// Whether it lets everything through.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this item is shown.
    pub(super) fn lets_through(&self, item: &T) -> bool {
        self.0.iter().all(|condition| condition.holds_of(item))
    }
}

impl<T: Listed> Condition<T> {
    fn holds_of(&self, item: &T) -> bool {
        match self {
            Condition::Word { read, wanted, equal } => (read(item) == *wanted) == *equal,
            Condition::Text { any, test } => match test {
                TextTest::Is(wanted) => any(item, &|text| text == wanted),
                TextTest::IsNot(unwanted) => !any(item, &|text| text == unwanted),
                TextTest::Contains(wanted) => any(item, &|text| text.to_lowercase().contains(wanted)),
                TextTest::IsThere => any(item, &|text| !text.is_empty()),
            },
            Condition::Labels { read, test } => match test {
                TextTest::Is(wanted) | TextTest::Contains(wanted) => read(item).contains(wanted),
                TextTest::IsNot(unwanted) => !read(item).contains(unwanted),
                TextTest::IsThere => !read(item).is_empty(),
            },
            Condition::Number { read, operator, wanted } => compares(read(item), *operator, *wanted),
            Condition::Truth { read, wanted } => read(item) == *wanted,
            Condition::Search(wanted) => item.searched(&|text| text.to_lowercase().contains(wanted)),
        }
    }
}

fn compares(shown: u64, operator: Operator, wanted: u64) -> bool {
    match operator {
        Operator::Equal | Operator::Has => shown == wanted,
        Operator::NotEqual => shown != wanted,
        Operator::Less => shown < wanted,
        Operator::LessOrEqual => shown <= wanted,
        Operator::Greater => shown > wanted,
        Operator::GreaterOrEqual => shown >= wanted,
    }
}

fn condition<T: Listed>(term: Term) -> Result<Condition<T>, Mistake> {
    let (field, operator, value) = match term {
        Term::Search(word) => return Ok(Condition::Search(word.text.to_lowercase())),
        Term::Restriction { field, operator, value } => (field, operator, value),
    };
    let Some(known) = T::FIELDS.iter().find(|known| known.name == field.text) else {
        let names: Vec<&str> = T::FIELDS.iter().map(|known| known.name).collect();
        let what = format!("{:?} is no field here; use one of {}", clip(&field.text), names.join(", "));
        return Err(Mistake { column: field.column, what });
    };
    match &known.kind {
        Kind::Word { known, prefix, read } => {
            let equal = equality(&field, operator)?;
            let given = value.text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix));
            let given = given.map_or(value.text.as_str(), |start| &value.text[start.len()..]);
            match known.iter().find(|word| word.eq_ignore_ascii_case(given)) {
                Some(wanted) => Ok(Condition::Word { read: *read, wanted, equal }),
                None => Err(Mistake {
                    column: value.column,
                    what: format!("{:?} is no {}; use one of {}", clip(&value.text), field.text, known.join(", ")),
                }),
            }
        }
        Kind::Text(any) => {
            Ok(Condition::Text { any: *any, test: text_test(&field, operator, value, str::to_lowercase)? })
        }
        Kind::Labels(read) => {
            Ok(Condition::Labels { read: *read, test: text_test(&field, operator, value, str::to_owned)? })
        }
        Kind::Number(read) => match value.text.parse() {
            Ok(wanted) => Ok(Condition::Number { read: *read, operator, wanted }),
            Err(_) => Err(Mistake {
                column: value.column,
                what: format!("{:?} is no number; write it like {} = 3", clip(&value.text), field.text),
            }),
        },
        Kind::Truth(read) => {
            let equal = equality(&field, operator)?;
            let given: bool = value.text.parse().map_err(|_| Mistake {
                column: value.column,
                what: format!("{:?} is neither true nor false; write one of them", clip(&value.text)),
            })?;
            Ok(Condition::Truth { read: *read, wanted: given == equal })
        }
    }
}

/// Whether it is to be equal; a mistake for what orders.
fn equality(field: &Word, operator: Operator) -> Result<bool, Mistake> {
    match operator {
        Operator::Equal | Operator::Has => Ok(true),
        Operator::NotEqual => Ok(false),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => Err(Mistake {
            column: field.column,
            what: format!("{} can't be compared by {}; use = or !=", field.text, operator.sign()),
        }),
    }
}

fn text_test(
    field: &Word,
    operator: Operator,
    value: Word,
    contained: fn(&str) -> String,
) -> Result<TextTest, Mistake> {
    match (operator, equality(field, operator)?) {
        (Operator::Has, _) if value.text == "*" && !value.quoted => Ok(TextTest::IsThere),
        (Operator::Has, _) => Ok(TextTest::Contains(contained(&value.text))),
        (_, true) => Ok(TextTest::Is(value.text)),
        (_, false) => Ok(TextTest::IsNot(value.text)),
    }
}

fn refused(mistakes: Vec<Mistake>) -> Status {
    let violation = |mistake: Mistake| Violation {
        field: "filter".to_owned(),
        description: format!("column {}: {}", mistake.column, mistake.what),
    };
    invalid("the filter is not understood", mistakes.into_iter().map(violation))
}

#[cfg(test)]
mod tests;
