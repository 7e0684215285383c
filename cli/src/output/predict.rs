//! What is to be expected of moves, a line each.

use muster_core::predict::Prediction;
use serde::Serialize;

/// A move's prediction.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) duration_s: f64,
    pub(crate) volume_mib: f64,
    pub(crate) downtime_ms: f64,
    pub(crate) converges: bool,
}

impl From<Prediction> for Line {
    fn from(prediction: Prediction) -> Self {
        Line {
            duration_s: thousandths(prediction.duration_s),
            volume_mib: thousandths(prediction.volume_mib),
            downtime_ms: thousandths(prediction.downtime_ms),
            converges: prediction.converges(),
        }
    }
}

/// More digits than that nobody can know.
fn thousandths(quantity: f64) -> f64 {
    (quantity * 1e3).round() / 1e3
}
