//! Moves: showing them, trying them again, and releasing a retired copy.

use super::call::Call;
use super::filter::Filter;
use super::{Api, convert, page};
use crate::error::OrchestratorError;
use crate::evacuate::{all_moves, status_of};
use crate::parts::Pair;
use muster_core::definition::Mode;
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind, JournalRecord, MoveState, MoveStatus};
use muster_core::ids::{EvacuationId, SiteName, VmId, clip};
use muster_core::ledger::{SourceState, Standing};
use muster_core::reading::SiteReading;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{SiteAction, SiteCommand, batches, parsed, require_items, text};
use muster_proto::limits::ITEMS_MAX;
use muster_proto::v1 as pb;
use muster_recovery::claim::{ClaimRequest, claim, release};
use muster_store::PAGE_MAX;
use std::collections::{BTreeMap, BTreeSet};
use tonic::Status;

/// Most evacuations, the newest first, in which a VM is looked for.
pub(crate) const EVACUATIONS_SEARCHED_MAX: usize = 1_000;

/// Most moves that are looked at for one page. A filter that lets few through gets a short page, or an empty one, with a
/// token to go on from.
pub(crate) const LOOKED_AT_MAX: usize = 10_000;

impl Api {
    pub(super) async fn moves(&self, request: pb::ListMovesRequest) -> Result<pb::ListMovesResponse, Status> {
        let size = page::size(request.page_size)?;
        let filter = Filter::<pb::Move>::parse(&request.filter)?;
        let status = self.named_or_newest(&request.evacuation).await?;
        let list = page::list(&format!("moves/{}", status.id), &request.filter);
        let mut after: Option<VmId> = match page::after(&list, &request.page_token)? {
            Some(last) => Some(parsed("page_token", &last)?),
            None => None,
        };
        let sites = self.sites(&status).await;
        let (mut moves, mut looked_at) = (Vec::new(), 0);
        // It goes on from where the last page ended, whatever was shown of it, so that no move is looked at twice.
        while moves.len() < size && looked_at < LOOKED_AT_MAX {
            let limit = if filter.is_empty() { size } else { PAGE_MAX };
            let batch = self.house.journal().moves(status.id, after, limit).await.map_err(OrchestratorError::from)?;
            if batch.is_empty() {
                return Ok(pb::ListMovesResponse { moves, next_page_token: String::new() });
            }
            for one in &batch {
                looked_at += 1;
                after = Some(one.planned.vm);
                let shown = convert::a_move(&status, one, sites.as_ref());
                if filter.lets_through(&shown) {
                    moves.push(shown);
                    if moves.len() == size {
                        break;
                    }
                }
            }
        }
        // Moves with many long labels may be more than one message holds.
        let looked_up_to = after.map(|last| last.to_string()).unwrap_or_default();
        let mut fitting = batches(moves).into_iter();
        let moves = fitting.next().unwrap_or_default();
        let last = match (fitting.next(), moves.last()) {
            (Some(_), Some(last)) => last.vm.clone(),
            (Some(_) | None, _) => looked_up_to,
        };
        Ok(pb::ListMovesResponse { moves, next_page_token: page::token(&list, &last) })
    }

    /// The moves of one VM, the newest evacuation's first.
    pub(super) async fn moves_of_vm(&self, given: &str) -> Result<Vec<pb::Move>, Status> {
        let mut moves = Vec::new();
        for (evacuation, status) in self.find(given).await? {
            let sites = self.sites(&evacuation).await;
            moves.push(convert::a_move(&evacuation, &status, sites.as_ref()));
        }
        Ok(moves)
    }

    /// A VM by its UUID, or by its name if only one has it.
    pub(super) async fn find(&self, given: &str) -> Result<Vec<(EvacuationStatus, MoveStatus)>, OrchestratorError> {
        let journal = self.house.journal();
        let evacuations = journal.evacuations().await?.into_iter().rev().take(EVACUATIONS_SEARCHED_MAX);
        let id: Option<VmId> = given.parse().ok();
        let mut found: Vec<(EvacuationStatus, MoveStatus)> = Vec::new();
        for evacuation in evacuations {
            match id {
                Some(vm) => {
                    found.extend(journal.a_move(evacuation.id, vm).await?.map(|status| (evacuation, status)));
                }
                None => {
                    let all = all_moves(journal.as_ref(), evacuation.id).await?;
                    let named = all.into_iter().filter(|one| one.planned.name.as_str() == given);
                    found.extend(named.map(|status| (evacuation.clone(), status)));
                }
            }
        }
        let vms: BTreeSet<VmId> = found.iter().map(|(_, status)| status.planned.vm).collect();
        match vms.len() {
            0 => Err(OrchestratorError::NoVm { vm: clip(given) }),
            1 => Ok(found),
            _ => {
                let ids: Vec<String> = vms.iter().map(ToString::to_string).collect();
                Err(OrchestratorError::Ambiguous { name: clip(given), ids: clip(&ids.join(", ")) })
            }
        }
    }

