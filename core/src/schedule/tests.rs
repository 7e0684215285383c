//! The schedule against a plain recount of everything, under random events, and its edges one by one.

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

fn schedule(limits: Limits, failure_budget: FailureBudget) -> Schedule {
    let text = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n[[select]]\nall = true\n";
    let runbook = Runbook::parse(text).expect("a runbook");
    Schedule::new(&Runbook { limits, failure_budget, ..runbook })
}

fn limits(per_source_host: u32, per_destination_host: u32, per_site: u32, total: u32) -> Limits {
    Limits { per_source_host, per_destination_host, per_site, total }
}

fn add(schedule: &mut Schedule, number: usize, wave: usize, source: usize, destination: usize) {
    let scheduled = ScheduledMove {
        vm: vm(number),
        wave,
        source_host: host('s', source),
        destination_host: host('d', destination),
    };
    schedule.insert(&scheduled, WAITING).expect("it is new");
}

const WAITING: MoveStanding = MoveStanding::Waiting { not_before: None };

fn admit(schedule: &mut Schedule) -> Vec<VmId> {
    schedule.admit(NOW, &Load::default()).start
}

fn set(schedule: &mut Schedule, number: usize, standing: MoveStanding) {
    schedule.set(vm(number), standing).expect("it is there");
}

/// What the schedule should know, kept in the plainest way.
struct Model {
    moves: Vec<(ScheduledMove, MoveStanding)>,
}

impl Model {
    fn running(&self) -> impl Iterator<Item = &ScheduledMove> {
        self.moves.iter().filter(|(_, standing)| *standing == MoveStanding::Running).map(|(scheduled, _)| scheduled)
    }

    /// What may start, by scanning everything.
    fn admit(&mut self, limits: Limits, budget: FailureBudget, now: Timestamp, elsewhere: &Load) -> Vec<VmId> {
        let failed = self.moves.iter().filter(|(_, standing)| *standing == MoveStanding::Failed).count();
        if budget.is_overdrawn(failed, self.moves.len()) {
            return Vec::new();
        }
        let unfinished = |standing: &MoveStanding| {
            matches!(standing, MoveStanding::Running | MoveStanding::Finishing | MoveStanding::Waiting { .. })
        };
        let waves = self.moves.iter().filter(|(_, standing)| unfinished(standing)).map(|(scheduled, _)| scheduled.wave);
        let Some(wave) = waves.min() else { return Vec::new() };
        let mut start = Vec::new();
        for index in 0..self.moves.len() {
            let (scheduled, standing) = &self.moves[index];
            let due = match standing {
                MoveStanding::Waiting { not_before } => not_before.is_none_or(|at| at <= now),
                MoveStanding::Running
                | MoveStanding::Finishing
                | MoveStanding::Held
                | MoveStanding::Failed
                | MoveStanding::Done
                | MoveStanding::Cancelled => false,
            };
            if due && scheduled.wave == wave && self.has_room(scheduled, limits, elsewhere) {
                start.push(scheduled.vm);
                self.moves[index].1 = MoveStanding::Running;
            }
        }
        start
    }

    fn has_room(&self, wanted: &ScheduledMove, limits: Limits, elsewhere: &Load) -> bool {
        let all = self.running().count() as u32;
        let from = self.running().filter(|other| other.source_host == wanted.source_host).count() as u32;
        let to = self.running().filter(|other| other.destination_host == wanted.destination_host).count() as u32;
        let (a, b) = (site("a"), site("b"));
        all < limits.total
            && all + elsewhere.of_site(&a) < limits.per_site
            && all + elsewhere.of_site(&b) < limits.per_site
            && from + elsewhere.departures(&a, &wanted.source_host) < limits.per_source_host
            && to + elsewhere.arrivals(&b, &wanted.destination_host) < limits.per_destination_host
    }
}

fn random_standing(dice: &mut Dice, now: Timestamp) -> MoveStanding {
    match dice.below(10) {
        0..=3 => MoveStanding::Done,
        4 => MoveStanding::Held,
        5 => MoveStanding::Failed,
        6 => MoveStanding::Waiting { not_before: Some(now.plus_ms(dice.below(50) as u64)) },
        7 => WAITING,
        8 => MoveStanding::Finishing,
        _ => MoveStanding::Cancelled,
    }
}

fn random_elsewhere(dice: &mut Dice) -> Load {
    let mut elsewhere = Load::default();
    for _ in 0..dice.below(4) {
        elsewhere.depart(&site("a"), &host('s', dice.below(4)), 1);
        elsewhere.arrive(&site("b"), &host('d', dice.below(4)), 1);
    }
    elsewhere
}

/// One random evacuation: after every event the schedule starts exactly what a scan of everything says.
fn compare_with_the_model(seed: u64) {
    let mut dice = Dice(seed);
    let limits = limits(1 + dice.below(3) as u32, 1 + dice.below(3) as u32, 8, 1 + dice.below(7) as u32);
    let budget = [FailureBudget::Unlimited, FailureBudget::Moves(5), FailureBudget::Percent(20)][dice.below(3)];
    let mut schedule = schedule(limits, budget);
    let mut model = Model { moves: Vec::new() };
    for number in 0..40 {
        let scheduled = ScheduledMove {
            vm: vm(number),
            wave: dice.below(3),
            source_host: host('s', dice.below(4)),
            destination_host: host('d', dice.below(4)),
        };
        schedule.insert(&scheduled, WAITING).expect("it is new");
        model.moves.push((scheduled, WAITING));
    }
    let mut now = NOW;
    for _ in 0..200 {
        now = now.plus_ms(dice.below(20) as u64);
        let number = dice.below(40);
        if dice.below(8) == 0 {
            let to = host('d', dice.below(4));
            schedule.redirect(vm(number), &to).expect("it is there");
            model.moves[number].0.destination_host = to;
        } else if dice.below(3) > 0 || model.moves[number].1 == MoveStanding::Running {
            let standing = random_standing(&mut dice, now);
            set(&mut schedule, number, standing);
            model.moves[number].1 = standing;
        }
        let elsewhere = random_elsewhere(&mut dice);
        let admission = schedule.admit(now, &elsewhere);
        assert_eq!(admission.start, model.admit(limits, budget, now, &elsewhere), "seed {seed}");
        assert_eq!(schedule.counts().running, model.running().count(), "seed {seed}");
        assert!(admission.wake_at.is_none_or(|at| at > now), "seed {seed}");
    }
}

#[test]
fn random_evacuations_start_what_a_scan_of_everything_would() {
    for seed in 0..400 {
        compare_with_the_model(seed);
    }
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
    elsewhere.depart(&site("a"), &host('s', 0), 2);
    assert_eq!(schedule.admit(NOW, &elsewhere).start, [vm(1), vm(2)], "two of four are taken, and host s0 is full");
    let mut both = schedule.load();
    both.add(&elsewhere);
    assert_eq!((both.of_site(&site("a")), both.of_site(&site("b"))), (4, 2));
    assert_eq!(both.departures(&site("a"), &host('s', 0)), 2);
    assert_eq!(both.arrivals(&site("b"), &host('d', 1)), 1);
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
    let again = ScheduledMove { vm: vm(0), wave: 0, source_host: host('s', 0), destination_host: host('d', 0) };
    assert_eq!(schedule.insert(&again, WAITING), Err(ScheduleError::Known { vm: vm(0) }));
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
