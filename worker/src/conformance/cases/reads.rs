//! What is only read: status, inventory, survey, path and evidence.

use crate::conformance::play::{Play, arrival, essence};
use crate::conformance::stage::Stage;
use crate::conformance::wire::{Seen, hold};
use muster_core::ids::{Attempt, VmId};
use muster_core::ledger::ArrivalRecord;
use muster_core::reading::{Instance, Sighting, SiteReading, Stored};
use muster_core::token::Token;
use muster_proto::convert::{SiteAction, SurveyEntry, SurveyOrder, VmAnswer, VmToken};
use std::collections::BTreeSet;

/// A processor that no host can know.
const PROCESSOR: &str = "a processor of the conformance suite";

pub(super) async fn status(stage: &Stage) -> Seen {
    let first = stage.site.status().await?;
    hold(first.working.is_ok(), "it takes no work", &first)?;
    hold(first.now.0 > 0, "its clock stands at the beginning of time", &first)?;
    Play::begin(stage).await?;
    let then = stage.site.status().await?;
    hold(then.site == first.site, "it has changed its name", &then)?;
    hold(then.now >= first.now, "its clock runs backwards", &then)?;
    let grew = then.newest_sequence > first.newest_sequence;
    hold(grew, "a claim and a roll were written, and its newest sequence number has not grown", &then)?;
    hold(
        then.newest_entry_at.is_some(),
        "its ledger has entries, and it doesn't say when the newest was written",
        &then,
    )
}

pub(super) async fn inventory(stage: &Stage) -> Seen {
    let inventory = stage.site.inventory().await?;
    let hosts: BTreeSet<_> = inventory.hosts.iter().map(|listing| &listing.host).collect();
    hold(hosts.len() == inventory.hosts.len(), "a host is listed twice", &inventory.hosts)?;
    hold(!hosts.is_empty(), "no host is listed", &inventory)?;
    let mut seen = BTreeSet::new();
    for listing in &inventory.vms {
        hold(hosts.contains(&listing.host), "a VM is on a host that isn't listed", listing)?;
        hold(seen.insert((listing.vm, &listing.host)), "a VM is listed twice on one host", listing)?;
    }
    Ok(())
}

pub(super) async fn survey(stage: &Stage) -> Seen {
    let pattern = stage.pattern().await?.vm;
    let nobody = VmId(stage.env.new_id());
    let before = stage.site.status().await?.newest_sequence;
    let listed = stage.site.inventory().await?.hosts;
    let order = SurveyOrder { vms: vec![pattern, nobody], processors: vec![PROCESSOR.to_owned()], hosts: Vec::new() };
    let entries = stage.site.survey(order).await?;
    let (mut hosts, mut needs, mut verdicts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, entry) in entries.iter().enumerate() {
        match entry {
            SurveyEntry::Site { .. } => hold(index == 0, "the site's offer comes late, or twice", &index)?,
            SurveyEntry::Host(host) => {
                let is_listed = listed.iter().any(|listing| listing.host == host.host && listing.answers);
                hold(is_listed, "a host is surveyed that the inventory has not, or not as answering", host)?;
                hold(hosts.insert(host.host.clone()), "a host is surveyed twice", host)?;
            }
            SurveyEntry::Needs(vm) => {
                hold(vm.vm == pattern, "the needs of a VM came that weren't asked for, or can't be known", vm)?;
                hold(needs.insert(vm.vm), "the needs of a VM came twice", vm)?;
            }
            SurveyEntry::Processor { processor, host, .. } => {
                hold(processor == PROCESSOR, "a processor was judged that nobody asked about", entry)?;
                hold(verdicts.insert(host.clone()), "a processor was judged twice for one host", entry)?;
            }
        }
    }
    let begins_with_site = matches!(entries.first(), Some(SurveyEntry::Site { .. }));
    hold(begins_with_site, "it does not begin with the site's offer", &entries.first())?;
    let answering = listed.iter().filter(|listing| listing.answers).count();
    hold(hosts.len() == answering, "not every host that answers is surveyed", &hosts)?;
    hold(verdicts == hosts, "the processor was not judged for every host", &verdicts)?;
    hold(needs.len() == 1, "the needs of the VM asked for did not come", &needs)?;
    let after = stage.site.status().await?.newest_sequence;
    hold(after == before, "a survey was written down as a change", &(before, after))
}

pub(super) async fn path(stage: &Stage) -> Seen {
    for nonce in ["conformance", "another-nonce"] {
        let proof = stage.site.prove_path(nonce, &stage.nowhere).await?;
        hold(proof.nonce == nonce, "the nonce is not repeated", &proof)?;
        hold(proof.site == stage.site.name, "another site answers", &proof)?;
        hold(
            proof.working == stage.site.status().await?.working.is_ok(),
            "it says otherwise than GetSite whether it works",
            &proof,
        )?;
    }
    Ok(())
}