    /// Grants further attempts, and has what is held looked at again.
    pub(super) async fn retry(&self, request: pb::RetryMovesRequest, call: Call) -> Result<pb::Evacuation, Status> {
        let evacuation: EvacuationId = parsed("evacuation", &request.evacuation)?;
        require_items("vms", request.vms.len(), ITEMS_MAX)?;
        let wanted: Result<BTreeSet<VmId>, _> = request.vms.iter().map(|vm| parsed("vms", vm)).collect();
        let wanted = wanted?;
        if self.earlier(&call).await?.is_none() {
            let seat = self.house.seats.of(evacuation);
            let mut driven = seat.driven.lock().await;
            let status = status_of(self.house.journal().as_ref(), evacuation).await?;
            let vms = self.to_retry(&status, wanted).await?;
            // An order that finds nothing to try again stands in the journal too: repeated later, it finds nothing either.
            self.ordered_about(&call, evacuation, vms.iter().copied(), &JournalKind::RetryOrdered).await?;
            if !vms.is_empty() {
                seat.leave(vms);
                self.house.drive_locked(evacuation, None, &mut driven);
            }
        }
        Ok(self.shown(&self.named(&request.evacuation).await?).await?)
    }

    /// Which VMs are tried again: those wanted, or all that are held.
    async fn to_retry(
        &self,
        status: &EvacuationStatus,
        wanted: BTreeSet<VmId>,
    ) -> Result<Vec<VmId>, OrchestratorError> {
        if status.state == EvacuationState::Planning {
            let what = format!("evacuation {} is still being planned", status.id);
            return Err(OrchestratorError::OutOfOrder { reason: "PLANNING", what, mend: "call again in a moment" });
        }
        let moves = all_moves(self.house.journal().as_ref(), status.id).await?;
        if wanted.is_empty() {
            let held = moves.iter().filter(|one| matches!(one.state, MoveState::Held(_)));
            return Ok(held.map(|one| one.planned.vm).collect());
        }
        let known: BTreeMap<VmId, &MoveStatus> = moves.iter().map(|one| (one.planned.vm, one)).collect();
        let why_not = |vm: &VmId| Some((*vm, why_not(status, known.get(vm).copied())?));
        let refused: Vec<(VmId, String)> = wanted.iter().filter_map(why_not).collect();
        if refused.is_empty() {
            Ok(wanted.into_iter().collect())
        } else {
            Err(OrchestratorError::NotRetried { vms: refused })
        }
    }

    /// Makes a retired copy at the source runnable again.
    pub(super) async fn release(&self, request: pb::ReleaseVmRequest, call: Call) -> Result<pb::Move, Status> {
        let reason = text("reason", request.reason)?;
        let (evacuation, status) = self.to_release(&request.vm, self.earlier(&call).await?).await?;
        let vm = status.planned.vm;
        let pen = self.house.pen(evacuation.id).of(&call.caller);
        let ordered = pen.record(Some(&call), Some(vm), JournalKind::ReleaseOrdered { reason: reason.clone() });
        // Repeated, it goes on: the order stands, and what it orders may not have been done.
        self.ordered(&call, vec![ordered]).await?;
        let pair = self.house.pair(&evacuation.source_site, &evacuation.destination_site).await?;
        let outcome = match self.release_at_source(&pair, evacuation.id, vm, reason).await {
            // It was released before, by this call or another.
            Ok(None) => return Ok(convert::a_move(&evacuation, &status, Some(&pair))),
            Ok(Some(token)) => Ok(pen.about(vm, JournalKind::Released { token })),
            Err(error) => {
                let failed = JournalKind::ReleaseFailed { error: clip(&error.to_string()) };
                Err((pen.about(vm, failed), error))
            }
        };
        match outcome {
            Ok(released) => pen.write(vec![released]).await.map_err(OrchestratorError::from)?,
            Err((failed, error)) => {
                if let Err(unwritten) = pen.write(vec![failed]).await {
                    tracing::warn!(%vm, %unwritten, "a failed release could not be journaled");
                }
                return Err(error.into());
            }
        }
        Ok(convert::a_move(&evacuation, &status, Some(&pair)))
    }

