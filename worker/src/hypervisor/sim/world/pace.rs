//! How a simulated transfer is tuned, and how its guest is slowed down: as QEMU does it, from a fifth on and a tenth more
//! each time, whenever two rounds have dirtied more than half of what they sent.

use muster_core::terms::Tuning;

/// By how much a guest is slowed down at first, in percent.
const SLOWER_AT_FIRST: u32 = 20;
/// By how much more each time, in percent.
const SLOWER_EACH_TIME: u32 = 10;
/// The most that it is slowed down by, in percent.
const SLOWER_AT_MOST: u32 = 99;

/// The pace of one transfer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Most that it sends, in MiB per second.
    pub(super) cap_mib_s: Option<u64>,
    /// How long the guest may stand still, in milliseconds.
    pub(super) downtime_max_ms: u64,
    auto_converge: bool,
    slower_percent: u32,
    busy_rounds: u32,
}

impl Pace {
    pub(super) fn of(tuning: Tuning, downtime_max_ms: u64) -> Self {
        let Tuning { bandwidth_mib_s, auto_converge, .. } = tuning;
        Pace { cap_mib_s: bandwidth_mib_s, downtime_max_ms, auto_converge, slower_percent: 0, busy_rounds: 0 }
    }

    /// What a round has dirtied at this pace, in MiB, where the guest unhindered dirties `full_mib` while `sent_mib` are sent.
    pub(super) fn dirtied_mib(&mut self, full_mib: f64, sent_mib: f64) -> f64 {
        let dirtied_mib = full_mib * f64::from(100 - self.slower_percent) / 100.0;
        if self.auto_converge && dirtied_mib * 2.0 > sent_mib {
            self.busy_rounds += 1;
            if self.busy_rounds.is_multiple_of(2) {
                let more = if self.slower_percent == 0 { SLOWER_AT_FIRST } else { SLOWER_EACH_TIME };
                self.slower_percent = (self.slower_percent + more).min(SLOWER_AT_MOST);
            }
        }
        dirtied_mib
    }
}
