//! A plain recount of everything, and random evacuations in which the schedule has to start what that says.

use super::*;
use crate::route::Link;
use crate::runbook::selection::Patterns;

/// What the schedule should know, kept in the plainest way.
struct Model {
    runbook: Runbook,
    moves: Vec<(ScheduledMove, MoveStanding)>,
    /// The moves by their places, in the order in which they start.
    order: Vec<usize>,
}

impl Model {
    fn running(&self) -> impl Iterator<Item = &ScheduledMove> {
        self.moves.iter().filter(|(_, standing)| *standing == MoveStanding::Running).map(|(scheduled, _)| scheduled)
    }

    /// What may start, by scanning everything.
    fn admit(&mut self, now: Timestamp, elsewhere: &Load) -> Vec<VmId> {
        let failed = self.moves.iter().filter(|(_, standing)| *standing == MoveStanding::Failed).count();
        if self.runbook.failure_budget.is_overdrawn(failed, self.moves.len()) {
            return Vec::new();
        }
        let unfinished = |standing: &MoveStanding| {
            matches!(standing, MoveStanding::Running | MoveStanding::Finishing | MoveStanding::Waiting { .. })
        };
        let waves = self.moves.iter().filter(|(_, standing)| unfinished(standing)).map(|(scheduled, _)| scheduled.wave);
        let Some(wave) = waves.min() else { return Vec::new() };
        let mut start = Vec::new();
        for index in self.order.clone() {
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
            let waits_for = |(other, standing): &(ScheduledMove, MoveStanding)| {
                matches!(standing, MoveStanding::Running | MoveStanding::Waiting { .. })
                    && other.group.as_ref().is_some_and(|group| scheduled.after.contains(group))
            };
            let is_kept = self.moves.iter().any(waits_for);
            if due && !is_kept && scheduled.wave == wave && self.has_room(scheduled, elsewhere) {
                start.push(scheduled.vm);
                self.moves[index].1 = MoveStanding::Running;
            }
        }
        start
    }

    fn has_room(&self, wanted: &ScheduledMove, elsewhere: &Load) -> bool {
        let limits = self.runbook.limits;
        let takes = |scheduled: &ScheduledMove| HostLoad {
            moves: 1,
            disk_copies: u32::from(scheduled.copies_disk),
            bit_s: rate_bit_s(&self.runbook, scheduled),
        };
        let sum = |is_there: &dyn Fn(&&ScheduledMove) -> bool, elsewhere: HostLoad| {
            self.running().filter(is_there).chain([wanted]).fold(elsewhere, |mut sum, scheduled| {
                sum.add(takes(scheduled));
                sum
            })
        };
        let (a, b) = (site("a"), site("b"));
        let from = sum(&|other| other.source_host == wanted.source_host, elsewhere.departures(&a, &wanted.source_host));
        let to_here = |other: &&ScheduledMove| other.destination_host == wanted.destination_host;
        let to = sum(&to_here, elsewhere.arrivals(&b, &wanted.destination_host));
        let fits = |load: HostLoad, moves: u32, mbit_s: Option<u64>| {
            load.moves <= moves
                && (!wanted.copies_disk || limits.per_storage.is_none_or(|most| load.disk_copies <= most))
                && mbit_s.is_none_or(|mbit_s| load.bit_s <= mbit_s * 1_000_000)
        };
        let all = self.running().count() as u32;
        let links_carry = self.runbook.links.iter().filter(|link| takes_link(link, wanted)).all(|link| {
            let over = self.running().filter(|other| takes_link(link, other)).chain([wanted]);
            over.map(|other| rate_bit_s(&self.runbook, other)).sum::<u64>() + elsewhere.of_link(&link.name)
                <= link.mbit_s * 1_000_000
        });
        all < limits.total
            && all + elsewhere.of_site(&a) < limits.per_site
            && all + elsewhere.of_site(&b) < limits.per_site
            && fits(from, limits.per_source_host, limits.source_host_mbit_s)
            && fits(to, limits.per_destination_host, limits.destination_host_mbit_s)
            && links_carry
    }
}

fn takes_link(link: &Link, scheduled: &ScheduledMove) -> bool {
    let is_of = |patterns: &Option<Patterns>, host: &HostName| {
        patterns.as_ref().is_none_or(|patterns| patterns.match_text(host.as_str()))
    };
    is_of(&link.source_hosts, &scheduled.source_host) && is_of(&link.destination_hosts, &scheduled.destination_host)
}

