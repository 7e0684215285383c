//! Runbooks: any text is read or refused; what is refused says what is wrong, where in the text, and how to mend it; what is read is
//! read the same again.

use crate::choices::{Choices, NUMBER_WORDS, numbers, spoilt};
use crate::run::{Counts, Target, regressions, run};
use muster_core::runbook::{MISTAKES_MAX, Runbook};
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

const EXAMPLE: &str = include_str!("../../examples/evacuate.toml");

/// Most things that are changed of a runbook at once.
const CHANGES_MAX: usize = 60;

#[test]
fn any_text_is_read_as_a_runbook_or_refused_with_reasons() {
    let target = Target { name: "runbooks", regressions: regressions!("runbooks"), few: 3_000, of_ordered: 1 };
    let text = prop_oneof![
        1 => any::<String>(),
        2 => "[a-z_\\[\\]\"={}#., \n0-9-]{0,200}",
        8 => numbers(CHANGES_MAX).prop_map(|drawn| changed(&drawn)),
        1 => numbers(CHANGES_MAX).prop_map(|drawn| {
            let bytes = spoilt(EXAMPLE.as_bytes().to_vec(), &mut Choices::of(&drawn, &[]));
            String::from_utf8_lossy(&bytes).into_owned()
        }),
    ];
    run(&target, &text, |text, counts| tried(&text, counts));
}

fn tried(text: &str, counts: &Counts) -> Result<(), TestCaseError> {
    let read = Runbook::parse(text);
    counts.count(read.is_ok());
    prop_assert_eq!(&read, &Runbook::parse(text), "it is read otherwise the second time");
    match read {
        Ok(runbook) => {
            let commented = format!("# first\n\n{text}\n\n# last");
            prop_assert_eq!(Runbook::parse(&commented), Ok(runbook), "comments change it");
        }
        Err(mistakes) => {
            prop_assert!(!mistakes.is_empty() && mistakes.len() <= MISTAKES_MAX + 1, "{} mistakes", mistakes.len());
            let lines = text.split('\n').count();
            for mistake in mistakes {
                prop_assert!((1..=lines).contains(&mistake.line), "no such line: {mistake:?}");
                let line = text.split('\n').nth(mistake.line - 1).unwrap_or_default();
                prop_assert!((1..=line.chars().count() + 1).contains(&mistake.column), "no such column: {mistake:?}");
                prop_assert!(!mistake.what.trim().is_empty() && !mistake.mend.trim().is_empty(), "{mistake:?}");
                let is_printable = mistake.to_string().chars().all(|c| !c.is_control());
                prop_assert!(is_printable, "control characters: {mistake:?}");
            }
        }
    }
    Ok(())
}

/// The example with lines taken out, doubled, moved, and with other values.
fn changed(drawn: &[u64]) -> String {
    let choices = &mut Choices::of(drawn, &[]);
    let mut lines: Vec<String> = EXAMPLE.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    while !choices.is_over() {
        let at = choices.below(lines.len());
        let other = choices.below(lines.len());
        match choices.below(6) {
            0 => lines[at] = String::new(),
            1 => {
                let line = lines[at].clone();
                lines.insert(other, line);
            }
            2 => lines.swap(at, other),
            3 => {
                let (key, _) = lines[at].split_once('=').unwrap_or((&lines[at], ""));
                lines[at] = format!("{key}= {}", value(choices, 0));
            }
            4 => {
                let (_, value) = lines[other].split_once('=').unwrap_or(("", "1"));
                let (key, _) = lines[at].split_once('=').unwrap_or((&lines[at], ""));
                lines[at] = format!("{key}={value}");
            }
            _ => lines[at] = lines[other].clone(),
        }
    }
    lines.join("\n")
}

fn value(choices: &mut Choices<'_>, depth: u32) -> String {
    match choices.below(7) {
        0 => choices.number().to_string(),
        1 => format!("{:?}", choices.text()),
        2 => NUMBER_WORDS[choices.below(NUMBER_WORDS.len())].to_owned(),
        3 => "true".to_owned(),
        4 if depth < 3 => {
            let items: Vec<String> = (0..choices.below(5)).map(|_| value(choices, depth + 1)).collect();
            format!("[{}]", items.join(", "))
        }
        5 if depth < 3 => format!("{{ names = {}, x = {} }}", value(choices, depth + 1), value(choices, depth + 1)),
        _ => "\"*\"".to_owned(),
    }
}
