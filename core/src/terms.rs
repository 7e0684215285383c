//! The terms on which moves are made: how a transfer is tuned, what is done where it doesn't converge, how long things
//! may take. The runbook gives them; what is adjusted while an evacuation runs is laid over them.
//!
//! Plain values. What a site allows beyond them is the site's to say: the smaller bandwidth wins there.

use crate::ladder::{AutoConverge, Ladder};
use crate::runbook::{Deadlines, Limits, Retention, Runbook};
use serde::{Deserialize, Serialize};

/// How a transfer is made, as its site is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// Most that it sends, in MiB per second: 1 to [`Tuning::BANDWIDTH_MAX_MIB_S`]; none for all there is.
    pub bandwidth_mib_s: Option<u64>,
    /// Its parallel connections: 1 to [`Tuning::CONNECTIONS_MAX`]; none for what the site usually takes.
    pub connections: Option<u16>,
    /// No transfer without TLS on the data channel. Where this is false, the site's own rule counts.
    pub needs_tls: bool,
    /// The guest is slowed down where it dirties memory faster than that can be sent.
    pub auto_converge: bool,
}

impl Tuning {
    /// Greatest bandwidth that can be asked for, in MiB per second: a tebibyte.
    pub const BANDWIDTH_MAX_MIB_S: u64 = 1 << 20;
    /// Most parallel connections that can be asked for.
    pub const CONNECTIONS_MAX: u16 = 64;
}

/// What counts for one move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How its transfers are made.
    pub tuning: Tuning,
    /// What is done where one doesn't converge.
    pub ladder: Ladder,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What is kept afterwards.
    pub retention: Retention,
}

impl Terms {
    /// What a runbook says.
    #[must_use]
    pub fn of(runbook: &Runbook) -> Self {
        let tuning = Tuning { auto_converge: runbook.ladder.auto_converge == AutoConverge::Always, ..runbook.transfer };
        let Runbook { ladder, deadlines, retention, .. } = runbook;
        Terms { tuning, ladder: ladder.clone(), deadlines: *deadlines, retention: *retention }
    }

    /// Where no runbook says anything: the defaults, within these deadlines.
    #[must_use]
    pub fn within(deadlines: Deadlines) -> Self {
        let (tuning, ladder, retention) = (Tuning::default(), Ladder::default(), Retention::default());
        Terms { tuning, ladder, deadlines, retention }
    }

    /// The same with what was adjusted.
    #[must_use]
    pub fn adjusted(mut self, adjustment: &Adjustment) -> Self {
        let Adjustment {
            bandwidth,
            setup_ms,
            transfer_ms,
            handover_ms,
            finish_ms,
            downtimes_ms,
            auto_converge,
            stalled_rounds,
            // How many are under way at once is no term of one move.
            limits: _,
        } = adjustment;
        if let Some(bandwidth) = bandwidth {
            self.tuning.bandwidth_mib_s = bandwidth.mib_s();
        }
        let deadlines = &mut self.deadlines;
        deadlines.setup_ms = setup_ms.unwrap_or(deadlines.setup_ms);
        deadlines.transfer_ms = transfer_ms.or(deadlines.transfer_ms);
        deadlines.handover_ms = handover_ms.unwrap_or(deadlines.handover_ms);
        deadlines.finish_ms = finish_ms.unwrap_or(deadlines.finish_ms);
        if let Some(downtimes_ms) = downtimes_ms {
            self.ladder.downtimes_ms.clone_from(downtimes_ms);
        }
        if let Some(auto_converge) = auto_converge {
            self.ladder.auto_converge = *auto_converge;
            self.tuning.auto_converge = *auto_converge == AutoConverge::Always;
        }
        self.ladder.stalled_rounds = stalled_rounds.unwrap_or(self.ladder.stalled_rounds);
        self
    }
}

/// What a person changes of the terms while an evacuation runs. What is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Adjustment {
    /// Most that one transfer sends; counts for those under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// [`Deadlines::setup_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_ms: Option<u64>,
    /// [`Deadlines::transfer_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_ms: Option<u64>,
    /// [`Deadlines::handover_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover_ms: Option<u64>,
    /// [`Deadlines::finish_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_ms: Option<u64>,
    /// [`Ladder::downtimes_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtimes_ms: Option<Vec<u64>>,
    /// [`Ladder::auto_converge`]; counts from the next attempt on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_converge: Option<AutoConverge>,
    /// [`Ladder::stalled_rounds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_rounds: Option<u32>,
    /// How many moves may be under way at once; only of a whole evacuation.
    #[serde(skip_serializing_if = "LimitChanges::is_empty")]
    pub limits: LimitChanges,
}

/// What is changed of [`Limits`]. What is none stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitChanges {
    /// [`Limits::per_source_host`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_source_host: Option<u32>,
    /// [`Limits::per_destination_host`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_destination_host: Option<u32>,
    /// [`Limits::per_site`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_site: Option<u32>,
    /// [`Limits::total`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
}

impl LimitChanges {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == LimitChanges::default()
    }

    /// This, and over it what was changed later.
    #[must_use]
    pub fn and(self, later: LimitChanges) -> LimitChanges {
        LimitChanges {
            per_source_host: later.per_source_host.or(self.per_source_host),
            per_destination_host: later.per_destination_host.or(self.per_destination_host),
            per_site: later.per_site.or(self.per_site),
            total: later.total.or(self.total),
        }
    }

    /// The limits with what was changed.
    #[must_use]
    pub fn over(self, limits: Limits) -> Limits {
        Limits {
            per_source_host: self.per_source_host.unwrap_or(limits.per_source_host),
            per_destination_host: self.per_destination_host.unwrap_or(limits.per_destination_host),
            per_site: self.per_site.unwrap_or(limits.per_site),
            total: self.total.unwrap_or(limits.total),
            ..limits
        }
    }
}

/// Most that one transfer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bandwidth {
    /// All there is.
    Unlimited,
    /// So much, in MiB per second: 1 to [`Tuning::BANDWIDTH_MAX_MIB_S`].
    Capped(u64),
}

impl Bandwidth {
    /// In MiB per second; none for all there is.
    #[must_use]
    pub fn mib_s(self) -> Option<u64> {
        match self {
            Bandwidth::Unlimited => None,
            Bandwidth::Capped(mib_s) => Some(mib_s),
        }
    }
}

impl Adjustment {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Adjustment::default()
    }

    /// This, and over it what was adjusted later.
    #[must_use]
    pub fn and(self, later: &Adjustment) -> Adjustment {
        Adjustment {
            bandwidth: later.bandwidth.or(self.bandwidth),
            setup_ms: later.setup_ms.or(self.setup_ms),
            transfer_ms: later.transfer_ms.or(self.transfer_ms),
            handover_ms: later.handover_ms.or(self.handover_ms),
            finish_ms: later.finish_ms.or(self.finish_ms),
            downtimes_ms: later.downtimes_ms.clone().or(self.downtimes_ms),
            auto_converge: later.auto_converge.or(self.auto_converge),
            stalled_rounds: later.stalled_rounds.or(self.stalled_rounds),
            limits: self.limits.and(later.limits),
        }
    }
}
