//! The people: whoever orders the evacuation, does what held moves ask a person to do, and recovers what an orchestrator left
//! that is gone for good.

use crate::fault::Side;
use crate::look::Links;
use crate::plan::{Evacuation, Succession};
use crate::play::{End, Game};
use muster_core::definition::Mode;
use muster_core::evidence::Outcome;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::reading::Stored;
use muster_core::step::{Hold, Step};
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_recovery::error::RecoveryError;
use muster_recovery::recover::{Recovered, recover};
use muster_recovery::roll_call::Account;
use muster_tests::Process;
use muster_tests::orders::PERSON;
use muster_tests::trace::What;
use muster_worker::hypervisor::sim::world::{Deed, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::transport::Channel;
use uuid::Uuid;

/// With nothing wrong any more, all must be over within so much time.
const SETTLED_WITHIN: Duration = Duration::from_secs(900);
/// A person looks after held moves after so much time, and again after as much.
const PERSON_EVERY: Duration = Duration::from_secs(45);
/// How often somebody looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an answer of the orchestrator is waited for.
const ANSWER_LONGEST: Duration = Duration::from_secs(10);
/// How often a recovery is run again while it leaves something undone.
const RECOVERIES_MAX: usize = 12;
/// Wait before it is.
const RECOVER_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a recovery is waited for that was told to start a VM from its disk, in milliseconds.
const COLD_START_WAIT_MS: u64 = 1_000;

/// An order on its way: repeated until it is taken.
pub(crate) struct Ordered {
    pub(crate) task: JoinHandle<()>,
    known: Arc<Mutex<(Option<EvacuationId>, String)>>,
    client: EvacuationsClient<Channel>,
    vms: BTreeSet<VmId>,
}

impl Ordered {
    /// The evacuation, once it is known.
    pub(crate) fn known(&self) -> Option<EvacuationId> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn last_refusal(&self) -> String {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl Game {
    /// Orders the evacuation of these VMs.
    pub(crate) async fn order(&mut self, evacuation: &Evacuation, leaving: &BTreeSet<VmId>) -> Ordered {
        let modes: BTreeSet<&str> = leaving.iter().map(|vm| self.mode(*vm).word()).collect();
        let select = modes.iter().map(|mode| format!("[[select]]\ntags = [\"mode-{mode}\"]\nmode = \"{mode}\"\n"));
        let policy = if evacuation.cold_start { "policy" } else { "never" };
        let runbook = format!(
            "name = \"evacuation-{}\"\nsource.site = \"{}\"\ndestination.site = \"{}\"\n\
             [limits]\nper_source_host = 3\nper_destination_host = 3\n\
             [retry]\nattempts = 4\nbackoff_ms = 100\nbackoff_max_ms = 400\n\
             [deadlines]\ntransfer_ms = 40000\nhandover_ms = 3000\nsilence_ms = 3000\n\
             [recovery]\ncold_start = \"{policy}\"\n{}",
            self.number,
            self.site(Side::From),
            self.site(Side::To),
            select.collect::<String>()
        );
        let request = pb::CreateEvacuationRequest {
            request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, runbook.as_bytes()).to_string(),
            runbook,
            validate_only: false,
            ordered_by: PERSON.to_owned(),
        };
        let known = Arc::new(Mutex::new((None, String::new())));
        let client = self.stage.client().await;
        let task = tokio::spawn(repeat(client.clone(), request, Arc::clone(&known)));
        Ordered { task, known, client, vms: leaving.clone() }
    }

    /// Waits until all is over: by the orchestrator, or without it by a recovery.
    pub(crate) async fn settle(
        &mut self,
        evacuation: &Evacuation,
        ordered: &mut Ordered,
    ) -> Result<BTreeMap<VmId, End>, String> {
        match &evacuation.succession {
            Some(succession) if self.succeeded => self.succeed(succession, ordered).await,
            Some(_) | None => self.until_finished(ordered).await,
        }
    }

    async fn until_finished(&mut self, ordered: &mut Ordered) -> Result<BTreeMap<VmId, End>, String> {
        let begun = Instant::now();
        let mut person_at = begun + PERSON_EVERY;
        let mut last = String::from("the orchestrator never answered");
        while begun.elapsed() < SETTLED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
            self.evacuation = self.evacuation.or_else(|| ordered.known());
            let Some(evacuation) = self.evacuation else {
                last = ordered.last_refusal();
                if Instant::now() >= person_at {
                    person_at = Instant::now() + PERSON_EVERY;
                    self.make_fit(&ordered.vms).await;
                }
                continue;
            };
            let Some((shown, moves)) = shown(&mut ordered.client, evacuation).await else { continue };
            if shown.state() == pb::EvacuationState::Finished {
                self.free_the_stubborn().await;
                return self.ends(&moves);
            }
            self.free_the_stubborn_if_alone(&moves).await;
            if Instant::now() >= person_at {
                person_at = Instant::now() + PERSON_EVERY;
                self.look_after(evacuation, &moves, &mut ordered.client).await;
            }
            last = described(&moves);
        }
        Err(format!("not over {SETTLED_WITHIN:?} after the last fault has ended: {last}"))
    }

    /// What a VM's stubbornness does to the others is seen by now: nothing, or they would not be over.
    async fn free_the_stubborn_if_alone(&mut self, moves: &[pb::Move]) {
        let is_over = |one: &pb::Move| matches!(one.state(), pb::MoveState::Migrated | pb::MoveState::StayedAtSource);
        let others = |one: &&pb::Move| !self.stubborn.iter().any(|vm| vm.to_string() == one.vm);
        if !self.stubborn.is_empty() && moves.iter().filter(others).all(is_over) {
            self.free_the_stubborn().await;
        }
    }

    async fn free_the_stubborn(&mut self) {
        if !self.stubborn.is_empty() {
            self.note("all others are over: the stubborn VMs are freed");
            self.stubborn.clear();
            self.stage.inject(Fault::ClearRules).await;
        }
    }

    /// Does what a refused order asks a person to do: a host may have died before it was taken, and what was to move live is off.
    async fn make_fit(&mut self, vms: &BTreeSet<VmId>) {
        self.note("a person makes the VMs fit their modes");
        for vm in vms {
            match self.mode(*vm) {
                Mode::Live => self.start_by_hand(*vm).await,
                Mode::Off => self.shut_down_by_hand(*vm).await,
                Mode::Cold => {}
            }
        }
    }

    /// Does what held moves ask a person to do.
    async fn look_after(
        &mut self,
        evacuation: EvacuationId,
        moves: &[pb::Move],
        client: &mut EvacuationsClient<Channel>,
    ) {
        let held: Vec<(VmId, Option<Hold>)> = moves
            .iter()
            .filter(|one| one.state() == pb::MoveState::Held)
            .map(|one| {
                let hold = Hold::ALL.into_iter().find(|hold| hold.sentence() == one.held_because);
                (one.vm.parse().expect("a VM's id"), hold)
            })
            .collect();
        if held.is_empty() {
            return;
        }
        self.figures.helped += held.len() as u64;
        self.note(&format!("a person looks after {held:?}"));
        let mut cold_start_vms = Vec::new();
        for (vm, hold) in &held {
            match hold {
                Some(Hold::NotRunning) => self.start_by_hand(*vm).await,
                Some(Hold::NotOff) => self.shut_down_by_hand(*vm).await,
                Some(Hold::ColdStartNotAllowed | Hold::NoGoodDisk) => cold_start_vms.push(vm.to_string()),
                Some(_) | None => {}
            }
        }
        let request_id = Uuid::new_v5(&evacuation.0, &self.trace.now_ms().to_le_bytes()).to_string();
        let (evacuation, ordered_by) = (evacuation.to_string(), PERSON.to_owned());
        if !cold_start_vms.is_empty() {
            let request = pb::RecoverEvacuationRequest {
                request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, request_id.as_bytes()).to_string(),
                evacuation: evacuation.clone(),
                apply: true,
                cold_start_vms,
                ordered_by: ordered_by.clone(),
                wait_ms: COLD_START_WAIT_MS,
                ..pb::RecoverEvacuationRequest::default()
            };
            let recovering = async {
                let mut lines = client.recover_evacuation(request).await?.into_inner();
                while lines.message().await?.is_some() {}
                Ok::<(), tonic::Status>(())
            };
            match tokio::time::timeout(ANSWER_LONGEST, recovering).await {
                Ok(Ok(())) => {}
                answer => self.note(&format!("cold starts were not taken: {answer:?}")),
            }
        }
        let request = pb::RetryMovesRequest { request_id, evacuation, vms: Vec::new(), ordered_by };
        match tokio::time::timeout(ANSWER_LONGEST, client.retry_moves(request)).await {
            Ok(Ok(_)) => {}
            answer => self.note(&format!("the retry was not taken: {answer:?}")),
        }
    }

    async fn start_by_hand(&mut self, vm: VmId) {
        let truth = self.stage.truth_of(vm).await;
        let from = self.site(Side::From);
        let home = truth.places.iter().find(|place| place.site == from && place.stored == Stored::Real);
        if let Some(home) = home
            && truth.runs_on().is_empty()
        {
            let start = Fault::ByHand(home.site.clone(), home.host.clone(), vm, Deed::Start);
            // What can't be started is seen by the next look.
            let _ = self.stage.world.inject(start).await;
        }
    }

    /// Its host has booted, and what was off with it.
    pub(crate) async fn shut_down_by_hand(&mut self, vm: VmId) {
        for (site, host) in self.stage.truth_of(vm).await.runs_on() {
            // What can't be shut down is seen by the next look.
            let _ = self.stage.world.inject(Fault::ByHand(site, host, vm, Deed::ShutDown)).await;
        }
    }

    /// The orchestrator is gone: a recovery settles what had begun. Then it is back with its journal and goes on, or that is
    /// lost as well: what was never begun is closed by a recovery too, and another orchestrator begins with an empty one.
    async fn succeed(&mut self, succession: &Succession, ordered: &mut Ordered) -> Result<BTreeMap<VmId, End>, String> {
        if succession.with_journal {
            ordered.task.abort();
        }
        self.free_the_stubborn().await;
        self.evacuation = self.evacuation.or_else(|| self.journaled());
        let mut lines = BTreeMap::new();
        if let Some(evacuation) = self.evacuation {
            self.figures.recoveries += 1;
            let recovered = self.recovered(evacuation, false).await?;
            if succession.with_journal && recovered.is_some() {
                let undone = self.recovered(evacuation, true).await?;
                lines = undone.map(|undone| ends_of(&undone)).unwrap_or_default();
            }
        }
        self.succeeded = false;
        if succession.with_journal {
            self.stage.lose_journal();
            self.is_born(Process::Orchestrator).await;
            return Ok(lines);
        }
        self.is_born(Process::Orchestrator).await;
        self.until_finished(ordered).await
    }

    /// Runs `muster recover --apply` until it leaves nothing undone. None where the destination's ledger knows of nothing.
    async fn recovered(&mut self, evacuation: EvacuationId, undo: bool) -> Result<Option<Recovered>, String> {
        let mut last = String::new();
        for _ in 0..RECOVERIES_MAX {
            let links = self.links(false).await;
            let mut order = self.stage.recover_order(true);
            order.evacuation = Some(evacuation);
            order.wishes.undo = undo;
            self.allow_cold_starts(&links, &mut order, evacuation).await;
            match recover(&links.sites, &links.env, &order).await {
                Ok(recovered) if is_done(&recovered, undo) => return Ok(Some(recovered)),
                Ok(recovered) => {
                    let left = recovered.lines.iter().filter(|line| line.account() != Account::Settled);
                    let left: Vec<_> = left.map(|line| (line.entry.vm, line.decision, line.error.clone())).collect();
                    for (vm, decision, _) in &left {
                        match decision.step {
                            Step::Hold(Hold::NotRunning) => self.start_by_hand(*vm).await,
                            Step::Hold(Hold::NotOff) => self.shut_down_by_hand(*vm).await,
                            Step::Hold(_) | Step::ObserveFenced | Step::Act(_) | Step::Wait(_) | Step::Settled(_) => {}
                        }
                    }
                    last = format!("{left:#?}");
                }
                Err(RecoveryError::NoEvacuation { .. }) => return Ok(None),
                Err(error) => last = error.to_string(),
            }
            self.note(&format!("a recovery leaves something undone: {last}"));
            tokio::time::sleep(RECOVER_AGAIN_AFTER).await;
        }
        Err(format!("a recovery (undo: {undo}) never settles what had begun: {last}"))
    }

    /// What a person reads in the report of a recovery: which VMs need their word to be started from a disk.
    async fn allow_cold_starts(
        &mut self,
        links: &Links,
        order: &mut muster_recovery::recover::RecoverOrder,
        evacuation: EvacuationId,
    ) {
        let mut report = self.stage.recover_order(false);
        report.evacuation = Some(evacuation);
        let Ok(reported) = recover(&links.sites, &links.env, &report).await else { return };
        let wants = |hold: Step| matches!(hold, Step::Hold(Hold::ColdStartNotAllowed | Hold::NoGoodDisk));
        let lines = reported.lines.iter().filter(|line| wants(line.decision.step));
        order.wishes.cold_start = lines.map(|line| line.entry.vm).collect();
    }

    /// The evacuation that was ordered last, whoever heard of it.
    fn journaled(&self) -> Option<EvacuationId> {
        let is_order = |what: &What| matches!(what, What::Noted(what) if what.ends_with("is ordered"));
        self.trace.read(|entries| {
            let begun = entries.iter().rposition(|entry| is_order(&entry.what));
            entries[begun.unwrap_or_default()..].iter().find_map(|entry| match &entry.what {
                What::Journaled(_, record) => Some(record.evacuation),
                What::Wrote(..) | What::Called(_) | What::Answered(..) | What::Noted(_) => None,
            })
        })
    }

    /// A recovery of what is over finds nothing to do.
    pub(crate) async fn recover_again(&mut self) {
        let Some(evacuation) = self.evacuation else { return };
        let before = (self.stage.truth().await, self.changes());
        match self.recovered(evacuation, false).await {
            Ok(_) => {
                let after = (self.stage.truth().await, self.changes());
                if before != after {
                    let what =
                        format!("a recovery of what was settled changed something: {before:#?}\nthen {after:#?}");
                    self.is_wrong("idempotent", what);
                }
            }
            Err(why) => self.is_wrong("idempotent", why),
        }
    }

    /// How many changes the ledgers have written down, claims and floors aside.
    fn changes(&self) -> usize {
        let is_change = |what: &What| match what {
            What::Wrote(_, event) => !muster_tests::history::is_of_claims(&event.kind),
            What::Journaled(..) | What::Called(_) | What::Answered(..) | What::Noted(_) => false,
        };
        self.trace.read(|entries| entries.iter().filter(|entry| is_change(&entry.what)).count())
    }

    fn ends(&mut self, moves: &[pb::Move]) -> Result<BTreeMap<VmId, End>, String> {
        let mut ends = BTreeMap::new();
        for one in moves {
            let end = match one.state() {
                pb::MoveState::Migrated => End::Migrated,
                pb::MoveState::StayedAtSource => End::Stayed,
                state @ (pb::MoveState::Waiting
                | pb::MoveState::Moving
                | pb::MoveState::Held
                | pb::MoveState::Unspecified) => return Err(format!("finished, and {} is {state:?}", one.name)),
            };
            let vm = one.vm.parse().map_err(|error| format!("{}: {error}", one.vm))?;
            self.figures.attempts += u64::from(one.attempts);
            self.attempts.insert(vm, one.attempts);
            ends.insert(vm, end);
        }
        Ok(ends)
    }
}

