//! The ladder: which rung follows from how a transfer's rounds went, and what each phase's limit brings.

use muster_core::ladder::{Advice, Climb, GivenUp, Ladder, RUNG_LEAST_MS};
use muster_core::reading::{Job, Phase};
use muster_core::runbook::Deadlines;
use muster_core::terms::{Adjustment, Bandwidth, Terms};
use muster_core::time::Timestamp;

fn terms() -> Terms {
    let mut terms = Terms::within(Deadlines { transfer_ms: Some(3_600_000), ..Deadlines::default() });
    terms.ladder = Ladder { downtimes_ms: vec![500, 2_000], stalled_rounds: 3, ..Ladder::default() };
    terms
}

fn job(phase: Phase, round: u32, sent_mib: u64, left_mib: u64) -> Job {
    Job { phase, done_basis_points: 0, sent_mib, left_mib, dirty_rate_mib_s: 64, round, expected_downtime_ms: None }
}

/// Follows rounds of these volumes, a second each, and returns every advice that is not to go on, with its round.
fn climb(volumes: &[u64], terms: &Terms) -> Vec<(usize, Advice)> {
    let (mut climb, mut sent_mib, mut told) = (Climb::default(), 0, Vec::new());
    for (ended, volume) in volumes.iter().enumerate() {
        let now = Timestamp(1_000 * ended as u64);
        let round = u32::try_from(ended).expect("few rounds") + 1;
        // What is left goes up with every round and down within it.
        for left_mib in [*volume, volume / 2, 0] {
            let advice = climb.follow(&job(Phase::PreCopy, round, sent_mib + volume - left_mib, left_mib), terms, now);
            match advice {
                Advice::GoesOn { .. } => {}
                Advice::LongerDowntime { .. } => {
                    climb.took_rung(now);
                    told.push((ended, advice));
                }
                Advice::GivenUp(_) | Advice::IsOverdue { .. } => {
                    told.push((ended, advice));
                    return told;
                }
            }
        }
        sent_mib += volume;
    }
    told
}

#[test]
fn rounds_that_shrink_go_on_however_much_is_left_in_between() {
    assert_eq!(climb(&[4_096, 900, 400, 300, 200, 150, 100, 80, 60, 40, 30, 20, 10], &terms()), []);
    // A burst of writes in between: it shrinks again, and that is waited for.
    assert_eq!(climb(&[4_096, 100, 10, 900, 700, 500, 300, 200, 100, 50, 20, 9, 8, 5], &terms()), []);
}

#[test]
fn rounds_that_stay_the_same_go_up_rung_by_rung_and_are_given_up_at_the_top() {
    let told = climb(&[4_096; 40], &terms());
    let advices: Vec<Advice> = told.iter().map(|(_, advice)| *advice).collect();
    let stalled = GivenUp::Stalled { rounds: 3, dirty_rate_mib_s: 64 };
    let expected = [
        Advice::LongerDowntime { downtime_ms: 500 },
        Advice::LongerDowntime { downtime_ms: 2_000 },
        Advice::GivenUp(stalled),
    ];
    assert_eq!(advices, expected);
    assert!(stalled.to_string().contains("doesn't converge") && stalled.to_string().contains("64 MiB/s"), "{stalled}");
    let rounds: Vec<usize> = told.iter().map(|(round, _)| *round).collect();
    assert!(rounds.windows(2).all(|pair| pair[1] - pair[0] >= 3), "a rung had too few rounds to help: {rounds:?}");
}

#[test]
fn rounds_that_grow_and_such_that_swing_are_stalls_too() {
    let growing: Vec<u64> = (0..40).map(|round| 100 + round * 10).collect();
    let swinging: Vec<u64> = (0..80).map(|round| if round % 2 == 0 { 100 } else { 300 }).collect();
    for volumes in [growing, swinging] {
        let last = climb(&volumes, &terms()).pop().map(|(_, advice)| advice);
        assert!(matches!(last, Some(Advice::GivenUp(GivenUp::Stalled { .. }))), "{last:?}");
    }
}

