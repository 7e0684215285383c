//! What filters let through, and what is said of those that can't be understood.

use super::fields::{EVACUATION_STATE_PREFIX, EVACUATION_STATES, MOVE_STATE_PREFIX, MOVE_STATES, bare};
use super::parse::{FILTER_MAX_BYTES, TERMS_MAX};
use super::*;
use muster_proto::status::Fault;
use muster_proto::v1::{Evacuation, EvacuationState, Move, MoveState};

fn a_move() -> Move {
    Move {
        vm: "00000000-0000-0000-0000-0000000000a7".to_owned(),
        name: "Web one".to_owned(),
        state: MoveState::StayedAtSource.into(),
        verdict: "NotMigrated".to_owned(),
        mode: "cold".to_owned(),
        wave: 3,
        source_host: "rack-7".to_owned(),
        destination_host: "berlin-1".to_owned(),
        tags: vec!["web".to_owned(), "guardian:pacemaker".to_owned()],
        ..Move::default()
    }
}

fn of_moves(filter: &str) -> Filter<Move> {
    Filter::parse(filter).unwrap_or_else(|status| panic!("{filter}: {:?}", Fault::from(&status)))
}

#[test]
fn moves_are_let_through_by_what_they_show() {
    let let_through = [
        "",
        "  ",
        "state = STAYED_AT_SOURCE",
        "state=stayed_at_source",
        "state: MOVE_STATE_STAYED_AT_SOURCE",
        "state != MOVING",
        "verdict = NotMigrated",
        "verdict = notmigrated AND mode = cold",
        "verdict = NotMigrated mode = cold",
        "wave = 3",
        "wave>=3 AND wave<4 AND wave != 2 AND wave > 2 AND wave <= 3",
        "source_host = \"rack-7\"",
        "source_host = rack-7 AND destination_host = 'berlin-1'",
        "host = rack-7 AND host = berlin-1",
        "host : BERLIN",
        "host != rack-1",
        "tag = web AND tag:web AND tag = guardian:pacemaker",
        "tag != db",
        "tag:*",
        "name = \"Web one\"",
        "name : \"b o\"",
        "group = \"\"",
        "group != racks",
        "web",
        "\"web ONE\" AND 00a7",
    ];
    for filter in let_through {
        assert!(of_moves(filter).lets_through(&a_move()), "{filter}");
    }
    let kept_back = [
        "state = MOVING",
        "state != STAYED_AT_SOURCE",
        "verdict = FullyMigrated",
        "wave = 4",
        "wave < 3",
        "mode = live",
        "source_host = berlin-1",
        "host = rack",
        "host != berlin-1",
        "tag = we",
        "tag:we",
        "tag:\"*\"",
        "tag != web",
        "name = \"web one\"",
        "group:*",
        "two",
        "state = STAYED_AT_SOURCE AND two",
        "\"AND\"",
    ];
    for filter in kept_back {
        assert!(!of_moves(filter).lets_through(&a_move()), "{filter}");
    }
}

