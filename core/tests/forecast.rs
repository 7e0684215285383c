//! Forecasts: the order, beginnings and end of an evacuation's moves, from what lies between the hosts and what was learned.

use muster_core::definition::Mode;
use muster_core::evacuation::PlannedMove;
use muster_core::forecast::{Ahead, Forecast, Forecaster, Foreseen, Resource};
use muster_core::ids::VmId;
use muster_core::runbook::Runbook;
use muster_core::runbook::selection::Turn;
use muster_core::time::Timestamp;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_000_000_000_000);
/// What a move takes besides sending, before anything was learned.
const FIXED_MS: u64 = 2_000;

fn runbook(more: &str) -> Runbook {
    let head = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\nselect = [{ all = true }]\n";
    Runbook::parse(&format!("{head}{more}")).expect("a runbook")
}

/// A gigabit line that one move fills.
const LINE: &str = "[[link]]\nname = \"line\"\nmbit_s = 1000\n";

fn planned(number: u32, memory_mib: u64) -> PlannedMove {
    PlannedMove {
        vm: VmId(Uuid::from_u128(u128::from(number) + 1)),
        name: format!("vm-{number}").parse().expect("a name"),
        mode: Mode::Live,
        wave: 0,
        source_host: format!("s{}", number % 3).parse().expect("a host"),
        destination_host: format!("d{}", number % 2).parse().expect("a host"),
        memory_mib,
        guardian: None,
        disk_mib: None,
        turn: Turn::default(),
        apart: None,
        expected: None,
        tags: Vec::new(),
    }
}

fn forecast_by(forecaster: &mut Forecaster, moves: &[PlannedMove]) -> Forecast {
    let ahead: Vec<Ahead<'_>> = moves.iter().map(|planned| Ahead { planned, since: None }).collect();
    let mut steps = 0..50;
    forecaster.forecast(&ahead, NOW, 7, &mut || steps.next().is_some()).expect("it can be planned")
}

fn forecast(more: &str, moves: &[PlannedMove]) -> Forecast {
    forecast_by(&mut Forecaster::new(&runbook(more)), moves)
}

fn span(foreseen: &Foreseen) -> (u64, u64) {
    let expected = foreseen.expected.expect("it has a beginning");
    (expected.start_at.since_ms(NOW), expected.start_at.since_ms(NOW) + expected.duration_ms)
}

#[test]
fn a_line_that_one_move_fills_has_them_one_after_another() {
    let moves: Vec<PlannedMove> = (0..6).map(|number| planned(number, 1_024)).collect();
    let forecast = forecast(LINE, &moves);
    let mut spans: Vec<(u64, u64)> = forecast.moves.iter().map(span).collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    // 1 GiB at 94 % of a gigabit per second.
    let sending_ms = spans[0].1 - spans[0].0 - FIXED_MS;
    assert!((9_000..9_300).contains(&sending_ms), "{sending_ms}");
    assert_eq!(forecast.bottleneck, Some(Resource::Link("line".to_owned())));
    assert_eq!(forecast.ends_at, forecast.bound_at, "nothing can be earlier");
    assert_eq!(forecast.ends_at.map(|at| at.since_ms(NOW)), Some(spans[5].1));
    assert!(!forecast.rate_is_assumed);
    assert!(forecast.moves.iter().all(|foreseen| foreseen.rate_bit_s == 1_000_000_000));
}

#[test]
fn where_nothing_says_how_fast_anything_is_the_limits_count() {
    let moves: Vec<PlannedMove> = (0..12).map(|number| planned(number, 2_048)).collect();
    let forecast = forecast("[limits]\nper_source_host = 2\n", &moves);
    assert!(forecast.rate_is_assumed);
    let from_one =
        |foreseen: &&Foreseen| moves.iter().any(|of| of.vm == foreseen.vm && of.source_host.as_str() == "s0");
    let spans: Vec<(u64, u64)> = forecast.moves.iter().filter(from_one).map(span).collect();
    for (start, _) in &spans {
        assert!(spans.iter().filter(|(from, until)| from <= start && start < until).count() <= 2, "{spans:?}");
    }
    assert!(matches!(forecast.bottleneck, Some(Resource::SourceHost(_))), "{:?}", forecast.bottleneck);
}

#[test]
fn closed_windows_are_waited_for() {
    let day = NOW.0 / 86_400_000 * 86_400_000;
    let window = "[schedule]\n[[schedule.window]]\nfrom = 03:00:00\nuntil = 03:00:20\n";
    let moves: Vec<PlannedMove> = (0..5).map(|number| planned(number, 1_024)).collect();
    let forecast = forecast(&format!("{LINE}{window}"), &moves);
    for foreseen in &forecast.moves {
        let start = foreseen.expected.expect("a window is left").start_at;
        let of_day = (start.0 - day) % 86_400_000;
        assert!((3 * 3_600_000..3 * 3_600_000 + 20_000).contains(&of_day), "{of_day}");
    }
    // 20 s a night are enough for two beginnings; the third move waits for the next one.
    let days: Vec<u64> =
        forecast.moves.iter().map(|foreseen| foreseen.expected.unwrap().start_at.0 / 86_400_000).collect();
    assert!(days.last() > days.first(), "{days:?}");
}

