//! A running VM, moved to the partner and back.

use crate::conformance::play::claim;
use crate::conformance::stage::Stage;
use crate::conformance::wire::{End, Refused, Seen, Wire, hold};
use muster_core::definition::{Definition, Mode};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::ledger::{ArrivalRecord, Completed, RollEntry, SourceState, Standing};
use muster_core::reading::{Instance, Sighting, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{ReleaseClaim, SiteAction, SiteCommand};
use std::cell::Cell;

/// How long the partner keeps the copy that is retired there in the end, in milliseconds: the shortest that may be ordered.
const KEPT_MS: u64 = 1_000;

pub(super) async fn there_and_back(stage: &Stage) -> Seen {
    let Some(partner) = &stage.partner else {
        return Err(End::NotChecked("without --partner no other site takes a VM, and gives it back".to_owned()));
    };
    let pattern = stage.pattern().await?;
    if pattern.instance != Instance::Running {
        return Err(End::NotChecked(format!("VM {} does not run; name one that does with --vm", pattern.vm)));
    }
    let there = stage.roomiest_host(partner).await?;
    let (vm, definition) = (pattern.vm, &pattern.definition);
    let moved = async {
        Leg::begin(stage, (&stage.site, partner), vm, there, definition).await?.moved(None).await?;
        let back = Leg::begin(stage, (partner, &stage.site), vm, pattern.host.clone(), definition).await?;
        back.moved(Some(KEPT_MS)).await
    };
    let moved: Seen = Box::pin(moved).await;
    if matches!(moved, Err(End::Broken(_))) {
        let (site, partner) = (&stage.site.name, &partner.name);
        stage.leave(format!(
            "VM {vm}: its move between {site} and {partner} is unfinished; settle it with muster recover"
        ));
    }
    moved
}

/// One move of a running VM.
struct Leg<'a> {
    stage: &'a Stage,
    source: &'a Wire,
    destination: &'a Wire,
    entry: RollEntry,
    epoch: Epoch,
    sequence: Cell<u64>,
}

