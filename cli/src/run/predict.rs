//! Predicts moves. Reads nothing any more, and asks nobody.

use crate::exit::Exit;
use crate::orders::PredictOrder;
use crate::output::predict::Line;
use crate::writer::Writer;
use muster_core::predict::{Assumed, Calibration};

pub(super) fn run(order: &PredictOrder, writer: &Writer) -> Exit {
    let calibration = Calibration::learn(Assumed::default(), &order.history);
    for of in &order.moves {
        writer.json(&Line::from(calibration.predict(of)));
    }
    Exit::Done
}
