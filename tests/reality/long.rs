//! The sites are far apart: 100 ms each way, and one frame in a hundred is lost.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::Way;
use crate::{Case, Outcome, Speed};
use muster_tests::lab::Shape;
use muster_tests::lab::gate::Passage;

const DELAY_MS: u32 = 100;
const SHAPE: Shape = Shape { delay_ms: DELAY_MS, lost_per_million: 10_000, rate_kbit: None, seed: 1 };

pub(crate) static CASES: [Case; 1] = [Case {
    name: "long: an evacuation over 100 ms and 1 % loss",
    guests: &[(Speed::Quick, 8)],
    play: |row| Box::pin(evacuation(row)),
}];

async fn evacuation(row: &mut Row<'_>) -> Outcome<()> {
    row.lab("made the link long and lossy", row.lab.lengthen_link(&SHAPE)).await?;
    row.ways(&Way::BETWEEN_SITES, Passage::Open { delay_ms: DELAY_MS.into() });
    row.evacuate("").await?;
    row.until_finished().await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.ends(End::Migrated).await?;
    row.lab("made the link short again", row.lab.clear_link()).await
}