    /// The move whose retired copy is meant: the newest that has migrated, or the one that this call was about before.
    async fn to_release(
        &self,
        vm: &str,
        earlier: Option<JournalRecord>,
    ) -> Result<(EvacuationStatus, MoveStatus), OrchestratorError> {
        let of_earlier =
            |evacuation: &EvacuationStatus| earlier.as_ref().is_none_or(|earlier| earlier.evacuation == evacuation.id);
        let found = self.find(vm).await?;
        let migrated = found
            .into_iter()
            .find(|(evacuation, status)| status.state == MoveState::Migrated && of_earlier(evacuation));
        migrated.ok_or_else(|| OrchestratorError::OutOfOrder {
            reason: "NOT_MIGRATED",
            what: format!("VM {} has not migrated, so nothing of it is retired", clip(vm)),
            mend: "release what shows as Not Runnable",
        })
    }

    /// Has it done, and returns its token; none where there is nothing to release.
    async fn release_at_source(
        &self,
        pair: &Pair,
        evacuation: EvacuationId,
        vm: VmId,
        reason: String,
    ) -> Result<Option<Token>, OrchestratorError> {
        let reading = pair.source.observe_one(evacuation, vm, None).await?;
        if !is_retired(evacuation, &reading) {
            return Ok(None);
        }
        let action = SiteAction::Release { reason };
        // Under the claim that is held, if its tokens still count; else under one of its own.
        let held = self.house.seats.of(evacuation).live().epoch.filter(|epoch| reading.floor.epoch <= *epoch);
        if let Some(epoch) = held {
            let token = token_above(epoch, reading.floor);
            let shown = pair.source.execute(evacuation, SiteCommand { vm, token, action }).await?;
            // Its worker's own deletion may have taken that number in between; then the order was answered, not executed.
            if is_retired(evacuation, &shown) {
                let what = format!("VM {vm} was not released: something else was done with its copy in that moment");
                return Err(OrchestratorError::OutOfOrder {
                    reason: "NOT_RELEASED",
                    what,
                    mend: "look at it, and call again",
                });
            }
            return Ok(Some(token));
        }
        let env = self.house.env().as_ref();
        let request = ClaimRequest { evacuation, holder: self.house.holder(), vms: &[vm], take_over: None };
        let epoch = claim(&pair.destination, Some(&pair.source), env, &request).await?;
        let token = Token { epoch, sequence: Sequence(1) };
        let executed = pair.source.execute(evacuation, SiteCommand { vm, token, action }).await;
        release(&pair.destination, env, evacuation, epoch).await?;
        executed?;
        Ok(Some(token))
    }
}

/// Why a move can't be tried again; none if it can.
fn why_not(evacuation: &EvacuationStatus, one: Option<&MoveStatus>) -> Option<String> {
    let Some(one) = one else { return Some("it is not in this evacuation".to_owned()) };
    match one.state {
        MoveState::Held(_) | MoveState::Waiting => None,
        MoveState::Moving(_) => Some("it is under way".to_owned()),
        MoveState::Migrated => Some("it has migrated".to_owned()),
        // Both ledgers have closed it, and what is closed is never opened again.
        MoveState::StayedAtSource => {
            let (source, destination) = (&evacuation.source_site, &evacuation.destination_site);
            let command = evacuate_again(source, destination, one.planned.vm, one.planned.mode);
            Some(format!("it stayed at the source, and this move is over; move it by a new one: {command}"))
        }
    }
}

/// The command that moves one VM by an evacuation of its own. Names of sites, modes and UUIDs need no quoting.
fn evacuate_again(source: &SiteName, destination: &SiteName, vm: VmId, mode: Mode) -> String {
    let sites = format!(r#"source.site = "{source}"\ndestination.site = "{destination}""#);
    let selection = format!(r#"[[select]]\nids = ["{vm}"]\nmode = "{}""#, mode.word());
    format!(r#"printf 'name = "again"\n{sites}\n{selection}\n' | muster evacuate /dev/stdin"#)
}

fn is_retired(evacuation: EvacuationId, reading: &SiteReading) -> bool {
    match &reading.standing {
        Some(Standing::Source(at)) if at.evacuation == evacuation => matches!(at.state, SourceState::Retired),
        Some(Standing::Source(_) | Standing::Destination(_)) | None => false,
    }
}

fn token_above(epoch: Epoch, floor: Token) -> Token {
    if floor.epoch == epoch { floor.next() } else { Token { epoch, sequence: Sequence(1) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::limits::VIOLATION_MAX_BYTES;

    #[test]
    fn the_command_for_a_vm_that_stayed_is_told_whole_however_long_the_names() {
        let site: SiteName = "x".repeat(muster_core::ids::NAME_MAX_BYTES).parse().unwrap();
        let command = evacuate_again(&site, &site, VmId(uuid::Uuid::nil()), Mode::Live);
        let rest = "it stayed at the source, and this move is over; move it by a new one: ".len();
        assert!(command.len() + rest <= VIOLATION_MAX_BYTES, "{} bytes", command.len() + rest);
    }
}
