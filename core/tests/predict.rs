//! The pre-copy model against values worked out by hand, its borders, and what a calibration makes of odd histories.

#![allow(clippy::unwrap_used, reason = "a test that can't make its moves has failed")]

use muster_core::class::Class;
use muster_core::ladder::Ladder;
use muster_core::predict::{Assumed, Calibration, Completed, Course, Grouping, Move, Prediction, Route, Workload};

/// 100 MiB/s, in Mbit/s.
const RATE_100_MIB_S: f64 = 838.860_8;

const GUEST: Workload =
    Workload { memory_mib: 1_000.0, storage_mib: 0.0, hot_set_mib: 50.0, hot_set_s: 5.0, cold_dirty_mib_s: 20.0 };

/// A site that is exactly as its nominal rates say, with moves that cost nothing beside.
fn ideal() -> Assumed {
    Assumed { rate_factor: 1.0, fixed_s: 0.0, commit_ms: 40.0, downtime_ms: 300.0, ladder: Ladder::default() }
}

fn predicted_at(workload: Workload, rate_mib_s: f64) -> Prediction {
    let of = Move::new(workload, RATE_100_MIB_S, Route::default()).unwrap();
    Calibration::learn(ideal(), &[]).predict_at(&of, rate_mib_s)
}

fn predicted(workload: Workload) -> Prediction {
    let of = Move::new(workload, RATE_100_MIB_S, Route::default()).unwrap();
    Calibration::learn(ideal(), &[]).predict(&of)
}