#[test]
fn a_rung_has_its_time_even_where_rounds_are_very_short() {
    let (mut climb, mut rungs) = (Climb::default(), Vec::new());
    for at in 0..RUNG_LEAST_MS * 2 {
        // A round each millisecond; each brings the same.
        let seen = job(Phase::PreCopy, u32::try_from(at).expect("few rounds") + 1, at, 1);
        if let Advice::LongerDowntime { downtime_ms } = climb.follow(&seen, &terms(), Timestamp(at)) {
            climb.took_rung(Timestamp(at));
            rungs.push((at, downtime_ms));
        }
    }
    assert_eq!(rungs, [(RUNG_LEAST_MS, 500)], "and no second one before its time");
    assert_eq!(climb.downtime_ms(&terms().ladder), Some(500));
}

#[test]
fn each_phase_has_its_own_limit_and_from_the_handover_on_nothing_is_aborted() {
    let mut terms = terms();
    terms.deadlines =
        Deadlines { setup_ms: 100, transfer_ms: Some(200), handover_ms: 300, finish_ms: 400, ..Deadlines::default() };
    let phases = [
        (Phase::Setup, 100),
        (Phase::PreCopy, 200),
        (Phase::DiskCopy, 200),
        (Phase::DiskVerify, 200),
        (Phase::ShutDown, 200),
        (Phase::Handover, 300),
        (Phase::Finish, 400),
    ];
    for (phase, limit_ms) in phases {
        let mut climb = Climb::default();
        let seen = job(phase, 1, 0, 1);
        // It was in another phase before: that time doesn't count.
        let before = if phase == Phase::Setup { Phase::PreCopy } else { Phase::Setup };
        climb.follow(&job(before, 1, 0, 1), &terms, Timestamp(0));
        let began = 90;
        assert_eq!(climb.follow(&seen, &terms, Timestamp(began)), Advice::GoesOn { limit_in_ms: Some(limit_ms) });
        let left = climb.follow(&seen, &terms, Timestamp(began + limit_ms - 1));
        assert_eq!(left, Advice::GoesOn { limit_in_ms: Some(1) }, "{phase:?}");
        let late = climb.follow(&seen, &terms, Timestamp(began + limit_ms));
        let expected = match phase {
            Phase::Handover | Phase::Finish => Advice::IsOverdue { phase, limit_ms },
            Phase::Setup | Phase::ShutDown | Phase::PreCopy | Phase::DiskCopy | Phase::DiskVerify => {
                Advice::GivenUp(GivenUp::TooLong { phase, limit_ms })
            }
        };
        assert_eq!(late, expected);
    }
}

#[test]
fn what_is_adjusted_counts_at_once_and_later_before_earlier() {
    let earlier = Adjustment {
        bandwidth: Some(Bandwidth::Capped(10)),
        transfer_ms: Some(5),
        downtimes_ms: Some(vec![7_000]),
        ..Adjustment::default()
    };
    let later = Adjustment { bandwidth: Some(Bandwidth::Unlimited), stalled_rounds: Some(9), ..Adjustment::default() };
    let both = terms().adjusted(&earlier.clone().and(&later));
    assert_eq!(both.tuning.bandwidth_mib_s, None);
    assert_eq!((both.deadlines.transfer_ms, both.deadlines.handover_ms), (Some(5), terms().deadlines.handover_ms));
    assert_eq!((both.ladder.downtimes_ms, both.ladder.stalled_rounds), (vec![7_000], 9));
    assert_eq!(terms().adjusted(&earlier).tuning.bandwidth_mib_s, Some(10));
    assert!(Adjustment::default().is_empty() && !later.is_empty());
    assert_eq!(terms().adjusted(&Adjustment::default()), terms());
    // A limit that is raised counts for a transfer that would be past it.
    let mut climb = Climb::default();
    climb.follow(&job(Phase::PreCopy, 1, 0, 1), &terms().adjusted(&earlier), Timestamp(0));
    let more = Adjustment { transfer_ms: Some(100), ..Adjustment::default() };
    let advice = climb.follow(&job(Phase::PreCopy, 1, 0, 1), &terms().adjusted(&more), Timestamp(50));
    assert_eq!(advice, Advice::GoesOn { limit_in_ms: Some(50) });
}
