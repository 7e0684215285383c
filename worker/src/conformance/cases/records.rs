//! What is written for a whole evacuation: claims and the roll.

use crate::conformance::play::{Cast, Play, claim};
use crate::conformance::stage::Stage;
use crate::conformance::wire::{End, Refused, Seen, hold};
use muster_core::claim::{Claims, Fenced, Holder, HolderKind};
use muster_core::class::Class;
use muster_core::ids::VmId;
use muster_core::ledger::RollEntry;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{AssertFenced, ClaimEvacuation, ReleaseClaim, SiteAction, SiteCommand, VmAnswer};

/// An epoch that a claimant has found elsewhere.
const FOUND_ELSEWHERE: Epoch = Epoch(40);

pub(super) async fn claims(stage: &Stage) -> Seen {
    let evacuation = stage.evacuation();
    stage.remember(Cast { evacuation, vm: VmId(stage.env.new_id()) });
    let first = claim(stage, evacuation, Epoch(0), Epoch(0));
    let claims = granted(stage.site.claim(first.clone()).await?)?;
    hold(
        claims.epoch >= Epoch(1) && claims.holder.as_ref() == Some(&first.holder),
        "a first claim was not granted",
        &claims,
    )?;
    let again = granted(stage.site.claim(first.clone()).await?)?;
    hold(again == claims, "the same request was not answered as before", &again)?;
    let other = ClaimEvacuation { at_least: FOUND_ELSEWHERE, ..first.clone() };
    refused("a request id was used for another request", &stage.site.claim(other).await?, None)?;
    let late = claim(stage, evacuation, Epoch(0), Epoch(0));
    refused("a claim expects an epoch that has passed", &stage.site.claim(late).await?, Some("CLAIMED_IN_BETWEEN"))?;

    let second = granted(stage.site.claim(claim(stage, evacuation, claims.epoch, FOUND_ELSEWHERE)).await?)?;
    hold(second.epoch > FOUND_ELSEWHERE, "the epoch is not above the greatest that the claimant has found", &second)?;
    let known = stage.site.greatest_epoch(evacuation, Vec::new()).await?;
    hold(known == second.epoch, "the greatest epoch is not that of the claim", &known)?;
    let released = stage.site.release(release(stage, evacuation, claims.epoch)).await?;
    refused("a claim that was lost is given back", &released, Some("CLAIMED_IN_BETWEEN"))?;
    let listed = stage.site.claims(evacuation).await?;
    hold(listed == second, "the claim is not listed as it was granted", &listed)?;
    of_recovery(stage, second.epoch, evacuation).await?;
    asserted(stage, evacuation).await
}

/// A recovery's claim holds until a person takes it over.
async fn of_recovery(stage: &Stage, epoch: Epoch, evacuation: muster_core::ids::EvacuationId) -> Seen {
    let orchestrator = claim(stage, evacuation, epoch, Epoch(0));
    let holder = Holder::new("muster conformance, recovering", HolderKind::Recovery);
    let recovery = granted(stage.site.claim(ClaimEvacuation { holder, ..orchestrator }).await?)?;
    hold(recovery.epoch > epoch, "a later claim has no greater epoch", &recovery)?;
    let over = claim(stage, evacuation, recovery.epoch, Epoch(0));
    let taken = stage.site.claim(over.clone()).await?;
    refused("an orchestrator claims what a recovery holds", &taken, Some("HELD_BY_RECOVERY"))?;
    let take_over = Some("the suite's own recovery".to_owned());
    let taken = granted(stage.site.claim(ClaimEvacuation { take_over, request: stage.request(), ..over }).await?)?;
    hold(taken.epoch > recovery.epoch, "a claim that was taken over has no greater epoch", &taken)?;
    let released = granted(stage.site.release(release(stage, evacuation, taken.epoch)).await?)?;
    let is_free = released.epoch == taken.epoch && released.holder.is_none();
    hold(is_free, "a claim given back does not keep its epoch, or its holder", &released)
}

/// A person's word is durable.
async fn asserted(stage: &Stage, evacuation: muster_core::ids::EvacuationId) -> Seen {
    let assertion = AssertFenced {
        request: stage.request(),
        evacuation,
        fenced: Fenced::Source,
        reason: "the suite's source was never there".to_owned(),
        by: "muster conformance".to_owned(),
    };
    let claims = granted(stage.site.assert_fenced(assertion.clone()).await?)?;
    hold(claims.source_is_fenced(), "an assertion was not kept", &claims)?;
    let again = granted(stage.site.assert_fenced(assertion).await?)?;
    hold(again == claims, "the same request was not answered as before", &again)?;
    let listed = stage.site.claims(evacuation).await?;
    hold(listed == claims, "an assertion is not listed", &listed)
}

