//! What tests do to the world: rules for what goes wrong when, and what came of it.

use crate::judge::{contradiction, violation, wrong_end};
use crate::stage::Stage;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::reading::Phase;
use muster_recovery::roll_call::RollCallLine;
use muster_worker::hypervisor::sim::world::{Fault, LinkFault, Rule, RuleKind, Trap};
use std::time::Duration;

/// How often the world is looked at by who waits for a phase.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at before the phase never comes.
const LOOKS_MAX: u32 = 15_000;

impl Stage {
    /// Lays a rule down for one VM.
    pub async fn rule(&self, vm: VmId, times: u32, kind: RuleKind) {
        self.inject(Fault::Rule(Rule { vm: Some(vm), times, kind })).await;
    }

    /// Has the VM's next transfer stand still when it enters a phase.
    pub async fn hold_in(&self, vm: VmId, phase: Phase) {
        self.rule(vm, 1, RuleKind::Phase(phase, Trap::Hold)).await;
    }

    /// Has the VM's next transfer stand still when it enters a phase, and waits until it does.
    pub async fn until_held_in(&self, vm: VmId, phase: Phase) {
        self.hold_in(vm, phase).await;
        self.until_in(vm, phase).await;
    }

    /// Waits until the VM's transfer is in this phase.
    ///
    /// # Panics
    /// If it never is.
    pub async fn until_in(&self, vm: VmId, phase: Phase) {
        for _ in 0..LOOKS_MAX {
            if self.is_in(vm, phase).await {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("its transfer never came to {phase:?}: {:#?}", self.truth_of(vm).await);
    }

    /// Whether the VM's transfer is in this phase now.
    ///
    /// # Panics
    /// If the world has ended.
    pub async fn is_in(&self, vm: VmId, phase: Phase) -> bool {
        let sites = [self.source.clone(), self.destination.clone()];
        let looked = self.world.with(move |world| sites.map(|site| world.look(&site, &[vm]))).await.expect("a world");
        let mut sightings = looked.into_iter().flatten().flatten().flat_map(|sight| sight.sightings);
        sightings.any(|seen| seen.job.is_some_and(|job| job.phase == phase))
    }

    /// Has every transfer that stands still go on.
    pub async fn release_transfers(&self) {
        self.inject(Fault::ReleaseTransfers(None)).await;
    }

    /// Breaks the link between the two sites' hosts, or mends it. The workers' own network is another.
    pub async fn link_is(&self, what: LinkFault) {
        self.inject(self.link_fault(what)).await;
    }

    /// That fault, for a rule.
    #[must_use]
    pub fn link_fault(&self, what: LinkFault) -> Fault {
        Fault::Link(self.source.clone(), self.destination.clone(), what)
    }

    /// Fails the test if a verdict contradicts the truth, or anything is so that may never be so.
    ///
    /// # Panics
    /// With what is wrong.
    pub async fn assert_right(&self, lines: &[RollCallLine]) {
        let truth = self.truth().await;
        for line in lines {
            let truth = &truth[&line.entry.vm];
            let verdict = line.decision.verdict;
            let wrong = contradiction(verdict, line.entry.mode, truth, &self.source, &self.destination);
            assert!(wrong.is_none(), "{}: {}\n{line:#?}", line.entry.definition.name, wrong.unwrap_or_default());
        }
        self.assert_no_violation().await;
    }

    /// Fails the test if a move that is shown as over isn't where it is shown, or anything is so that may never be so.
    ///
    /// # Panics
    /// With what is wrong.
    pub async fn assert_ended_right(&self, evacuation: EvacuationId) {
        let truth = self.truth().await;
        let (_, moves) = self.shown(evacuation).await.expect("an answer");
        for a_move in &moves {
            let truth = &truth[&a_move.vm.parse().expect("a VM's id")];
            let wrong = wrong_end(a_move, truth, &self.source, &self.destination);
            assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
        }
        self.assert_no_violation().await;
    }

    /// Fails the test if anything is so that may never be so.
    ///
    /// # Panics
    /// If any VM ran twice, is lost, or ran on what it mustn't.
    pub async fn assert_no_violation(&self) {
        for truth in self.truth().await.values() {
            if let Some(violation) = violation(truth) {
                panic!("{violation}: {truth:#?}");
            }
        }
    }
}
