//! One VM of the suite's own, on its way into the site in an evacuation of its own: the suite is its orchestrator, and its
//! source's worker. Powered off and on shared storage, it arrives as soon as it is committed.

use super::stage::Stage;
use super::wire::{End, Refused, Seen, hold, only};
use muster_core::claim::{Holder, HolderKind};
use muster_core::class::Class;
use muster_core::definition::Mode;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId, VmId};
use muster_core::ledger::{ArrivalRecord, AtDestination, RollEntry, Standing};
use muster_core::reading::{Sighting, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{
    ClaimEvacuation, CommitArrival, LedgerLine, ReleaseClaim, SiteAction, SiteCommand, VmToken,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// How far apart the suite's tokens are: what a site makes of the numbers between them is never in their way.
const TOKEN_STEP: u64 = 10;

/// What the suite says it has found as the greatest epoch elsewhere: so there are older claims whose tokens can be tried.
const FOUND_ELSEWHERE: Epoch = Epoch(6);

/// Most commands that it takes to clear a VM away.
const CLEAR_STEPS_MAX: usize = 8;

/// A VM that is to be cleared away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub(super) evacuation: EvacuationId,
    pub(super) vm: VmId,
}

/// A VM on its way into the site.
pub(super) struct Play<'a> {
    pub(super) stage: &'a Stage,
    pub(super) evacuation: EvacuationId,
    pub(super) vm: VmId,
    pub(super) epoch: Epoch,
    pub(super) entry: RollEntry,
    /// Where the history was when it began.
    began_at: u64,
    sequence: AtomicU64,
}

