//! How a guest behaves: how fast it dirties its memory and how long it takes to shut down.
//!
//! It stands as JSON in a definition's document, put there by whoever makes the fleet. A document that says nothing of
//! it makes an idle guest.

use serde::{Deserialize, Serialize};

/// A guest's behaviour: the hot-set model of pre-copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What it writes over and over, in MiB.
    pub hot_mib: u64,
    /// How long it takes to have written all of that once, in milliseconds.
    pub hot_span_ms: u64,
    /// How fast it writes to the rest after that, in KiB per second.
    pub cold_kib_s: u64,
    /// How long it takes to shut down, in milliseconds.
    pub shutdown_ms: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Workload { hot_mib: 0, hot_span_ms: 1_000, cold_kib_s: 0, shutdown_ms: 2_000 }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    workload: Workload,
}

impl Workload {
    /// The behaviour that a definition's document describes; an idle guest's where it describes none.
    #[must_use]
    pub fn of_document(document: &str) -> Self {
        serde_json::from_str::<Document>(document).map(|document| document.workload).unwrap_or_default()
    }

    /// A document that describes this behaviour.
    #[must_use]
    pub fn to_document(self) -> String {
        serde_json::json!({ "workload": self }).to_string()
    }

    /// What a guest with `memory_mib` of memory dirties in `span_ms`, in MiB: the hot set within its span, then the
    /// cold rate, never more than all of it.
    #[must_use]
    pub fn dirtied_mib(self, span_ms: f64, memory_mib: u64) -> f64 {
        let hot = self.hot_mib as f64;
        let hot_span_ms = self.hot_span_ms.max(1) as f64;
        let dirtied = if span_ms <= hot_span_ms {
            hot * span_ms / hot_span_ms
        } else {
            hot + (span_ms - hot_span_ms) / 1000.0 * self.cold_kib_s as f64 / 1024.0
        };
        dirtied.min(memory_mib as f64)
    }

    /// How fast it dirties memory at first, in MiB per second, rounded up.
    #[must_use]
    pub fn dirty_rate_mib_s(self) -> u64 {
        let hot = self.hot_mib.saturating_mul(1000).div_ceil(self.hot_span_ms.max(1));
        hot.max(self.cold_kib_s.div_ceil(1024))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_set_comes_first_and_memory_is_the_limit() {
        let workload = Workload { hot_mib: 100, hot_span_ms: 2_000, cold_kib_s: 10 * 1024, shutdown_ms: 0 };
        assert_eq!(workload.dirtied_mib(1_000.0, 4_096), 50.0);
        assert_eq!(workload.dirtied_mib(2_000.0, 4_096), 100.0);
        assert_eq!(workload.dirtied_mib(5_000.0, 4_096), 130.0);
        assert_eq!(workload.dirtied_mib(5_000.0, 64), 64.0);
    }

    #[test]
    fn a_document_survives_the_way_and_a_strange_one_is_idle() {
        let workload = Workload { hot_mib: 7, hot_span_ms: 9, cold_kib_s: 11, shutdown_ms: 13 };
        assert_eq!(Workload::of_document(&workload.to_document()), workload);
        assert_eq!(Workload::of_document("<domain/>"), Workload::default());
    }
}
