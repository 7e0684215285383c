//! The site as a source whose destination can't be asked.

use crate::conformance::stage::{Arrived, Stage};
use crate::conformance::wire::{End, Refused, Seen, hold};
use muster_core::definition::Mode;
use muster_core::ids::{Attempt, EvacuationId, HostName};
use muster_core::ledger::{AtSource, RollEntry, SourceState, Standing};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{SiteAction, SiteCommand};
use std::cell::Cell;

/// A VM that leaves the site for one that isn't there.
struct Departure<'a> {
    stage: &'a Stage,
    evacuation: EvacuationId,
    arrived: Arrived,
    token: Cell<Token>,
}

pub(super) async fn silence(stage: &Stage) -> Seen {
    let arrived = stage.arrived()?;
    let evacuation = stage.evacuation();
    let host: HostName = "nowhere".parse().expect("letters make a name");
    let epoch = Epoch(stage.site.greatest_epoch(evacuation, vec![arrived.vm]).await?.0 + 1);
    let entry = RollEntry {
        evacuation,
        vm: arrived.vm,
        mode: Mode::Off,
        source_site: stage.site.name.clone(),
        destination_site: stage.nowhere.clone(),
        destination_host: host.clone(),
        definition: arrived.definition.clone(),
    };
    let refusals = stage.site.write_roll(stage.request(), Side::Source, epoch, vec![entry]).await?;
    hold(refusals.is_empty(), "a VM that the site has was refused on its roll as a source", &refusals)?;
    let token = Cell::new(Token { epoch, sequence: Sequence(0) });
    let departure = Departure { stage, evacuation, arrived, token };
    departure.stays_itself().await?;
    let transfer = SiteAction::Transfer {
        attempt: Attempt::FIRST,
        destination_site: stage.nowhere.clone(),
        destination_host: host,
        tuning: Tuning::default(),
    };
    departure.refuses("a transfer of what isn't sealed, to a site that isn't there,", transfer.clone()).await?;
    departure.stays_itself().await?;
    departure.must(SiteAction::Seal).await?;
    departure.is_sealed().await?;
    let against = [
        ("a transfer without a path for its commit", transfer),
        ("an unsealing before the destination was asked", SiteAction::Unseal),
        ("a start before the destination was asked", SiteAction::StartSource),
        ("a resume before the destination was asked", SiteAction::ResumeSource),
        ("an end of its part while it is sealed", SiteAction::CloseSource),
    ];
    for (what, action) in against {
        departure.refuses(what, action).await?;
        departure.is_sealed().await?;
    }
    departure.for_good().await
}

impl Departure<'_> {
    async fn act(&self, action: SiteAction) -> Seen<Result<SiteReading, Refused>> {
        let token = self.token.get().next();
        self.token.set(token);
        let command = SiteCommand { vm: self.arrived.vm, token, action };
        self.stage.site.execute_one(self.stage.request(), self.evacuation, command).await
    }

    async fn must(&self, action: SiteAction) -> Seen<SiteReading> {
        let what = format!("{action:?}");
        let outcome = self.act(action).await?;
        let reading = outcome.map_err(|failure| End::Broken(format!("{what} was not done: {failure}")))?;
        self.stage.done(self.arrived.vm, self.token.get());
        Ok(reading)
    }

    async fn refuses(&self, what: &str, action: SiteAction) -> Seen {
        let outcome = self.act(action).await?;
        hold(outcome.is_err(), &format!("{what} was not refused"), &outcome)
    }

    /// How far the source has let go, and what the hypervisor shows.
    async fn look(&self) -> Seen<(AtSource, Stored, SiteReading)> {
        let reading = self.stage.site.reading(self.evacuation, self.arrived.vm).await?;
        let Some(Standing::Source(at)) = reading.standing.clone() else {
            return Err(End::Broken(format!("the ledger doesn't hold it as one that leaves: {reading:?}")));
        };
        let [seen] = reading.sight.sightings.as_slice() else {
            return Err(End::Broken(format!("what is there is not shown once: {reading:?}")));
        };
        hold(seen.host == self.arrived.host, "it is on another host", seen)?;
        hold(matches!(seen.instance, Instance::Off(_)), "a VM was started that was to stay off", seen)?;
        Ok((at, seen.stored, reading))
    }

    async fn stays_itself(&self) -> Seen {
        let (at, stored, reading) = self.look().await?;
        let is_itself = at.state == SourceState::Unsealed && stored == Stored::Real;
        hold(is_itself, "it is not as it was before its departure", &reading)
    }

    async fn is_sealed(&self) -> Seen {
        let (at, stored, reading) = self.look().await?;
        let is_sealed = at.state == SourceState::Sealed { transfer: None } && stored == Stored::Sealed;
        hold(is_sealed && !at.closed, "it is not sealed, without a transfer", &reading)
    }

    /// Retired, it comes back by no order but an admin's.
    async fn for_good(&self) -> Seen {
        self.must(SiteAction::Retire { keep_ms: None }).await?;
        for action in [SiteAction::Unseal, SiteAction::StartSource, SiteAction::ResumeSource] {
            self.refuses("running a retired copy", action).await?;
        }
        self.must(SiteAction::CloseSource).await?;
        self.refuses("a change after the source's part was over", SiteAction::Seal).await?;
        let (at, stored, reading) = self.look().await?;
        let is_retired = at.state == SourceState::Retired && stored == Stored::Retired && at.closed;
        hold(is_retired, "it is not retired, its part over", &reading)
    }
}