impl<'a> Play<'a> {
    /// Claims an evacuation and puts a new VM on its roll.
    pub(super) async fn begin(stage: &'a Stage) -> Seen<Play<'a>> {
        let play = Play::claimed(stage).await?;
        let refused = play.enrol(vec![play.entry.clone()]).await?;
        hold(refused.is_empty(), "a VM that no evacuation has was refused on the roll", &refused)?;
        Ok(play)
    }

    /// Claims an evacuation, and makes the entry of a new VM.
    pub(super) async fn claimed(stage: &'a Stage) -> Seen<Play<'a>> {
        let (evacuation, vm) = (stage.evacuation(), VmId(stage.env.new_id()));
        let began_at = stage.site.status().await?.newest_sequence;
        let entry = RollEntry {
            evacuation,
            vm,
            mode: Mode::Off,
            source_site: stage.nowhere.clone(),
            destination_site: stage.site.name.clone(),
            destination_host: stage.roomiest_host(&stage.site).await?,
            definition: stage.definition(vm).await?,
        };
        stage.remember(Cast { evacuation, vm });
        let claimed = stage.site.claim(claim(stage, evacuation, Epoch(0), FOUND_ELSEWHERE)).await?;
        let claims = claimed.map_err(|failure| End::Broken(format!("a first claim was refused: {failure}")))?;
        Ok(Play { stage, evacuation, vm, epoch: claims.epoch, entry, began_at, sequence: AtomicU64::new(0) })
    }

    /// Writes entries on the roll; returns the VMs that were refused.
    pub(super) async fn enrol(&self, entries: Vec<RollEntry>) -> Seen<Vec<muster_proto::convert::VmAnswer>> {
        for entry in &entries {
            if entry.vm != self.vm {
                self.stage.remember(Cast { evacuation: entry.evacuation, vm: entry.vm });
            }
        }
        self.stage.site.write_roll(self.stage.request(), Side::Destination, self.epoch, entries).await
    }

    /// The next token of this claim.
    pub(super) fn token(&self) -> Token {
        let sequence = self.sequence.fetch_add(TOKEN_STEP, Ordering::Relaxed) + TOKEN_STEP;
        Token { epoch: self.epoch, sequence: Sequence(sequence) }
    }

    /// A started record for this VM's host.
    pub(super) fn open(&self) -> SiteAction {
        SiteAction::OpenAttempt { host: self.entry.destination_host.clone(), kind: ArrivalKind::Transfer }
    }

    /// Sends a command under this token.
    pub(super) async fn act(&self, token: Token, action: SiteAction) -> Seen<Result<SiteReading, Refused>> {
        let command = SiteCommand { vm: self.vm, token, action };
        self.stage.site.execute_one(self.stage.request(), self.evacuation, command).await
    }

    /// The same, without trying again where the site is busy.
    pub(super) async fn act_once(&self, token: Token, action: SiteAction) -> Seen<Result<SiteReading, Refused>> {
        let command = SiteCommand { vm: self.vm, token, action };
        let answers = self.stage.site.execute(self.stage.request(), self.evacuation, vec![command]).await?;
        only(self.vm, answers)
    }

    /// A command that has to be carried out; returns its token and what is to be seen after it.
    pub(super) async fn must(&self, action: SiteAction) -> Seen<(Token, SiteReading)> {
        let (token, what) = (self.token(), format!("{action:?}"));
        let outcome = self.act(token, action).await?;
        let reading =
            outcome.map_err(|failure| End::Broken(format!("{what} under {token} was not done: {failure}")))?;
        hold(reading.floor >= token, "a command was carried out and the floor is below its token", &reading)?;
        self.stage.done(self.vm, token);
        Ok((token, reading))
    }

    /// A started record and its placeholder.
    pub(super) async fn placed(&self) -> Seen<SiteReading> {
        self.must(self.open()).await?;
        Ok(self.must(SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await?.1)
    }

    /// What its source's worker sends.
    pub(super) fn commit(&self, token: Token) -> CommitArrival {
        CommitArrival {
            request: self.stage.request(),
            evacuation: self.evacuation,
            vm: self.vm,
            attempt: Attempt::FIRST,
            token,
            source_site: self.entry.source_site.clone(),
        }
    }

    pub(super) async fn reading(&self) -> Seen<SiteReading> {
        self.stage.site.reading(self.evacuation, self.vm).await
    }

    /// Observes it under a token.
    pub(super) async fn fenced(&self, token: Token) -> Seen<Result<SiteReading, Refused>> {
        self.stage.site.observe_one(self.evacuation, VmToken { vm: self.vm, token: Some(token) }).await
    }

    /// The lines of the history that are about it.
    pub(super) async fn history(&self) -> Seen<Vec<LedgerLine>> {
        self.stage.site.lines_of(self.vm, self.began_at).await
    }

    /// How many they are.
    pub(super) async fn lines(&self) -> Seen<usize> {
        Ok(self.history().await?.len())
    }

    /// That a token below the floor was refused as what it is.
    pub(super) fn below_floor(&self, what: &str, outcome: &Result<SiteReading, Refused>) -> Seen {
        let is_refused = |failure: &Refused| failure.class == Class::Refused && failure.reason == "BELOW_FLOOR";
        hold(outcome.as_ref().is_err_and(is_refused), &format!("{what} was not refused as BELOW_FLOOR"), outcome)
    }

    /// Gives up what is open, discards what is left, closes the move and gives the claim back.
    pub(super) async fn clear_away(stage: &Stage, cast: &Cast) -> Seen {
        let Cast { evacuation, vm } = *cast;
        let claims = stage.site.claims(evacuation).await?;
        for _ in 0..CLEAR_STEPS_MAX {
            let reading = stage.site.reading(evacuation, vm).await?;
            let Some(Standing::Destination(at)) = &reading.standing else { break };
            let Some(action) = next_to_clear(at, &reading) else { break };
            let epoch = claims.epoch.max(reading.floor.epoch);
            let sequence = if epoch == reading.floor.epoch { reading.floor.sequence.0 } else { 0 };
            let token = Token { epoch, sequence: Sequence(sequence + TOKEN_STEP) };
            let command = SiteCommand { vm, token, action };
            let outcome = stage.site.execute_one(stage.request(), evacuation, command).await?;
            outcome.map_err(|failure| End::Broken(failure.to_string()))?;
            let after = stage.site.reading(evacuation, vm).await?;
            hold(after.floor > reading.floor, "nothing came of it", &after)?;
        }
        if claims.holder.is_some() {
            let release = ReleaseClaim { request: stage.request(), evacuation, epoch: claims.epoch };
            stage.site.release(release).await?.map_err(|failure| End::Broken(failure.to_string()))?;
        }
        Ok(())
    }
}

/// A claim by the suite.
pub(super) fn claim(stage: &Stage, evacuation: EvacuationId, expected: Epoch, at_least: Epoch) -> ClaimEvacuation {
    ClaimEvacuation {
        request: stage.request(),
        evacuation,
        holder: Holder::new("muster conformance", HolderKind::Orchestrator),
        expected,
        at_least,
        take_over: None,
    }
}

/// What a reading says that only an order changes: not its time, nor what the site does by itself meanwhile.
pub(super) fn essence(reading: &SiteReading) -> (Option<&Standing>, &[Sighting], Token) {
    (reading.standing.as_ref(), &reading.sight.sightings, reading.floor)
}

/// The record that a destination holds of a VM.
pub(super) fn arrival(reading: &SiteReading) -> Seen<&AtDestination> {
    match &reading.standing {
        Some(Standing::Destination(at)) => Ok(at),
        Some(Standing::Source(_)) | None => {
            hold(false, "the ledger doesn't hold it as one that comes here", reading)?;
            Err(End::Broken(String::new()))
        }
    }
}

/// The one next thing by which a VM is cleared away; none if it is.
fn next_to_clear(at: &AtDestination, reading: &SiteReading) -> Option<SiteAction> {
    let is_placeholder = |stored| matches!(stored, Stored::Placeholder | Stored::Arrived);
    match &at.record {
        ArrivalRecord::Started(started) => Some(SiteAction::Abandon { attempt: started.attempt }),
        ArrivalRecord::Completed(_) => Some(SiteAction::CloseDestination(Outcome::Migrated)),
        ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_)
            if !at.leftovers.is_empty() || reading.sight.sightings.iter().any(|seen| is_placeholder(seen.stored)) =>
        {
            Some(SiteAction::Discard)
        }
        ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) => {
            Some(SiteAction::CloseDestination(Outcome::StayedAtSource))
        }
        ArrivalRecord::Closed(_) => None,
    }
}
