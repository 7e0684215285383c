//! The schedule against a plain recount of everything, under random events, and its edges one by one.

mod model;

use super::*;
use crate::runbook::Retry;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_000);

/// Repeatable dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn vm(number: usize) -> VmId {
    VmId(Uuid::from_u128(number as u128 + 1))
}

fn host(side: char, number: usize) -> HostName {
    format!("{side}{number}").parse().expect("a host's name")
}

fn site(name: &str) -> SiteName {
    name.parse().expect("a site's name")
}

const PLAIN: &str = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n[[select]]\nall = true\n";

fn runbook(more: &str) -> Runbook {
    Runbook::parse(&format!("{PLAIN}{more}")).expect("a runbook")
}

fn schedule(limits: Limits, failure_budget: FailureBudget) -> Schedule {
    Schedule::new(&Runbook { limits, failure_budget, ..runbook("") })
}

fn moves(count: u32) -> HostLoad {
    HostLoad { moves: count, ..HostLoad::default() }
}

fn limits(per_source_host: u32, per_destination_host: u32, per_site: u32, total: u32) -> Limits {
    Limits { per_source_host, per_destination_host, per_site, total, ..Limits::default() }
}

fn scheduled(number: usize, wave: usize, source: usize, destination: usize) -> ScheduledMove {
    ScheduledMove {
        vm: vm(number),
        wave,
        source_host: host('s', source),
        destination_host: host('d', destination),
        copies_disk: false,
        group: None,
        after: Vec::new(),
    }
}

fn add(schedule: &mut Schedule, number: usize, wave: usize, source: usize, destination: usize) {
    schedule.insert(&scheduled(number, wave, source, destination), WAITING).expect("it is new");
}

const WAITING: MoveStanding = MoveStanding::Waiting { not_before: None };

fn admit(schedule: &mut Schedule) -> Vec<VmId> {
    schedule.admit(NOW, &Load::default()).start
}

fn set(schedule: &mut Schedule, number: usize, standing: MoveStanding) {
    schedule.set(vm(number), standing).expect("it is there");
}

#[test]
fn every_move_has_its_turn_within_the_limits() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let limits = limits(2, 1, 6, 5);
        let mut schedule = schedule(limits, FailureBudget::Unlimited);
        for number in 0..300 {
            add(&mut schedule, number, dice.below(3), dice.below(5), dice.below(7));
        }
        let (mut now, mut running, mut tries) = (NOW, Vec::new(), BTreeMap::new());
        let retry = Retry::default();
        while schedule.current_wave().is_some() {
            let admission = schedule.admit(now, &Load::default());
            running.extend(admission.start);
            assert!(running.len() <= 5 && running.len() == schedule.counts().running);
            if running.is_empty() {
                now = admission.wake_at.expect("somebody wakes, or all is over");
                continue;
            }
            let ended: VmId = running.swap_remove(dice.below(running.len()));
            let tried = tries.entry(ended).or_insert(0);
            *tried += 1;
            let backoff = now.plus_ms(retry.backoff_after_ms(*tried, dice.0));
            let standing = match dice.below(3) {
                0 if *tried < retry.attempts => MoveStanding::Waiting { not_before: Some(backoff) },
                0 => MoveStanding::Failed,
                _ => MoveStanding::Done,
            };
            schedule.set(ended, standing).expect("it is there");
        }
        assert_eq!(tries.len(), 300, "each had its turn");
        assert_eq!(schedule.counts().done + schedule.counts().failed, 300);
    }
}

#[test]
fn what_has_arrived_gives_its_room_away_and_keeps_its_wave() {
    let mut schedule = schedule(limits(1, 9, 9, 9), FailureBudget::Unlimited);
    add(&mut schedule, 0, 0, 0, 0);
    add(&mut schedule, 1, 0, 0, 1);
    add(&mut schedule, 2, 1, 0, 2);
    assert_eq!(admit(&mut schedule), vec![vm(0)]);
    schedule.arrived(vm(0));
    assert_eq!(admit(&mut schedule), vec![vm(1)], "its host has room again");
    set(&mut schedule, 1, MoveStanding::Done);
    assert_eq!(admit(&mut schedule), Vec::new(), "the next wave waits until all of it is tidied up");
    set(&mut schedule, 0, MoveStanding::Done);
    assert_eq!(admit(&mut schedule), vec![vm(2)]);
    schedule.arrived(vm(0));
    assert_eq!(schedule.standing(vm(0)), Some(MoveStanding::Done), "only what runs arrives");
}

