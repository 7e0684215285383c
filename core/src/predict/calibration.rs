//! What completed moves tell of a site, as one value that predicts the rest.

use super::fit::{Estimate, Seen, fit};
use super::grouping::{Groups, Key};
use super::precopy::sending;
use super::{Assumed, Completed, Grouping, Move, Prediction};
use std::collections::BTreeMap;

/// Most completed moves that are learned from: the newest.
pub const HISTORY_MAX: usize = 400;

/// After so many further moves, one counts for half.
const HALF_LIFE_MOVES: f64 = 50.0;

/// Most moves on which groupings are tried: the newest.
const TRIED_MAX: usize = 200;
/// Into how many parts they are divided, each predicted from the others; fewer than twice as many are left out one by one.
const PARTS: usize = 5;
/// What one error counts for at most in such a trial, as a logarithm: a stalled move tells nothing of groups.
const ERROR_MAX: f64 = 0.3;
/// A grouping is taken if it leaves less than this part of the error that a coarser one leaves.
const BETTER: f64 = 0.97;

/// What is known of a site's links, moves and guests.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    assumed: Assumed,
    estimate: Estimate,
    grouping: Grouping,
    groups: BTreeMap<Key, usize>,
}

impl Calibration {
    /// Learns from completed moves, oldest first: of more than [`HISTORY_MAX`] from the newest, and the newest count most, for
    /// sites change. Without any, everything is as assumed.
    #[must_use]
    pub fn learn(assumed: Assumed, history: &[Completed]) -> Self {
        let newest = &history[history.len().saturating_sub(HISTORY_MAX)..];
        let start = Estimate::assumed(&assumed);
        let site = Groups::of(Grouping::Site, newest.iter().map(|completed| &completed.of));
        let of_site = fit(&seen(newest, &site), 0, &start, &assumed);
        let (grouping, groups) = tried(newest, &of_site, &assumed).unwrap_or((Grouping::Site, site));
        let estimate = match grouping {
            Grouping::Site => of_site,
            Grouping::NominalRate
            | Grouping::Link
            | Grouping::Path
            | Grouping::Source
            | Grouping::Destination
            | Grouping::Hosts => fit(&seen(newest, &groups), groups.by_key.len(), &of_site, &assumed),
        };
        Calibration { assumed, estimate, grouping, groups: groups.by_key }
    }

    /// What is to be expected of a move that has its link to itself.
    #[must_use]
    pub fn predict(&self, of: &Move) -> Prediction {
        self.predict_at(of, self.rate_mib_s(of))
    }

    /// What is to be expected of a move at an effective rate, in MiB/s: above 0, such as a share of [`Calibration::rate_mib_s`].
    #[must_use]
    pub fn predict_at(&self, of: &Move, rate_mib_s: f64) -> Prediction {
        let workload = self.estimate.workload(of);
        let sending = sending(&workload, rate_mib_s, self.assumed.downtime_ms, &self.assumed.ladder);
        let sending_s = sending.memory_s + workload.storage_mib / rate_mib_s;
        Prediction {
            duration_s: sending_s + self.fixed_s(),
            volume_mib: sending_s * rate_mib_s,
            downtime_ms: sending.left_s * 1e3 + self.assumed.commit_ms,
            course: sending.course,
        }
    }

    /// The effective rate of a move that has its link to itself, in MiB/s. Of a link that no completed move went over, the site's.
    #[must_use]
    pub fn rate_mib_s(&self, of: &Move) -> f64 {
        let group = self.grouping.key(of).and_then(|key| self.groups.get(&key).copied());
        of.nominal_mib_s * self.estimate.rate_factor(group)
    }

    /// What tells the site's links apart.
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        self.grouping
    }

    /// What every move takes beside its sending, in seconds.
    #[must_use]
    pub fn fixed_s(&self) -> f64 {
        self.estimate.fixed_s()
    }

    /// How much larger hot sets are than measured, as a factor.
    #[must_use]
    pub fn hot_set_factor(&self) -> f64 {
        self.estimate.hot_set_factor()
    }

    /// How much faster cold memory is written than measured, as a factor.
    #[must_use]
    pub fn cold_dirty_factor(&self) -> f64 {
        self.estimate.cold_dirty_factor()
    }
}

fn seen<'c>(history: &'c [Completed], groups: &Groups) -> Vec<Seen<'c>> {
    let moves = history.iter().zip(&groups.of_moves).enumerate();
    moves
        .map(|(at, (completed, group))| {
            let age_moves = (history.len() - 1 - at) as f64;
            Seen { completed, weight: (-age_moves / HALF_LIFE_MOVES).exp2(), group: *group }
        })
        .collect()
}

/// The grouping that predicts best what it hasn't seen; none where no grouping is better than none.
fn tried(history: &[Completed], of_site: &Estimate, assumed: &Assumed) -> Option<(Grouping, Groups)> {
    let newest = &history[history.len().saturating_sub(TRIED_MAX)..];
    let moves = || newest.iter().map(|completed| &completed.of);
    let error = |groups: &Groups| error_of_unseen(&seen(newest, groups), groups.by_key.len(), of_site, assumed);
    let mut least = error(&Groups::of(Grouping::Site, moves()));
    let (mut best, mut known) = (None, Vec::new());
    for grouping in Grouping::FINER {
        let groups = Groups::of(grouping, moves());
        if groups.by_key.len() < 2 || known.contains(&groups.of_moves) {
            continue;
        }
        let error = error(&groups);
        if error < least * BETTER {
            (least, best) = (error, Some(grouping));
        }
        known.push(groups.of_moves);
    }
    best.map(|grouping| (grouping, Groups::of(grouping, history.iter().map(|completed| &completed.of))))
}

/// The mean error over moves, each predicted from the parts that it isn't in.
fn error_of_unseen(seen: &[Seen<'_>], groups: usize, near: &Estimate, assumed: &Assumed) -> f64 {
    let one_by_one = seen.len() < 2 * PARTS;
    let parts = if one_by_one { seen.len() } else { PARTS };
    let part_of = |at: usize| if one_by_one { at } else { scattered(at) % PARTS };
    let mut sum = 0.0;
    for part in 0..parts {
        let (mut unseen, mut others) = (Vec::new(), Vec::new());
        for (at, one) in seen.iter().enumerate() {
            if part_of(at) == part { unseen.push(*one) } else { others.push(*one) }
        }
        let estimate = fit(&others, groups, near, assumed);
        sum += unseen.iter().map(|one| one.error(&estimate, assumed).abs().min(ERROR_MAX)).sum::<f64>();
    }
    sum / seen.len().max(1) as f64
}

/// A number without a pattern: moves may take turns among links, and no part may be one link's moves.
fn scattered(at: usize) -> usize {
    at.wrapping_mul(0x9E37_79B9) >> 7
}