#[track_caller]
fn assert_near(is: f64, wanted: f64) {
    assert!((is - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{is}, not {wanted}");
}

#[test]
fn the_formula_by_hand() {
    let long = predicted(GUEST);
    // 10 + (50 + 5·20)/80 + 0.5·10/90; the rounds leave 150 MiB, then 15.
    assert_near(long.duration_s, 10.0 + 1.875 + 5.0 / 90.0);
    assert_near(long.volume_mib, long.duration_s * 100.0);
    assert_near(long.downtime_ms, 150.0 + 40.0);
    assert!(long.converges());

    // Sent before the hot set is written once: 10 + 2.5·10/97.5; the first round leaves 25 MiB.
    let short = predicted(Workload { hot_set_s: 20.0, ..GUEST });
    assert_near(short.duration_s, 10.0 + 25.0 / 97.5);
    assert_near(short.downtime_ms, 250.0 + 40.0);
}

#[test]
fn storage_and_the_fixed_cost_come_on_top() {
    let of = Move::new(Workload { storage_mib: 3_000.0, ..GUEST }, RATE_100_MIB_S, Route::default()).unwrap();
    let with_both = Calibration::learn(Assumed { fixed_s: 7.0, ..ideal() }, &[]).predict(&of);
    let without = predicted(GUEST);
    assert_near(with_both.duration_s, without.duration_s + 30.0 + 7.0);
    assert_near(with_both.volume_mib, without.volume_mib + 3_000.0);
    assert_near(with_both.downtime_ms, without.downtime_ms);
}

#[test]
fn the_two_lines_meet_where_nothing_cold_is_written_and_are_a_known_step_apart_otherwise() {
    let at = |hot_set_s, cold_dirty_mib_s| predicted(Workload { hot_set_s, cold_dirty_mib_s, ..GUEST }).duration_s;
    let (before, behind) = (10.0 - 1e-9, 10.0 + 1e-9);
    assert_near(at(before, 0.0), at(behind, 0.0));
    assert_near(at(before, 20.0) - at(behind, 20.0), 50.0 * 20.0 / (100.0 * 80.0));
}

#[test]
fn it_converges_only_above_both_dirty_rates() {
    let with = |hot_set_s, cold_dirty_mib_s| predicted(Workload { hot_set_s, cold_dirty_mib_s, ..GUEST });
    assert!(with(5.0, 99.9).converges());
    assert!(!with(5.0, 100.0).converges(), "the cold rate is the link's");
    assert!(with(0.501, 20.0).converges());
    assert!(!with(0.5, 20.0).converges(), "the hot rate is the link's");
}

#[test]
fn what_does_not_converge_goes_up_the_ladder() {
    // 0.5 s of hot set fits the first longer downtime, of 500 ms; the cold rest settles at 0 within.
    let small = predicted(Workload { hot_set_s: 0.1, cold_dirty_mib_s: 0.0, ..GUEST });
    assert_eq!(small.course, Course::TakesLongerDowntime);
    assert_near(small.downtime_ms, 500.0 + 40.0);
    // The first round, 5 of half a second without progress, and the last.
    assert_near(small.duration_s, 10.0 + 2.5 + 0.5);

    // 4 s of hot set fit no downtime: 5 rounds for each of 4 rungs, then it is aborted.
    let large = predicted(Workload { hot_set_mib: 400.0, hot_set_s: 0.1, cold_dirty_mib_s: 0.0, ..GUEST });
    assert_eq!(large.course, Course::IsGivenUp);
    assert_near(large.duration_s, 10.0 + 4.0 * 5.0 * 4.0);
    assert_near(large.downtime_ms, 4_000.0 + 40.0);
}

#[test]
fn odd_guests_have_an_answer() {
    let still = predicted(Workload { hot_set_mib: 0.0, hot_set_s: 0.0, cold_dirty_mib_s: 0.0, ..GUEST });
    assert_near(still.duration_s, 10.0);
    assert_near(still.downtime_ms, 40.0);
    let at_once = predicted(Workload { hot_set_s: 0.0, ..GUEST });
    assert!(!at_once.converges() && at_once.duration_s.is_finite(), "{at_once:?}");
    let all_hot = Workload { hot_set_mib: 1_000.0, hot_set_s: 20.0, ..GUEST };
    assert_eq!(predicted(Workload { hot_set_mib: 5_000.0, ..all_hot }), predicted(all_hot));
    let no_memory = predicted(Workload { memory_mib: 0.0, storage_mib: 200.0, ..GUEST });
    assert!(no_memory.converges());
    assert_near(no_memory.duration_s, 2.0);
    let largest =
        Workload { memory_mib: 1e12, storage_mib: 1e12, hot_set_mib: 1e12, hot_set_s: 1e-9, cold_dirty_mib_s: 1e12 };
    let largest = predicted_at(largest, 1e-4);
    assert!(largest.duration_s.is_finite() && largest.downtime_ms.is_finite(), "{largest:?}");
}

/// Guests of all kinds, and rates.
fn grid() -> impl Iterator<Item = (Workload, f64)> {
    let values = |values: &'static [f64]| values.iter().copied();
    values(&[256.0, 4_096.0, 65_536.0]).flat_map(move |memory_mib| {
        values(&[0.0, 10.0, 500.0]).flat_map(move |hot_set_mib| {
            values(&[0.5, 5.0, 60.0]).flat_map(move |hot_set_s| {
                values(&[0.0, 5.0, 90.0]).flat_map(move |cold_dirty_mib_s| {
                    let workload = Workload { memory_mib, storage_mib: 0.0, hot_set_mib, hot_set_s, cold_dirty_mib_s };
                    values(&[50.0, 100.0, 101.0, 1_000.0]).map(move |rate| (workload, rate))
                })
            })
        })
    })
}

#[test]
fn more_rate_never_takes_longer_and_more_to_send_never_less_time() {
    let mut compared = 0;
    for (workload, rate) in grid() {
        let is = predicted_at(workload, rate);
        if !is.converges() {
            continue;
        }
        compared += 1;
        for more in [1.000_1, 1.1, 3.0, 50.0] {
            let faster = predicted_at(workload, rate * more);
            assert!(faster.converges() && faster.duration_s <= is.duration_s, "{workload:?} at {rate}, times {more}");
            assert!(faster.volume_mib <= is.volume_mib * (1.0 + 1e-9), "{workload:?} at {rate}, times {more}");
            let larger = [
                Workload { memory_mib: workload.memory_mib * more, ..workload },
                Workload { hot_set_mib: workload.hot_set_mib * more, ..workload },
                Workload { cold_dirty_mib_s: workload.cold_dirty_mib_s * more, ..workload },
            ];
            for larger in larger {
                let longer = predicted_at(larger, rate);
                let is_longer = longer.duration_s >= is.duration_s * (1.0 - 1e-9);
                assert!(!longer.converges() || is_longer, "{larger:?} at {rate} against {workload:?}");
            }
        }
    }
    assert!(compared > 100, "only {compared} converge");
}

#[test]
fn every_quantity_that_nothing_can_be_predicted_from_is_refused_by_name() {
    type Set = fn(&mut Workload, f64);
    let fields: [(&str, Set); 5] = [
        ("memory_mib", |workload, value| workload.memory_mib = value),
        ("storage_mib", |workload, value| workload.storage_mib = value),
        ("hot_set_mib", |workload, value| workload.hot_set_mib = value),
        ("hot_set_s", |workload, value| workload.hot_set_s = value),
        ("cold_dirty_mib_s", |workload, value| workload.cold_dirty_mib_s = value),
    ];
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e13] {
        for (field, set) in fields {
            let mut workload = GUEST;
            set(&mut workload, bad);
            let refused = Move::new(workload, 1_000.0, Route::default()).unwrap_err();
            assert_eq!((refused.field, refused.class()), (field, Class::Refused));
            assert!(
                refused.to_string().contains(&format!("{field} is {bad}; use a finite number from 0")),
                "{refused}"
            );
        }
        assert_eq!(Move::new(GUEST, bad, Route::default()).unwrap_err().field, "rate_mbit_s");
        let of = Move::new(GUEST, 1_000.0, Route::default()).unwrap();
        assert_eq!(Completed::new(of, bad).unwrap_err().field, "duration_s");
    }
    assert_eq!(Move::new(GUEST, 0.0, Route::default()).unwrap_err().field, "rate_mbit_s");
}

/// A move of so much still memory, and how long it takes at a factor of the nominal rate, with 5 s beside.
fn completed(memory_mib: f64, factor: f64, link: Option<&str>) -> Completed {
    let workload = Workload { memory_mib, ..Workload::default() };
    let route = Route { link: link.map(str::to_owned), ..Route::default() };
    let duration_s = memory_mib / (100.0 * factor) + 5.0;
    Completed::new(Move::new(workload, RATE_100_MIB_S, route).unwrap(), duration_s).unwrap()
}

fn memory_mib(at: usize) -> f64 {
    1_000.0 * (1 + at * 7 % 20) as f64
}

fn duration_s(calibration: &Calibration, memory_mib: f64, link: Option<&str>) -> f64 {
    let workload = Workload { memory_mib, ..Workload::default() };
    let route = Route { link: link.map(str::to_owned), ..Route::default() };
    calibration.predict(&Move::new(workload, RATE_100_MIB_S, route).unwrap()).duration_s
}

#[test]
fn without_history_everything_is_as_assumed() {
    let calibration = Calibration::learn(Assumed::default(), &[]);
    assert_eq!(calibration.grouping(), Grouping::Site);
    assert_near(calibration.fixed_s(), Assumed::default().fixed_s);
    assert_near(duration_s(&calibration, 10_000.0, None), 10_000.0 / 94.0 + Assumed::default().fixed_s);
}

#[test]
fn one_move_shifts_what_is_like_it() {
    let calibration = Calibration::learn(Assumed::default(), &[completed(10_000.0, 0.7, None)]);
    let is = duration_s(&calibration, 10_000.0, None);
    let (assumed, seen) = (10_000.0 / 94.0 + 2.0, 10_000.0 / 70.0 + 5.0);
    assert!(is > assumed + 0.6 * (seen - assumed) && is < seen + 0.1, "{is}, assumed {assumed}, seen {seen}");
}

#[test]
fn moves_that_are_all_alike_are_predicted_alike_and_leave_others_plausible() {
    let history: Vec<Completed> = (0..40).map(|_| completed(10_000.0, 0.7, None)).collect();
    let calibration = Calibration::learn(Assumed::default(), &history);
    let same = duration_s(&calibration, 10_000.0, None);
    assert!((same / (10_000.0 / 70.0 + 5.0) - 1.0).abs() < 0.01, "{same}");
    let tiny = duration_s(&calibration, 1.0, None);
    assert!((0.0..15.0).contains(&tiny), "{tiny}");
    let large = duration_s(&calibration, 100_000.0, None);
    assert!((large / (100_000.0 / 70.0 + 5.0) - 1.0).abs() < 0.05, "{large}");
}

#[test]
fn rate_and_fixed_cost_are_told_apart_by_moves_of_many_sizes() {
    let history: Vec<Completed> = (0..40).map(|at| completed(memory_mib(at), 0.7, None)).collect();
    let calibration = Calibration::learn(Assumed::default(), &history);
    assert!((calibration.fixed_s() - 5.0).abs() < 0.1, "{}", calibration.fixed_s());
    let large = duration_s(&calibration, 500_000.0, None);
    assert!((large / (500_000.0 / 70.0 + 5.0) - 1.0).abs() < 0.005, "{large}");
}

#[test]
fn dirty_rates_that_are_off_are_learned() {
    // Guests that write a fifth more than was measured, on a link that is as assumed.
    let guest = |at: usize| {
        let (hot_set_mib, cold_dirty_mib_s) = (500.0 * (at % 3) as f64, 15.0 * (at % 4) as f64);
        Workload { memory_mib: memory_mib(at), storage_mib: 0.0, hot_set_mib, hot_set_s: 20.0, cold_dirty_mib_s }
    };
    let off = |of: Workload| Workload {
        hot_set_mib: of.hot_set_mib * 1.2,
        cold_dirty_mib_s: of.cold_dirty_mib_s * 1.2,
        ..of
    };
    let history: Vec<Completed> = (0..60)
        .map(|at| {
            let of = Move::new(guest(at), RATE_100_MIB_S, Route::default()).unwrap();
            Completed::new(of, predicted(off(guest(at))).duration_s + 5.0).unwrap()
        })
        .collect();
    let calibration = Calibration::learn(Assumed::default(), &history);
    for factor in [calibration.hot_set_factor(), calibration.cold_dirty_factor()] {
        assert!((factor / 1.2 - 1.0).abs() < 0.02, "{factor}");
    }
}

#[test]
fn links_are_told_apart_only_where_that_predicts_better() {
    let factor = |at: usize| [0.7, 0.95][at % 2];
    let told: Vec<Completed> =
        (0..40).map(|at| completed(memory_mib(at), factor(at), Some(["a", "b"][at % 2]))).collect();
    let calibration = Calibration::learn(Assumed::default(), &told);
    assert_eq!(calibration.grouping(), Grouping::Link);
    for (link, factor) in [("a", 0.7), ("b", 0.95)] {
        let is = duration_s(&calibration, 10_000.0, Some(link));
        assert!((is / (10_000.0 / (100.0 * factor) + 5.0) - 1.0).abs() < 0.01, "{link}: {is}");
    }
    let unknown = duration_s(&calibration, 10_000.0, Some("c"));
    assert!(
        (10_000.0 / 95.0 + 5.0..10_000.0 / 70.0 + 5.0).contains(&unknown),
        "a new link is like the site: {unknown}"
    );

    let alike: Vec<Completed> = (0..40).map(|at| completed(memory_mib(at), 0.8, Some(["a", "b"][at % 2]))).collect();
    assert_eq!(Calibration::learn(Assumed::default(), &alike).grouping(), Grouping::Site);
}

#[test]
fn the_newest_moves_count_most() {
    let history: Vec<Completed> =
        (0..400).map(|at| completed(memory_mib(at), if at < 300 { 0.9 } else { 0.6 }, None)).collect();
    let is = duration_s(&Calibration::learn(Assumed::default(), &history), 10_000.0, None);
    let (before, now) = (10_000.0 / 90.0 + 5.0, 10_000.0 / 60.0 + 5.0);
    assert!(now - is < 0.4 * (now - before), "{is}, before {before}, now {now}");
}

#[test]
fn stalled_moves_hardly_count() {
    let mut history: Vec<Completed> = (0..40).map(|at| completed(memory_mib(at), 0.7, None)).collect();
    for at in [3, 17, 30, 39] {
        history[at] = completed(memory_mib(at), 0.2, None);
    }
    let is = duration_s(&Calibration::learn(Assumed::default(), &history), 10_000.0, None);
    assert!((is / (10_000.0 / 70.0 + 5.0) - 1.0).abs() < 0.01, "{is}");
}

#[test]
fn the_same_history_gives_the_same_calibration() {
    let history: Vec<Completed> = (0..30).map(|at| completed(memory_mib(at), 0.8, Some("a"))).collect();
    let learned = || Calibration::learn(Assumed::default(), &history);
    assert_eq!(learned(), learned());
}
