//! Which pairs are tried, and how many of them there are.

use crate::case::{Besides, Case, Kind, Way};
use crate::tally::{Tally, alone};
use crate::twice::{self, Played, Second};
use muster_tests::Process;
use muster_tests::life::{Hit, Moment};
use muster_tests::players::side_by_side;

/// Most second hits of a run that may come to nothing. What runs is repeated to the point, but for the order in which a runtime
/// takes up what is ready at the same time.
const MISSED_PER_THOUSAND: u64 = 20;

/// Which of the pairs: of every so many first hits one, and of every so many second hits one, which are others with each first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) firsts: usize,
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Share {
    pub(crate) const ALL: Share = Share { firsts: 1, number: 0, of: 1 };

    /// A share of all, as a person writes it: `1/10` to `10/10`.
    pub(crate) fn parse(given: &str) -> Option<Share> {
        let (number, of) = given.split_once('/')?;
        let (number, of): (usize, usize) = (number.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&number).then(|| Share { firsts: 1, number: number - 1, of })
    }

    fn has_first(self, first: usize) -> bool {
        first.is_multiple_of(self.firsts)
    }

    fn has(self, first: usize, second: usize) -> bool {
        (first + second) % self.of == self.number
    }
}

#[test]
fn shares_are_parts_of_all() {
    assert_eq!(Share::parse("1/1"), Some(Share::ALL));
    assert!(["0/3", "4/3", "3", "a/b", "1/0"].iter().all(|wrong| Share::parse(wrong).is_none()));
    let shares: Vec<Share> = (1..=3).filter_map(|number| Share::parse(&format!("{number}/3"))).collect();
    for (first, second) in (0..9).flat_map(|first| (0..9).map(move |second| (first, second))) {
        assert_eq!(shares.iter().filter(|share| share.has(first, second)).count(), 1, "{first}, {second}");
    }
}

/// What the pairs of a run add up to.
#[derive(Debug, Default)]
struct Pairs {
    tally: Tally,
    firsts: u64,
    all: u64,
    missed: Vec<String>,
}

/// The recovery killed, or not hearing an answer, at each of its calls, in every situation that a single hit leaves.
pub(crate) fn try_recoveries(share: Share, wanted: &str) {
    let firsts = firsts_of(Way::Recovered, true);
    let of_the_recovery = |second: &Second| second.planned.process == Process::Caller;
    tell(try_each(&firsts, share, wanted, of_the_recovery), firsts.len(), "recovery-killed");
}

/// Every second hit after every first one: on who goes on, on who came back, and on the recovery.
pub(crate) fn try_pairs(share: Share, wanted: &str, name: &str) {
    for way in [Way::GoesOn, Way::Recovered] {
        let firsts = firsts_of(way, false);
        let run = format!("pairs-{}-{name}", format!("{way:?}").to_lowercase());
        tell(try_each(&firsts, share, wanted, |_| true), firsts.len(), &run);
    }
}

fn firsts_of(way: Way, durable_only: bool) -> Vec<Case> {
    let hit = Hit { point: 1, moment: Moment::Before };
    let like = Case { kind: Kind::Live, way, besides: Besides::Nothing, process: Process::Source, hit, point: "" };
    twice::firsts(&like, &crate::points_of(Kind::Live), durable_only)
}

fn try_each(firsts: &[Case], share: Share, wanted: &str, is_meant: impl Fn(&Second) -> bool + Sync) -> Pairs {
    let wanted = if wanted == "all" { "" } else { wanted };
    let parts = side_by_side(firsts, |number, first| {
        let name = first.name();
        let is_chosen = if wanted.is_empty() {
            share.has_first(number)
        } else {
            wanted.split_once('+').is_some_and(|(first, _)| first == name)
        };
        let mut pairs = Pairs::default();
        if is_chosen {
            try_after(
                first,
                |index, second| {
                    let is_one = wanted.ends_with(&format!("+{}", second.name()));
                    is_meant(second) && if wanted.is_empty() { share.has(number, index) } else { is_one }
                },
                &mut pairs,
            );
        }
        pairs
    });
    let mut total = Pairs::default();
    for part in parts {
        total.tally.add(part.tally);
        total.firsts += part.firsts;
        total.all += part.all;
        total.missed.extend(part.missed);
    }
    total
}

/// One first hit: with nothing after it, which counts what there is to be hit, and with each chosen second one.
fn try_after(first: &Case, is_chosen: impl Fn(usize, &Second) -> bool, pairs: &mut Pairs) {
    let (name, first_point) = (first.name(), first.point);
    pairs.firsts += 1;
    let counted = first.clone();
    let Some(Played { seconds, .. }) = pairs.tally.count(&name, alone(move || twice::play(counted, None))) else {
        return;
    };
    pairs.all += seconds.len() as u64;
    for (_, second) in seconds.iter().enumerate().filter(|(index, second)| is_chosen(*index, second)) {
        let name = format!("{name}+{}", second.name());
        let (first, second) = (first.clone(), *second);
        let played = alone(move || twice::play(first, Some(second)));
        let played = played.map_err(|wrong| wrong.of(&format!("{first_point}, {}", second.point)));
        if let Some(Played { is_struck: false, .. }) = pairs.tally.count(&name, played) {
            pairs.missed.push(name);
        }
    }
}

fn tell(pairs: Pairs, all_firsts: usize, run: &str) {
    let Pairs { tally, firsts, all, missed } = pairs;
    let tried = tally.runs.saturating_sub(firsts);
    let rows = [
        ("first hits", format!("{firsts} of {all_firsts}")),
        ("second hits after them", all.to_string()),
        ("pairs played", tried.to_string()),
        ("second hits that came to nothing", missed.len().to_string()),
    ];
    let figures = rows.iter().fold(tally.published(run), |figures, (what, value)| figures.row(what, value));
    println!("{run}: {rows:?}");
    figures.write();
    tally.judge();
    let missed_max = (tried * MISSED_PER_THOUSAND).div_ceil(1_000);
    assert!(missed.len() as u64 <= missed_max, "too many points were never reached:\n{}", missed.join("\n"));
}
