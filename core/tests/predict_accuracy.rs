//! How well a calibration predicts moves that it hasn't seen, on made-up sites whose truth is written here anew: links whose rates are off
//! each by another factor, a fixed cost that is off by seconds, noise, and moves that were stalled.

#![allow(clippy::unwrap_used, reason = "a test that can't make its moves has failed")]

use muster_core::predict::{Assumed, Calibration, Completed, Move, Route, Workload};
use std::time::Instant;

/// Sites that are made up for a figure.
const SITES: u64 = 40;
/// Moves of each that are predicted unseen.
const UNSEEN: usize = 100;
/// How often a calibration is learned, to say how long it takes.
const LEARNED: u32 = 20;

/// What a site is like.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// The links' nominal rates, in Mbit/s.
    nominal: [f64; 4],
    /// Moves say which link they take.
    named: bool,
    /// Guests write at rates that are off by up to this part.
    dirtying_off: f64,
    /// The truth is played round by round, not by a formula.
    played: bool,
}

/// Links that their nominal rates tell apart.
const BY_RATE: Kind =
    Kind { nominal: [1_000.0, 2_500.0, 10_000.0, 25_000.0], named: false, dirtying_off: 0.0, played: false };
/// Links of the same nominal rates, told apart by name.
const BY_NAME: Kind = Kind { nominal: [1_000.0, 1_000.0, 10_000.0, 10_000.0], named: true, ..BY_RATE };
/// Links that nothing tells apart.
const UNTOLD: Kind = Kind { named: false, ..BY_NAME };

/// A sequence of numbers: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    fn log_between(&mut self, least: f64, most: f64) -> f64 {
        self.between(least.ln(), most.ln()).exp()
    }
}

/// A site, and the truth about it.
struct Site {
    kind: Kind,
    numbers: Numbers,
    rate_factors: [f64; 4],
    fixed_s: f64,
    hot_factor: f64,
    cold_factor: f64,
}

impl Site {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        let rate_factors = std::array::from_fn(|_| numbers.between(0.7, 0.95));
        let fixed_s = Assumed::default().fixed_s + numbers.between(2.0, 6.0);
        let off = kind.dirtying_off;
        let (hot_factor, cold_factor) = (numbers.between(1.0 - off, 1.0 + off), numbers.between(1.0 - off, 1.0 + off));
        Site { kind, numbers, rate_factors, fixed_s, hot_factor, cold_factor }
    }

    /// A move, and how long it really takes before any noise.
    fn a_move(&mut self) -> (Move, f64) {
        let link = (self.numbers.unit() * 4.0) as usize;
        let rate = self.kind.nominal[link] * 1e6 / 8.0 / 1_048_576.0 * self.rate_factors[link];
        let memory_mib = self.numbers.log_between(1_024.0, 131_072.0).round();
        let hot_set_mib = memory_mib * self.numbers.between(0.01, 0.15);
        let hot_set_s = hot_set_mib / (rate * self.numbers.between(0.05, 0.6));
        let cold_dirty_mib_s = rate * self.numbers.between(0.0, 0.25);
        let storage_mib = if self.numbers.unit() < 0.2 { self.numbers.log_between(512.0, 32_768.0) } else { 0.0 };
        let workload = Workload { memory_mib, storage_mib, hot_set_mib, hot_set_s, cold_dirty_mib_s };
        let link_name = self.kind.named.then(|| format!("link {link}"));
        let of = Move::new(workload, self.kind.nominal[link], Route { link: link_name, ..Route::default() }).unwrap();
        let truth = if self.kind.played { played_s } else { formula_s };
        let hot = hot_set_mib * self.hot_factor;
        let memory_s = truth(memory_mib, rate, hot, hot_set_s, cold_dirty_mib_s * self.cold_factor);
        (of, memory_s + storage_mib / rate + self.fixed_s)
    }

    /// What is seen of a move: within 3 % of the truth.
    fn noisy(&mut self, duration_s: f64) -> f64 {
        duration_s * self.numbers.between(0.97, 1.03)
    }

    /// Completed moves, one in twenty of them stalled.
    fn history(&mut self, moves: usize) -> Vec<Completed> {
        let one = |_| {
            let (of, truth_s) = self.a_move();
            let stalled = if self.numbers.unit() < 0.05 { self.numbers.between(1.4, 4.0) } else { 1.0 };
            Completed::new(of, self.noisy(truth_s) * stalled).unwrap()
        };
        (0..moves).map(one).collect()
    }
}

