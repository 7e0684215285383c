//! A claim held by hand: commands to the workers without an orchestrator, under tokens of one's own.

use crate::stage::{Process, Stage};
use muster_core::claim::{Holder, HolderKind};
use muster_core::definition::Mode;
use muster_core::env::Env;
use muster_core::evidence::ArrivalKind;
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::ledger::RollEntry;
use muster_core::reading::SiteReading;
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::token::{Epoch, Token};
use muster_proto::convert::{SiteAction, SiteCommand};
use muster_recovery::claim::{ClaimRequest, claim};
use muster_recovery::error::LinkError;
use muster_recovery::link::SiteLink;
use std::sync::Arc;
use uuid::Uuid;

/// The evacuation of everything that is done by hand.
pub const BY_HAND: EvacuationId = EvacuationId(Uuid::from_u128(0xba_d0));

/// A claim, held by hand.
pub struct Hand {
    /// The source's worker.
    pub source: Arc<SiteLink>,
    /// The destination's worker.
    pub destination: Arc<SiteLink>,
    /// The claim.
    pub epoch: Epoch,
    host: HostName,
    sequence: u64,
}

impl Stage {
    /// Claims [`BY_HAND`] as an orchestrator that is called `by` would, and puts these VMs on both rolls, towards the
    /// destination's first host.
    ///
    /// # Panics
    /// If a worker refuses.
    pub async fn by_hand(&mut self, by: &str, vms: &[(VmId, Mode)]) -> Hand {
        let source = self.link(Process::Source).await;
        let destination = self.link(Process::Destination).await;
        let env = self.caller_env();
        let ids: Vec<VmId> = vms.iter().map(|(vm, _)| *vm).collect();
        let holder = Holder::new(by, HolderKind::Orchestrator);
        let request = ClaimRequest { evacuation: BY_HAND, holder, vms: &ids, take_over: None };
        let epoch = claim(&destination, Some(&source), env.as_ref() as &dyn Env, &request).await.expect("a claim");
        let inventory = source.inventory().await.expect("an inventory");
        let entries: Vec<RollEntry> = vms
            .iter()
            .map(|(vm, mode)| RollEntry {
                evacuation: BY_HAND,
                vm: *vm,
                mode: *mode,
                source_site: self.source.clone(),
                destination_site: self.destination.clone(),
                destination_host: self.destination_host(1),
                definition: inventory.vms.iter().find(|one| one.vm == *vm).expect("a VM").definition.clone(),
            })
            .collect();
        for (side, link) in [(Side::Destination, &destination), (Side::Source, &source)] {
            let refused = link.write_roll(side, epoch, &entries).await.expect("a roll");
            assert!(refused.is_empty(), "refused: {refused:?}");
        }
        Hand { source, destination, epoch, host: self.destination_host(1), sequence: 0 }
    }
}

impl Hand {
    /// The next token of the claim.
    pub fn token(&mut self) -> Token {
        self.sequence += 1;
        Token::new(self.epoch.0, self.sequence)
    }

    /// The link to a side.
    #[must_use]
    pub fn link(&self, side: Side) -> &Arc<SiteLink> {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    /// Carries an action out under the next token, on the side it belongs to.
    ///
    /// # Errors
    /// Whatever the worker answers, or that it doesn't.
    pub async fn act(&mut self, vm: VmId, action: SiteAction) -> Result<SiteReading, LinkError> {
        let token = self.token();
        self.act_under(vm, token, action).await
    }

    /// The same, under a token of one's own.
    ///
    /// # Errors
    /// Whatever the worker answers, or that it doesn't.
    pub async fn act_under(&self, vm: VmId, token: Token, action: SiteAction) -> Result<SiteReading, LinkError> {
        self.link(action.side()).execute(BY_HAND, SiteCommand { vm, token, action }).await
    }

    /// What a side shows of a VM.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub async fn seen(&self, side: Side, vm: VmId) -> SiteReading {
        self.link(side).observe_one(BY_HAND, vm, None).await.expect("a reading")
    }

    /// The action that writes the next started record.
    #[must_use]
    pub fn open(&self) -> SiteAction {
        SiteAction::OpenAttempt { host: self.host.clone(), kind: ArrivalKind::Transfer }
    }

    /// The action that begins the transfer of an attempt.
    #[must_use]
    pub fn transfer(&self, attempt: Attempt) -> SiteAction {
        let destination_site = self.destination.site().clone();
        let (destination_host, tuning) = (self.host.clone(), Tuning::default());
        SiteAction::Transfer { attempt, destination_site, destination_host, tuning }
    }

    /// Lines 1 to 3 of a move: record, placeholder, seal.
    ///
    /// # Panics
    /// If a worker refuses.
    pub async fn sealed(&mut self, vm: VmId) {
        let open = self.open();
        for action in [open, SiteAction::MakePlaceholder { attempt: Attempt::FIRST }, SiteAction::Seal] {
            self.act(vm, action).await.expect("a line of a move");
        }
    }

    /// Lines 1 to 4 of a move, up to the begin of its transfer.
    ///
    /// # Panics
    /// If a worker refuses.
    pub async fn transferred(&mut self, vm: VmId) {
        self.sealed(vm).await;
        let transfer = self.transfer(Attempt::FIRST);
        self.act(vm, transfer).await.expect("a transfer");
    }
}

/// The stable reason of a worker's refusal.
///
/// # Panics
/// If it wasn't one.
#[must_use]
pub fn reason(answer: Result<SiteReading, LinkError>) -> String {
    match answer {
        Err(LinkError::Answer { failure, .. }) => failure.reason,
        Err(error) => panic!("no answer: {error}"),
        Ok(reading) => panic!("not refused: {reading:#?}"),
    }
}