#[test]
fn where_nothing_is_tidied_up_nothing_more_is_begun() {
    let mut schedule = schedule(limits(1, 9, 9, 9), FailureBudget::Unlimited);
    for number in 0..=FINISHING_MAX + 1 {
        add(&mut schedule, number, 0, 0, 0);
    }
    for number in 0..=FINISHING_MAX {
        assert_eq!(admit(&mut schedule), vec![vm(number)]);
        schedule.arrived(vm(number));
    }
    assert_eq!(admit(&mut schedule), Vec::new());
    set(&mut schedule, 0, MoveStanding::Done);
    schedule.arrived(vm(FINISHING_MAX));
    assert_eq!(admit(&mut schedule), vec![vm(FINISHING_MAX + 1)]);
}

#[test]
fn a_wave_waits_for_the_one_before_but_not_for_held_and_failed_moves() {
    let mut schedule = schedule(limits(9, 9, 9, 9), FailureBudget::Unlimited);
    for number in 0..4 {
        add(&mut schedule, number, 0, 0, 0);
    }
    add(&mut schedule, 4, 7, 0, 0);
    assert_eq!(admit(&mut schedule), [vm(0), vm(1), vm(2), vm(3)]);
    set(&mut schedule, 0, MoveStanding::Held);
    set(&mut schedule, 1, MoveStanding::Failed);
    set(&mut schedule, 2, MoveStanding::Done);
    assert_eq!(admit(&mut schedule), [], "one still runs");
    set(&mut schedule, 3, MoveStanding::Waiting { not_before: Some(NOW.plus_ms(5)) });
    let admission = schedule.admit(NOW, &Load::default());
    assert_eq!(admission, Admission { start: vec![], wake_at: Some(NOW.plus_ms(5)) }, "one still waits");
    set(&mut schedule, 3, MoveStanding::Cancelled);
    assert_eq!(schedule.current_wave(), Some(7));
    assert_eq!(admit(&mut schedule), [vm(4)]);
    set(&mut schedule, 4, MoveStanding::Done);
    assert_eq!(schedule.current_wave(), None);
}

#[test]
fn a_failed_attempt_comes_back_at_its_time_and_in_its_place() {
    let mut schedule = schedule(limits(1, 1, 9, 1), FailureBudget::Unlimited);
    for number in 0..3 {
        add(&mut schedule, number, 0, 0, 0);
    }
    assert_eq!(admit(&mut schedule), [vm(0)]);
    let at = NOW.plus_ms(10);
    set(&mut schedule, 0, MoveStanding::Waiting { not_before: Some(at) });
    let admission = schedule.admit(NOW.plus_ms(9), &Load::default());
    assert_eq!(admission, Admission { start: vec![vm(1)], wake_at: Some(at) });
    set(&mut schedule, 1, MoveStanding::Done);
    let admission = schedule.admit(at, &Load::default());
    assert_eq!(admission, Admission { start: vec![vm(0)], wake_at: None }, "before those that came after it");
}

#[test]
fn brakes_start_nothing_and_let_running_moves_run() {
    let mut schedule = schedule(limits(9, 9, 9, 1), FailureBudget::Moves(1));
    for number in 0..5 {
        add(&mut schedule, number, 0, 0, 0);
    }
    assert_eq!(admit(&mut schedule), [vm(0)]);
    schedule.set_paused(true);
    set(&mut schedule, 0, MoveStanding::Failed);
    assert_eq!((schedule.brake(), admit(&mut schedule)), (Some(Brake::Paused), vec![]));
    schedule.set_paused(false);
    assert_eq!(admit(&mut schedule), [vm(1)], "one failure is within the budget");
    set(&mut schedule, 1, MoveStanding::Failed);
    assert_eq!((schedule.brake(), admit(&mut schedule)), (Some(Brake::FailureBudgetSpent), vec![]));
    set(&mut schedule, 1, WAITING);
    assert_eq!((schedule.brake(), admit(&mut schedule)), (None, vec![vm(1)]), "it is retried");
    schedule.drain();
    set(&mut schedule, 1, MoveStanding::Done);
    assert_eq!((schedule.brake(), admit(&mut schedule)), (Some(Brake::Draining), vec![]));
}