fn formula_s(memory: f64, rate: f64, hot: f64, hot_s: f64, cold_rate: f64) -> f64 {
    let first = memory / rate;
    let hot_rate = hot / hot_s;
    if first <= hot_s {
        return first + hot_rate * first / (rate - hot_rate);
    }
    let rest = (hot + (first - hot_s) * cold_rate) / (rate - cold_rate);
    first + rest + (hot / rate) * hot_rate / (rate - hot_rate)
}

/// Sends and writes in turns, until the rest takes a third of a second.
fn played_s(memory: f64, rate: f64, hot: f64, hot_s: f64, cold_rate: f64) -> f64 {
    let (mut whole, mut left) = (0.0, memory);
    for rounds in 0.. {
        let round = left / rate;
        if round <= 0.3 {
            break;
        }
        assert!(rounds < 10_000, "a site of this test that doesn't converge");
        whole += round;
        left = hot * (round / hot_s).min(1.0) + cold_rate * round;
    }
    whole + left / rate
}

/// The mean absolute error over unseen moves, as a part of the truth: the median over sites.
fn error(kind: Kind, history: usize) -> f64 {
    let mut errors: Vec<f64> = (1..=SITES).map(|seed| error_of_site(kind, history, seed)).collect();
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}

fn error_of_site(kind: Kind, history: usize, seed: u64) -> f64 {
    let mut site = Site::new(kind, seed);
    let completed = site.history(history);
    let calibration = Calibration::learn(Assumed::default(), &completed);
    let mut sum = 0.0;
    for _ in 0..UNSEEN {
        let (of, truth_s) = site.a_move();
        let seen_s = site.noisy(truth_s);
        sum += (calibration.predict(&of).duration_s / seen_s - 1.0).abs();
    }
    sum / UNSEEN as f64
}

#[test]
fn a_few_tens_of_moves_predict_the_rest_within_5_percent() {
    for kind in [BY_RATE, BY_NAME] {
        for history in [30, 60] {
            let error = error(kind, history);
            assert!(error <= 0.05, "{error:.4} after {history} moves of {kind:?}");
        }
    }
}

#[test]
fn dirty_rates_that_are_off_do_no_harm() {
    for kind in [Kind { dirtying_off: 0.25, ..BY_RATE }, Kind { dirtying_off: 0.25, ..BY_NAME }] {
        let error = error(kind, 60);
        assert!(error <= 0.05, "{error:.4} of {kind:?}");
    }
}

#[test]
fn a_site_that_sends_in_rounds_is_predicted_too() {
    let error = error(Kind { played: true, ..BY_RATE }, 60);
    assert!(error <= 0.05, "{error:.4}");
}

#[test]
#[ignore = "prints the figures of docs/MEASURED.md"]
#[allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it is what it is run for")]
fn figures() {
    let off = |kind| Kind { dirtying_off: 0.25, ..kind };
    let kinds = [
        ("links told apart by name", BY_NAME),
        ("by their nominal rates", BY_RATE),
        ("by name, dirty rates off by up to a quarter", off(BY_NAME)),
        ("by nominal rates, dirty rates off by up to a quarter", off(BY_RATE)),
        ("by nominal rates, truth played in rounds", Kind { played: true, ..BY_RATE }),
        ("by nothing", UNTOLD),
    ];
    println!("| links | 0 | 1 | 5 | 10 | 30 | 60 | 200 | 1,000 |\n|---|---|---|---|---|---|---|---|---|");
    for (name, kind) in kinds {
        let figures = [0, 1, 5, 10, 30, 60, 200, 1_000].map(|history| format!("{:.1} %", error(kind, history) * 100.0));
        println!("| {name} | {} |", figures.join(" | "));
    }
    let history = Site::new(BY_NAME, 1).history(1_000);
    let started = Instant::now();
    for _ in 0..LEARNED {
        std::hint::black_box(Calibration::learn(Assumed::default(), std::hint::black_box(&history)));
    }
    println!("learning from 1,000 moves: {:.1} ms", started.elapsed().as_secs_f64() * 1e3 / f64::from(LEARNED));
}