#[test]
fn evacuations_are_let_through_by_what_they_show() {
    let shown = Evacuation {
        name: "leave".to_owned(),
        source_site: "hamburg".to_owned(),
        destination_site: "berlin".to_owned(),
        state: EvacuationState::Paused.into(),
        cancelled: true,
        ..Evacuation::default()
    };
    let lets_through = |filter: &str| Filter::<Evacuation>::parse(filter).unwrap().lets_through(&shown);
    for filter in ["state = PAUSED", "site = berlin", "cancelled = true", "cancelled != false", "EAV", "name:lea"] {
        assert!(lets_through(filter), "{filter}");
    }
    for filter in ["state = RUNNING", "source_site = berlin", "cancelled = false", "berlin"] {
        assert!(!lets_through(filter), "{filter}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_column() {
    let long = "x".repeat(FILTER_MAX_BYTES + 1);
    let many = "x ".repeat(TERMS_MAX + 1);
    let cases: Vec<(&str, &[&str])> = vec![
        ("state = GONE", &["column 9: \"GONE\" is no state; use one of WAITING, MOVING"]),
        ("state = UNSPECIFIED", &["column 9: \"UNSPECIFIED\" is no state"]),
        ("wave = three", &["column 8: \"three\" is no number; write it like wave = 3"]),
        ("wave = -1", &["column 8: '-' before a word"]),
        ("state < MOVING", &["column 1: state can't be compared by <; use = or !="]),
        ("name > a", &["column 1: name can't be compared by >"]),
        (
            "ö = 1 AND stat = x",
            &["column 1: \"ö\" is no field here", "column 11: \"stat\" is no field here; use one of"],
        ),
        ("wave = 1 OR wave = 2", &["column 10: OR is not understood; join restrictions by AND"]),
        ("NOT wave = 1", &["column 1: NOT is not understood"]),
        ("(wave = 1)", &["column 1: parentheses are not understood"]),
        ("wave = 1 AND -web", &["column 14: '-' before a word"]),
        ("AND wave = 1", &["column 1: AND joins two"]),
        ("wave = 1 AND", &["column 10: AND joins two"]),
        ("wave = 1 AND AND web", &["column 14: AND joins two"]),
        ("wave =", &["column 7: a value is missing after =; add it"]),
        ("= 3", &["column 1: \"=\" stands where a word has to"]),
        ("wave = = 3", &["column 8: \"=\" stands where a word has to"]),
        ("wave ! 3", &["column 6: \"!\" stands where a word has to"]),
        ("\"wave\" = 3", &["column 1: a field's name stands without quotes"]),
        ("name = \"web", &["column 8: the text web has no closing quote"]),
        ("name = \"we\\b\"", &["column 11: a backslash stands before a quote or a backslash alone"]),
        (&long, &["column 1: the filter is 4097 bytes long; use at most 4096"]),
        (&many, &["column 129: more than 64 restrictions"]),
    ];
    for (filter, expected) in cases {
        let fault = match Filter::<Move>::parse(filter) {
            Ok(_) => panic!("{filter} was understood"),
            Err(status) => Fault::from(&status),
        };
        assert_eq!(fault.violations.len(), expected.len(), "{filter}: {fault:?}");
        for (violation, expected) in fault.violations.iter().zip(expected) {
            assert_eq!(violation.field, "filter");
            assert!(violation.description.starts_with(expected), "{filter}: {violation:?}");
        }
    }
}

#[test]
fn every_state_can_be_filtered_by() {
    let moves: Vec<&str> =
        (1..).map_while(|value| MoveState::try_from(value).ok()).map(|state| state.as_str_name()).collect();
    assert_eq!(moves.iter().map(|name| bare(name, MOVE_STATE_PREFIX)).collect::<Vec<_>>(), MOVE_STATES);
    let evacuations: Vec<&str> =
        (1..).map_while(|value| EvacuationState::try_from(value).ok()).map(|state| state.as_str_name()).collect();
    assert_eq!(
        evacuations.iter().map(|name| bare(name, EVACUATION_STATE_PREFIX)).collect::<Vec<_>>(),
        EVACUATION_STATES
    );
}

#[test]
fn no_filter_makes_it_fail_otherwise_than_by_saying_so() {
    let pieces =
        ["\"", "'", "\\", "=", "!=", ":", "<", "(", "-", " ", "AND", "OR", "wave", "3", "ö", "*", "state", "\u{0}"];
    let mut drawn: u64 = 7;
    for _ in 0..20_000 {
        let mut filter = String::new();
        for _ in 0..drawn % 9 {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            filter.push_str(pieces[(drawn >> 33) as usize % pieces.len()]);
        }
        drawn = drawn.wrapping_add(1);
        if let Ok(understood) = Filter::<Move>::parse(&filter) {
            understood.lets_through(&a_move());
        }
    }
}