#[test]
fn other_evacuations_count_against_hosts_and_sites() {
    let mut schedule = schedule(limits(2, 2, 4, 9), FailureBudget::Unlimited);
    for number in 0..6 {
        add(&mut schedule, number, 0, number % 3, number % 3);
    }
    let mut elsewhere = Load::default();
    elsewhere.depart(&site("a"), &host('s', 0), moves(2));
    assert_eq!(schedule.admit(NOW, &elsewhere).start, [vm(1), vm(2)], "two of four are taken, and host s0 is full");
    let mut both = schedule.load();
    both.add(&elsewhere);
    assert_eq!((both.of_site(&site("a")), both.of_site(&site("b"))), (4, 2));
    assert_eq!(both.departures(&site("a"), &host('s', 0)), moves(2));
    assert_eq!(both.arrivals(&site("b"), &host('d', 1)), moves(1));
}

#[test]
fn a_redirected_move_starts_where_there_is_room() {
    let mut schedule = schedule(limits(9, 1, 9, 9), FailureBudget::Unlimited);
    add(&mut schedule, 0, 0, 0, 0);
    add(&mut schedule, 1, 0, 0, 0);
    assert_eq!(admit(&mut schedule), [vm(0)]);
    schedule.redirect(vm(1), &host('d', 1)).expect("it is there");
    assert_eq!(admit(&mut schedule), [vm(1)]);
}

#[test]
fn strangers_and_doubles_are_refused() {
    let mut schedule = schedule(Limits::default(), FailureBudget::Unlimited);
    assert_eq!(schedule.set(vm(0), WAITING), Err(ScheduleError::Unknown { vm: vm(0) }));
    add(&mut schedule, 0, 0, 0, 0);
    let refused = schedule.insert(&scheduled(0, 0, 0, 0), WAITING);
    assert_eq!(refused, Err(ScheduleError::Known { vm: vm(0) }));
    assert_eq!(schedule.counts().waiting, 1);
}

/// Would take many minutes if an event scanned what waits: each move is its own event, nearly all of them behind full hosts.
#[test]
fn a_hundred_thousand_waiting_moves_cost_an_event_little() {
    let mut dice = Dice(1);
    let mut schedule = schedule(limits(2, 2, 100, 100), FailureBudget::Unlimited);
    for number in 0..100_000 {
        add(&mut schedule, number, number / 50_000, dice.below(30), dice.below(30));
    }
    let mut running: Vec<VmId> = admit(&mut schedule);
    let mut ended = 0;
    while !running.is_empty() {
        let done = running.swap_remove(dice.below(running.len()));
        schedule.set(done, MoveStanding::Done).expect("it is there");
        ended += 1;
        running.extend(admit(&mut schedule));
    }
    assert_eq!(ended, 100_000);
}

#[test]
fn what_comes_after_a_group_waits_for_all_of_it() {
    let mut schedule = schedule(limits(9, 9, 9, 9), FailureBudget::Unlimited);
    let after = |number| ScheduledMove { after: vec!["db".to_owned()], ..scheduled(number, 0, 0, 0) };
    let member = |number| ScheduledMove { group: Some("db".to_owned()), ..scheduled(number, 0, 0, 0) };
    for scheduled in [after(0), member(1), member(2), member(3)] {
        schedule.insert(&scheduled, WAITING).expect("it is new");
    }
    assert_eq!(admit(&mut schedule), [vm(1), vm(2), vm(3)]);
    set(&mut schedule, 1, MoveStanding::Done);
    set(&mut schedule, 2, MoveStanding::Held);
    assert_eq!(admit(&mut schedule), [], "one is under way");
    schedule.arrived(vm(3));
    assert_eq!(admit(&mut schedule), [vm(0)], "what has arrived, and what is held, keeps nobody");
}

#[test]
fn nothing_starts_while_the_windows_are_closed() {
    let text = "[schedule]\nstart_at = 1970-01-01T00:00:10Z\n[[schedule.window]]\nfrom = 00:00:20\nuntil = 00:00:30\n";
    let mut schedule = Schedule::new(&runbook(text));
    add(&mut schedule, 0, 0, 0, 0);
    for early_ms in [0, 9_999, 10_000, 19_999] {
        let admission = schedule.admit(Timestamp(early_ms), &Load::default());
        assert_eq!(admission, Admission { start: vec![], wake_at: Some(Timestamp(20_000)) }, "{early_ms}");
    }
    let late = Timestamp(30_000);
    assert_eq!(schedule.admit(late, &Load::default()).wake_at, Some(Timestamp(86_400_000 + 20_000)));
    assert_eq!(schedule.admit(Timestamp(20_000), &Load::default()).start, [vm(0)]);
}