/// The narrowest share of what it takes.
fn rate_bit_s(runbook: &Runbook, scheduled: &ScheduledMove) -> u64 {
    let Limits { source_host_mbit_s, destination_host_mbit_s, stream_mbit_s, .. } = runbook.limits;
    let links = runbook.links.iter().filter(|link| takes_link(link, scheduled));
    let shares = links.map(|link| link.mbit_s * 1_000_000 / u64::from(link.at_once));
    let widths = [source_host_mbit_s, destination_host_mbit_s, stream_mbit_s].into_iter().flatten();
    shares.chain(widths.map(|mbit_s| mbit_s * 1_000_000)).min().unwrap_or(0)
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
        elsewhere.depart(&site("a"), &host('s', dice.below(4)), random_load(dice));
        elsewhere.arrive(&site("b"), &host('d', dice.below(4)), random_load(dice));
        elsewhere.take(["uplink", "line"][dice.below(2)], 1_000_000 * dice.below(400) as u64);
    }
    elsewhere
}

fn random_load(dice: &mut Dice) -> HostLoad {
    HostLoad { moves: 1, disk_copies: dice.below(2) as u32, bit_s: 1_000_000 * dice.below(200) as u64 }
}

/// Links and interfaces, in some of the evacuations.
fn random_runbook(dice: &mut Dice) -> Runbook {
    let link = "[[link]]\nname = \"uplink\"\nmbit_s = 1000\nat_once = 3\nsource_hosts = [\"s0\", \"s1\"]\n\
                [[link]]\nname = \"line\"\nmbit_s = 2000\nat_once = 4\ndestination_hosts = [\"d*\"]\n";
    let more = [link, "", link, "[limits]\nsource_host_mbit_s = 900\nstream_mbit_s = 300\n"][dice.below(4)];
    let parsed = runbook(more);
    let limits = Limits {
        per_source_host: 1 + dice.below(3) as u32,
        per_destination_host: 1 + dice.below(3) as u32,
        per_site: 8,
        total: 1 + dice.below(7) as u32,
        per_storage: [None, Some(1)][dice.below(2)],
        ..parsed.limits
    };
    let failure_budget = [FailureBudget::Unlimited, FailureBudget::Moves(5), FailureBudget::Percent(20)][dice.below(3)];
    Runbook { limits, failure_budget, ..parsed }
}

fn random_move(dice: &mut Dice, number: usize) -> ScheduledMove {
    let wave = dice.below(3);
    let mut random = scheduled(number, wave, dice.below(4), dice.below(4));
    random.copies_disk = dice.below(3) == 0;
    // Each wave has two groups, and what comes after one is in neither.
    match dice.below(4) {
        0 => random.group = Some(format!("{wave}-one")),
        1 => random.group = Some(format!("{wave}-other")),
        2 => random.after = [format!("{wave}-one"), format!("{wave}-other")][dice.below(2)..].to_vec(),
        _ => {}
    }
    random
}

/// One random evacuation: after every event the schedule starts exactly what a scan of everything says.
fn compare_with_the_model(seed: u64) {
    let mut dice = Dice(seed);
    let runbook = random_runbook(&mut dice);
    let mut schedule = Schedule::new(&runbook);
    let mut model = Model { runbook, moves: Vec::new(), order: (0..40).collect() };
    for number in 0..40 {
        let scheduled = random_move(&mut dice, number);
        schedule.insert(&scheduled, WAITING).expect("it is new");
        model.moves.push((scheduled, WAITING));
    }
    let mut now = NOW;
    for _ in 0..200 {
        now = now.plus_ms(dice.below(20) as u64);
        let number = dice.below(40);
        let put_last = |model: &mut Model, number: usize| {
            model.order.retain(|other| *other != number);
            model.order.push(number);
        };
        if dice.below(8) == 0 {
            let to = host('d', dice.below(4));
            schedule.redirect(vm(number), &to).expect("it is there");
            model.moves[number].0.destination_host = to;
        } else if dice.below(8) == 0 {
            schedule.put_last(vm(number));
            put_last(&mut model, number);
        } else if dice.below(20) == 0 {
            let limits = Limits {
                per_source_host: 1 + dice.below(3) as u32,
                total: 1 + dice.below(7) as u32,
                ..model.runbook.limits
            };
            schedule.set_limits(limits);
            model.runbook.limits = limits;
        } else if dice.below(30) == 0 {
            let some: Vec<usize> = (0..12).map(|at| (at * 7 + number) % 40).collect();
            schedule.reorder(some.iter().map(|number| vm(*number)));
            some.into_iter().for_each(|number| put_last(&mut model, number));
        } else if dice.below(3) > 0 || model.moves[number].1 == MoveStanding::Running {
            let standing = random_standing(&mut dice, now);
            set(&mut schedule, number, standing);
            model.moves[number].1 = standing;
        }
        let elsewhere = random_elsewhere(&mut dice);
        let admission = schedule.admit(now, &elsewhere);
        assert_eq!(admission.start, model.admit(now, &elsewhere), "seed {seed}");
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