pub(super) async fn roll(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let listed = stage.site.roll(play.evacuation).await?;
    hold(listed == [play.entry.clone()], "the roll is not what was written on it", &listed)?;
    play.must(play.open()).await?;
    let (before, lines) = (play.reading().await?, play.lines().await?);
    let refused_again = play.enrol(vec![play.entry.clone()]).await?;
    hold(refused_again.is_empty(), "what is on the roll was refused when it was written again", &refused_again)?;
    let after = play.reading().await?;
    hold(
        (&after.standing, after.floor) == (&before.standing, before.floor),
        "writing the roll again changed something",
        &after,
    )?;
    hold(play.lines().await? == lines, "writing the roll again was written down as a change", &lines)?;

    let other = Play::claimed(stage).await?;
    let taken = RollEntry { evacuation: other.evacuation, ..play.entry.clone() };
    let refusals = other.enrol(vec![taken, other.entry.clone()]).await?;
    let is_refused = |answer: &VmAnswer| answer.vm == play.vm && answer.result.is_err();
    let [refusal] = refusals.as_slice() else {
        return hold(false, "a VM that is in another open evacuation was not refused alone", &refusals);
    };
    hold(is_refused(refusal), "a VM that is in another open evacuation was not refused", refusal)?;
    let on_roll = stage.site.roll(other.evacuation).await?;
    hold(on_roll == [other.entry.clone()], "beside a VM that was refused, another is not on the roll", &on_roll)?;
    older_claim(stage, &play).await
}

/// Once a newer claim's command has come, an older claim writes nothing.
async fn older_claim(stage: &Stage, play: &Play<'_>) -> Seen {
    let newer = granted(stage.site.claim(claim(stage, play.evacuation, play.epoch, Epoch(0))).await?)?;
    let fence = Token { epoch: newer.epoch, sequence: Sequence(1) };
    play.fenced(fence).await?.map_err(|failure| End::Broken(format!("a newer claim was refused: {failure}")))?;
    stage.done(play.vm, fence);
    let known = stage.site.greatest_epoch(stage.evacuation(), vec![play.vm]).await?;
    hold(known == newer.epoch, "the greatest epoch of a VM is not that of its floor", &known)?;
    let refusals = play.enrol(vec![play.entry.clone()]).await?;
    let is_below = |answer: &VmAnswer| answer.result.as_ref().is_err_and(|failure| failure.reason == "BELOW_FLOOR");
    hold(refusals.len() == 1 && refusals.iter().all(is_below), "an older claim wrote the roll", &refusals)
}

pub(super) async fn isolated(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let mut vms = vec![play.vm];
    let mut entries = Vec::new();
    for _ in 0..2 {
        let vm = VmId(stage.env.new_id());
        vms.push(vm);
        entries.push(RollEntry { vm, definition: stage.definition(vm).await?, ..play.entry.clone() });
    }
    let refusals = play.enrol(entries).await?;
    hold(refusals.is_empty(), "VMs that no evacuation has were refused on the roll", &refusals)?;
    let nobody = VmId(stage.env.new_id());
    vms.insert(1, nobody);
    let token = play.token();
    let commands = vms.iter().map(|vm| SiteCommand { vm: *vm, token, action: play.open() }).collect();
    let outcomes = stage.site.execute(stage.request(), play.evacuation, commands).await?;
    hold(outcomes.len() == vms.len(), "there is not one outcome for each command", &outcomes)?;
    for vm in vms {
        let outcome = outcomes.iter().find(|outcome| outcome.vm == vm).map(|outcome| &outcome.result);
        let fits = outcome.is_some_and(|result| match result {
            Ok(_) => vm != nobody,
            Err(failure) => vm == nobody && failure.class == Class::Refused,
        });
        hold(fits, "a VM that isn't on the roll was not refused, or another was", &(vm, outcome))?;
        if vm != nobody {
            stage.done(vm, token);
        }
    }
    let abandon = SiteAction::Abandon { attempt: muster_core::ids::Attempt::FIRST };
    play.must(abandon).await.map(drop)
}

fn release(stage: &Stage, evacuation: muster_core::ids::EvacuationId, epoch: Epoch) -> ReleaseClaim {
    ReleaseClaim { request: stage.request(), evacuation, epoch }
}

fn granted(answer: Result<Claims, Refused>) -> Seen<Claims> {
    answer.map_err(|failure| End::Broken(format!("it was refused: {failure}")))
}

fn refused(what: &str, answer: &Result<Claims, Refused>, reason: Option<&str>) -> Seen {
    let is_refused =
        |failure: &Refused| failure.class == Class::Refused && reason.is_none_or(|reason| failure.reason == reason);
    let wanted = reason.unwrap_or("refused");
    hold(answer.as_ref().is_err_and(is_refused), &format!("{what}, and the answer is not {wanted}"), answer)
}