/// Orders until the order is taken.
async fn repeat(
    mut client: EvacuationsClient<Channel>,
    request: pb::CreateEvacuationRequest,
    known: Arc<Mutex<(Option<EvacuationId>, String)>>,
) {
    loop {
        let answer = tokio::time::timeout(ANSWER_LONGEST, client.create_evacuation(request.clone())).await;
        let heard = match answer {
            Ok(Ok(made)) => (made.into_inner().evacuation.parse().ok(), String::new()),
            Ok(Err(status)) => (None, format!("the order is refused: {status:?}")),
            Err(_) => (None, "the order is not answered".to_owned()),
        };
        let is_taken = heard.0.is_some();
        *known.lock().unwrap_or_else(PoisonError::into_inner) = heard;
        if is_taken {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn shown(
    client: &mut EvacuationsClient<Channel>,
    evacuation: EvacuationId,
) -> Option<(pb::Evacuation, Vec<pb::Move>)> {
    let evacuation = evacuation.to_string();
    let asked = async {
        let shown = client.get_evacuation(pb::GetEvacuationRequest { evacuation: evacuation.clone() }).await?;
        // No fleet here has more VMs than a page.
        let request =
            pb::ListMovesRequest { evacuation, page_size: 1_000, page_token: String::new(), filter: String::new() };
        let moves = client.list_moves(request).await?.into_inner().moves;
        Ok::<_, tonic::Status>((shown.into_inner(), moves))
    };
    tokio::time::timeout(ANSWER_LONGEST, asked).await.ok()?.ok()
}

/// Nothing is left for a recovery: all is over, or was never begun and is not to be undone.
fn is_done(recovered: &Recovered, undo: bool) -> bool {
    let is_over = |step: Step| matches!(step, Step::Settled(_));
    let all_over = recovered.lines.iter().all(|line| is_over(line.decision.step));
    !recovered.claim_kept && if undo { all_over } else { recovered.is_settled() }
}

fn ends_of(recovered: &Recovered) -> BTreeMap<VmId, End> {
    let end = |step: Step| match step {
        Step::Settled(Outcome::Migrated) => Some(End::Migrated),
        Step::Settled(Outcome::StayedAtSource) => Some(End::Stayed),
        Step::ObserveFenced | Step::Act(_) | Step::Wait(_) | Step::Hold(_) => None,
    };
    recovered.lines.iter().filter_map(|line| Some((line.entry.vm, end(line.decision.step)?))).collect()
}

fn described(moves: &[pb::Move]) -> String {
    let open = |one: &&pb::Move| !matches!(one.state(), pb::MoveState::Migrated | pb::MoveState::StayedAtSource);
    let each = moves.iter().filter(open).map(|one| {
        format!(
            "{} ({}) is {:?}, {}, {}, last error {:?}",
            one.name,
            one.vm,
            one.state(),
            one.verdict,
            one.held_because,
            one.error
        )
    });
    each.collect::<Vec<_>>().join("\n")
}