pub(super) async fn evidence(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    unheard_of(stage, &play).await?;
    let enrolled = as_of(stage, &play).await?;
    hold(
        arrival(&enrolled)?.record == ArrivalRecord::Enrolled,
        "it is on the roll, and the ledger says otherwise",
        &enrolled,
    )?;
    hold(enrolled.sight.sightings.is_empty(), "something of a VM is shown that nobody has made", &enrolled)?;

    let (opened_under, _) = play.must(play.open()).await?;
    let (placed_under, outcome) = play.must(SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await?;
    let placed = as_of(stage, &play).await?;
    let same = essence(&placed) == essence(&outcome);
    hold(same, "an observation shows another thing than the outcome of the command before it", &(&outcome, &placed))?;
    let ArrivalRecord::Started(started) = &arrival(&placed)?.record else {
        return hold(false, "its started record is not there", &placed);
    };
    let is_its_record = started.attempt == Attempt::FIRST
        && started.token == opened_under
        && started.host == play.entry.destination_host;
    hold(is_its_record, "the started record is not the one that was ordered", started)?;
    let [seen] = placed.sight.sightings.as_slice() else {
        return hold(false, "its placeholder is not shown once", &placed);
    };
    is_placeholder(&play, seen, placed_under)?;

    play.must(SiteAction::Abandon { attempt: Attempt::FIRST }).await?;
    let given_up = play.reading().await?;
    let leftovers = &arrival(&given_up)?.leftovers;
    hold(
        leftovers.len() == 1 && leftovers[0].attempt == Attempt::FIRST,
        "a given-up attempt is no leftover",
        &given_up,
    )?;
    play.must(SiteAction::Discard).await?;
    let discarded = play.reading().await?;
    hold(discarded.sight.sightings.is_empty(), "a discarded placeholder is still shown", &discarded)?;
    hold(arrival(&discarded)?.leftovers.is_empty(), "what was discarded is still a leftover", &discarded)?;
    let (_, again) = play.must(play.open()).await?;
    let is_next =
        matches!(&arrival(&again)?.record, ArrivalRecord::Started(started) if started.attempt == Attempt::FIRST.next());
    hold(is_next, "another attempt does not have the next number", &again)
}

fn is_placeholder(play: &Play<'_>, seen: &Sighting, token: Token) -> Seen {
    hold(seen.host == play.entry.destination_host, "the placeholder is on another host", seen)?;
    let is_inert = seen.stored == Stored::Placeholder && matches!(seen.instance, Instance::Off(_)) && !seen.autostart;
    hold(is_inert, "the placeholder is not inert", seen)?;
    let is_marked = seen.mark.is_some_and(|mark| {
        mark.evacuation == play.evacuation && mark.attempt == Attempt::FIRST && mark.token == token
    });
    hold(is_marked, "the placeholder does not carry evacuation, attempt and token", seen)
}

/// What no ledger holds and no host has is answered as that; asking for it changes nothing.
async fn unheard_of(stage: &Stage, play: &Play<'_>) -> Seen {
    let before = stage.site.status().await?.newest_sequence;
    let strangers = [VmId(stage.env.new_id()), play.vm, VmId(stage.env.new_id())];
    let asked = strangers.map(|vm| VmToken { vm, token: None });
    let answers = stage.site.observe(play.evacuation, asked.to_vec()).await?;
    let in_order = answers.iter().map(|answer| answer.vm).eq(strangers);
    hold(in_order, "the answers are not one for each VM, in the order asked", &answers)?;
    for VmAnswer { vm, result } in answers.iter().filter(|answer| answer.vm != play.vm) {
        let is_nothing = |reading: &SiteReading| {
            reading.floor == Token::ZERO && reading.standing.is_none() && reading.sight.sightings.is_empty()
        };
        hold(
            result.as_ref().is_ok_and(is_nothing),
            "something is known of a VM that nobody has heard of",
            &(vm, result),
        )?;
    }
    let after = stage.site.status().await?.newest_sequence;
    hold(after == before, "an observation without a token was written down as a change", &(before, after))
}

/// A reading, with its time and its hosts held against what the site says else.
async fn as_of(stage: &Stage, play: &Play<'_>) -> Seen<SiteReading> {
    let silent = async || -> Seen<BTreeSet<_>> {
        let hosts = stage.site.inventory().await?.hosts;
        Ok(hosts.into_iter().filter(|listing| !listing.answers).map(|listing| listing.host).collect())
    };
    let (silent_before, earliest) = (silent().await?, stage.site.status().await?.now);
    let reading = play.reading().await?;
    let (latest, silent_after) = (stage.site.status().await?.now, silent().await?);
    let is_now = earliest <= reading.at && reading.at <= latest;
    hold(is_now, "it is as of another time than that of the look", &(earliest, reading.at, latest))?;
    for host in silent_before.intersection(&silent_after) {
        let is_told = reading.sight.silent_hosts.contains(host);
        hold(is_told, "a host did not answer, and the reading doesn't say so", &(host, &reading))?;
    }
    Ok(reading)
}