impl<'a> Leg<'a> {
    async fn begin(
        stage: &'a Stage,
        (source, destination): (&'a Wire, &'a Wire),
        vm: VmId,
        destination_host: HostName,
        definition: &Definition,
    ) -> Seen<Leg<'a>> {
        let evacuation = stage.evacuation();
        let mut greatest = Epoch(0);
        for site in [source, destination] {
            greatest = greatest.max(site.greatest_epoch(evacuation, vec![vm]).await?);
        }
        let claimed = destination.claim(claim(stage, evacuation, Epoch(0), greatest)).await?;
        let epoch = claimed.map_err(|failure| End::Broken(format!("a first claim was refused: {failure}")))?.epoch;
        hold(epoch > greatest, "the epoch is not above the greatest that the claimant has found", &epoch)?;
        let (source_site, destination_site) = (source.name.clone(), destination.name.clone());
        let definition = definition.clone();
        let mode = Mode::Live;
        let entry = RollEntry { evacuation, vm, mode, source_site, destination_site, destination_host, definition };
        for (site, side) in [(destination, Side::Destination), (source, Side::Source)] {
            let refusals = site.write_roll(stage.request(), side, epoch, vec![entry.clone()]).await?;
            hold(refusals.is_empty(), "a VM that no open evacuation has was refused on a roll", &refusals)?;
        }
        Ok(Leg { stage, source, destination, entry, epoch, sequence: Cell::new(0) })
    }

    fn evacuation(&self) -> EvacuationId {
        self.entry.evacuation
    }

    fn at(&self, side: Side) -> &Wire {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
    }

    async fn act(&self, action: SiteAction) -> Seen<(Token, Result<SiteReading, Refused>)> {
        self.sequence.set(self.sequence.get() + 1);
        let token = Token { epoch: self.epoch, sequence: Sequence(self.sequence.get()) };
        Ok((token, self.send(token, action).await?))
    }

    async fn send(&self, token: Token, action: SiteAction) -> Seen<Result<SiteReading, Refused>> {
        let site = self.at(action.side());
        let command = SiteCommand { vm: self.entry.vm, token, action };
        site.execute_one(self.stage.request(), self.evacuation(), command).await
    }

    async fn must(&self, action: SiteAction) -> Seen<(Token, SiteReading)> {
        let what = format!("{action:?}");
        let (token, outcome) = self.act(action).await?;
        let reading = outcome.map_err(|failure| End::Broken(format!("{what} was not done: {failure}")))?;
        Ok((token, reading))
    }

    async fn look(&self, side: Side) -> Seen<SiteReading> {
        self.at(side).reading(self.evacuation(), self.entry.vm).await
    }

    fn transfer(&self, attempt: Attempt) -> SiteAction {
        SiteAction::Transfer {
            attempt,
            destination_site: self.entry.destination_site.clone(),
            destination_host: self.entry.destination_host.clone(),
            tuning: Tuning::default(),
        }
    }

    /// A started record and its placeholder; returns the record's token.
    async fn placed(&self, attempt: Attempt) -> Seen<Token> {
        let host = self.entry.destination_host.clone();
        let (opened, _) = self.must(SiteAction::OpenAttempt { host, kind: ArrivalKind::Transfer }).await?;
        self.must(SiteAction::MakePlaceholder { attempt }).await?;
        Ok(opened)
    }

    /// The whole move, line by line, after an attempt that is given up.
    async fn moved(&self, keep_ms: Option<u64>) -> Seen {
        self.given_up().await?;
        let attempt = Attempt::FIRST.next();
        let opened = self.placed(attempt).await?;
        self.seals(SiteAction::Seal, Stored::Sealed).await?;
        let begun = self.must(self.transfer(attempt)).await?.0;
        let completed = self.arrives(begun).await?;
        let is_its = completed.token == begun && completed.started.token == opened && !completed.late;
        hold(is_its, "the event does not carry its record and its transfer's own token", &completed)?;

        let (_, unsealed) = self.act(SiteAction::StartSource).await?;
        hold(unsealed.is_err(), "the source's copy was started after the event", &unsealed)?;
        // Refused or answered, it is not begun again.
        let again = self.send(begun, self.transfer(attempt)).await?;
        let source = self.look(Side::Source).await?;
        hold(is_gone(&source, begun), "a repeated transfer took effect", &(&again, &source))?;
        let (_, retired) = self.must(SiteAction::Retire { keep_ms }).await?;
        let shows = |stored: Stored| retired.sight.sightings.iter().all(|seen| seen.stored == stored);
        hold(shows(Stored::Retired), "the source's copy is not retired", &retired)?;
        self.must(SiteAction::CloseSource).await?;
        self.must(SiteAction::CloseDestination(Outcome::Migrated)).await?;
        let release = ReleaseClaim { request: self.stage.request(), evacuation: self.evacuation(), epoch: self.epoch };
        let released = self.destination.release(release).await?;
        hold(released.is_ok(), "the claim can't be given back", &released)?;
        self.is_whole().await
    }

    /// Where the workers don't know each other nothing is learnt.
    fn path_is_there(&self, outcome: &Result<SiteReading, Refused>) -> Seen {
        match outcome {
            Err(failure) if failure.reason == "PATH_UNPROVEN" => Err(End::NotChecked(format!(
                "the workers of {} and {} have to know each other, as with --peer: {failure}",
                self.source.name, self.destination.name
            ))),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// An attempt that comes to nothing. While it is open the source's copy stays sealed; after it the VM is as it was.
    async fn given_up(&self) -> Seen {
        let attempt = Attempt::FIRST;
        self.placed(attempt).await?;
        let (_, unsealed) = self.act(self.transfer(attempt)).await?;
        self.path_is_there(&unsealed)?;
        hold(unsealed.is_err(), "a transfer was begun of what isn't sealed", &unsealed)?;
        self.seals(SiteAction::Seal, Stored::Sealed).await?;
        let (_, unsealed) = self.act(SiteAction::Unseal).await?;
        hold(unsealed.is_err(), "it was unsealed while an attempt was open at its destination", &unsealed)?;
        self.must(SiteAction::Abandon { attempt }).await?;
        self.seals(SiteAction::Unseal, Stored::Real).await?;
        self.must(SiteAction::Discard).await.map(drop)
    }

    /// Sealed or unsealed, it runs on.
    async fn seals(&self, action: SiteAction, stored: Stored) -> Seen {
        let (_, reading) = self.must(action).await?;
        let [seen] = reading.sight.sightings.as_slice() else {
            return hold(false, "the source's copy is not shown once", &reading);
        };
        let fits = seen.stored == stored && seen.instance == Instance::Running;
        hold(fits, "sealed or unsealed, it does not run on, or is stored as another thing", &reading)
    }

    /// Waits for the event and the run after it. Meanwhile two never run, and no event comes before its source is gone.
    async fn arrives(&self, begun: Token) -> Seen<Completed> {
        let arrived = self.stage.until("the arrival", async || {
            // The destination first: what it shows must already be over at the source.
            let destination = self.look(Side::Destination).await?;
            let source = self.look(Side::Source).await?;
            let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(is_running);
            hold(!(runs(&destination) && runs(&source)), "it runs at both sites", &(&destination, &source))?;
            let completed = match &destination.standing {
                Some(Standing::Destination(at)) => match &at.record {
                    ArrivalRecord::Completed(completed) => completed.clone(),
                    ArrivalRecord::Enrolled
                    | ArrivalRecord::Started(_)
                    | ArrivalRecord::Abandoned(_)
                    | ArrivalRecord::Closed(_) => return Ok(None),
                },
                Some(Standing::Source(_)) | None => return Ok(None),
            };
            hold(
                is_gone(&source, begun),
                "an event stands, and its source has not written down that the VM is gone",
                &source,
            )?;
            let is_settled = completed.ran.is_some() && runs(&destination) && !destination.mutation_under_way;
            Ok(is_settled.then_some(completed))
        });
        arrived.await
    }

    /// It runs where it was to go, as itself.
    async fn is_whole(&self) -> Seen {
        let listed = self.destination.inventory().await?.vms.into_iter().find(|listing| listing.vm == self.entry.vm);
        let is_whole = listed.as_ref().is_some_and(|listing| {
            listing.host == self.entry.destination_host
                && listing.instance == Instance::Running
                && listing.stored == Stored::Real
                && listing.definition == self.entry.definition
        });
        hold(is_whole, "it does not run there as itself", &listed)
    }
}

/// Whether the source has written down that the VM is gone by this transfer.
fn is_gone(source: &SiteReading, transferred_under: Token) -> bool {
    match &source.standing {
        Some(Standing::Source(at)) => match &at.state {
            SourceState::Gone { transfer } => transfer.token == transferred_under,
            SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Retired => false,
        },
        Some(Standing::Destination(_)) | None => false,
    }
}

fn is_running(seen: &Sighting) -> bool {
    seen.instance == Instance::Running
}