#[test]
fn a_deadline_takes_what_is_worth_most_for_what_it_sends() {
    let deadline = "[schedule]\ndeadline = 2001-09-09T01:47:10Z\n";
    let mut moves: Vec<PlannedMove> = (0..6).map(|number| planned(number, 1_024)).collect();
    for precious in [2, 4] {
        moves[precious].turn.value = 10;
    }
    // Until the deadline, 30 s, two of the six have time.
    let forecast = forecast(&format!("{LINE}{deadline}"), &moves);
    let on_time: Vec<VmId> =
        forecast.moves.iter().filter(|foreseen| foreseen.expected.is_some()).map(|foreseen| foreseen.vm).collect();
    assert_eq!((on_time.len(), forecast.late), (2, 4));
    assert!(on_time.contains(&moves[2].vm) && on_time.contains(&moves[4].vm), "{on_time:?}");
    assert_eq!(forecast.moves.len(), 6, "the others come behind");
    assert!(forecast.moves[2..].iter().all(|foreseen| foreseen.expected.is_none()));
}

#[test]
fn groups_stay_together_and_what_comes_after_waits() {
    let mut moves: Vec<PlannedMove> =
        (0..9).map(|number| planned(number, 1_024 + 512 * u64::from(number % 4))).collect();
    for member in [0, 3, 7] {
        moves[member].turn.group = Some("shop".to_owned());
    }
    moves[8].turn.after = vec!["shop".to_owned()];
    let forecast = forecast(LINE, &moves);
    let place = |number: usize| forecast.moves.iter().position(|foreseen| foreseen.vm == moves[number].vm).unwrap();
    let mut places = [place(0), place(3), place(7)];
    places.sort_unstable();
    assert_eq!(places[2] - places[0], 2, "one right after the other: {places:?}");
    let end = |number: usize| span(&forecast.moves[place(number)]).1;
    assert!(span(&forecast.moves[place(8)]).0 >= [0, 3, 7].map(end).into_iter().max().unwrap());
}

#[test]
fn waves_and_priorities_come_before_what_would_end_earlier() {
    let mut moves: Vec<PlannedMove> = (0..6).map(|number| planned(number, 1_024 * u64::from(number + 1))).collect();
    moves[5].wave = 1;
    moves[0].turn.priority = 3;
    let order: Vec<VmId> = forecast(LINE, &moves).moves.iter().map(|foreseen| foreseen.vm).collect();
    assert_eq!((order[0], order[5]), (moves[0].vm, moves[5].vm));
}

#[test]
fn what_arrived_tells_how_long_the_rest_takes() {
    let moves: Vec<PlannedMove> = (0..30).map(|number| planned(number, 1_024 + 128 * u64::from(number))).collect();
    let mut forecaster = Forecaster::new(&runbook(LINE));
    let took = |planned: &PlannedMove| 4_000 + planned.memory_mib * 12;
    forecaster.learn(moves[..20].iter().map(|planned| (planned, took(planned))));
    assert_eq!(forecaster.learned_from(), 20);
    let forecast = forecast_by(&mut forecaster, &moves[20..]);
    for foreseen in &forecast.moves {
        let planned = moves.iter().find(|planned| planned.vm == foreseen.vm).unwrap();
        let (start, end) = span(foreseen);
        let error = (end - start) as f64 / took(planned) as f64 - 1.0;
        assert!(error.abs() < 0.02, "{error} of {}", planned.name);
    }
}

#[test]
fn what_is_under_way_goes_on_and_the_rest_queues_behind_it() {
    let moves: Vec<PlannedMove> = (0..4).map(|number| planned(number, 1_024)).collect();
    let mut forecaster = Forecaster::new(&runbook(LINE));
    let since = Timestamp(NOW.0 - 5_000);
    let ahead: Vec<Ahead<'_>> =
        moves.iter().map(|planned| Ahead { planned, since: (planned.vm == moves[3].vm).then_some(since) }).collect();
    let forecast = forecaster.forecast(&ahead, NOW, 7, &mut || false).expect("it can be planned");
    assert_eq!(forecast.moves[0].vm, moves[3].vm);
    let under_way = forecast.moves[0].expected.expect("it began");
    assert_eq!(under_way.start_at, since);
    let free_at = under_way.start_at.plus_ms(under_way.duration_ms);
    assert!(forecast.moves[1..].iter().all(|foreseen| foreseen.expected.unwrap().start_at >= free_at));
}
