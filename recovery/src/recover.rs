//! Recovery without an orchestrator: the same loop, over every VM whose move had begun, from the workers alone.
//!
//! It only reports, unless it is told to apply. Applying claims the evacuation first, so that every other actor is fenced;
//! a claim with held VMs left stays, so that no orchestrator acts behind a person's back, until the next recovery of
//! the same name settles them, or somebody takes it over with a reason.

use crate::claim::{ClaimRequest, claim, release};
use crate::error::RecoveryError;
use crate::link::{Connection, SiteLink};
use crate::roll_call::{Account, RollCallLine, Wishes, roll_call};
use crate::settle::{Move, Opening, Scribe, Settled, Settler, TermsInForce};
use futures::StreamExt;
use muster_core::claim::{Fenced, Holder, HolderKind};
use muster_core::env::Env;
use muster_core::evidence::Outcome;
use muster_core::ids::{EvacuationId, HostName, RequestId, SiteName, VmId, VmName};
use muster_core::ledger::RollEntry;
use muster_core::runbook::Deadlines;
use muster_core::step::{Hold, Step};
use muster_core::terms::Terms;
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Sequence};
use muster_core::verdict::Verdict;
use muster_proto::convert::AssertFenced;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Most VMs settled at the same time.
pub const SETTLING_MAX: usize = 16;
/// Attempts that a recovery may add to those already made.
pub const FURTHER_ATTEMPTS: u32 = 3;
/// Wait before another attempt.
pub const ATTEMPT_WAIT: Duration = Duration::from_millis(500);
/// How long the feeds are waited for before settling begins; silence afterwards is silence.
pub const FEEDS_WAIT: Duration = Duration::from_secs(3);

/// The sites of a recovery.
#[derive(Clone)]
pub struct Sites {
    /// The destination, which keeps the evidence.
    pub destination: Arc<SiteLink>,
    /// The source; none if it is given up as lost.
    pub source: Option<Arc<SiteLink>>,
}

/// What a recovery is told to do.
#[derive(Debug, Clone)]
pub struct RecoverOrder {
    /// Which evacuation; none if there is only one.
    pub evacuation: Option<EvacuationId>,
    /// Act, instead of only reporting.
    pub apply: bool,
    /// How to decide.
    pub wishes: Wishes,
    /// Why the person is sure that the whole source can't run anything.
    pub source_fenced: Option<String>,
    /// Hosts that can't run anything, and why the person is sure.
    pub hosts_fenced: Vec<(HostName, String)>,
    /// Why another recovery's claim is taken over.
    pub take_over: Option<String>,
    /// By whose order.
    pub by: String,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// How a recovery goes, for whoever waits for it, and how the wait is ended.
#[derive(Debug, Default)]
pub struct Course {
    /// Ends it early: nothing new is sent, what the sites were told goes on there, and the roll is called.
    pub stop: CancellationToken,
    standing: Mutex<Standing>,
}

/// How far a recovery is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many VMs are settled one by one.
    pub total: usize,
    /// How many of them are over, held, or given up for now.
    pub ended: usize,
    /// Those under way.
    pub under_way: BTreeMap<VmId, VmName>,
}

impl Course {
    /// How far it is now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    fn begins(&self, total: usize) {
        *self.lock() = Standing { total, ..Standing::default() };
    }

    fn takes_up(&self, entry: &RollEntry) {
        self.lock().under_way.insert(entry.vm, entry.definition.name.clone());
    }

    fn ends(&self, vm: VmId) {
        let mut standing = self.lock();
        standing.under_way.remove(&vm);
        standing.ended += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Every VM of its roll.
    pub lines: Vec<RollCallLine>,
    /// The claim stays with this recovery, since VMs are still held.
    pub claim_kept: bool,
    /// The sites whose ledgers nobody confirms to be whole.
    pub unconfirmed: Vec<Unconfirmed>,
}

/// A ledger of which no other site says that it has seen no more than it holds: its newest entries could be lost, and what it
/// says is as of the newest one that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Whose it is.
    pub site: SiteName,
    /// When its newest entry was written; none where it has none.
    pub as_of: Option<Timestamp>,
}

impl Recovered {
    /// How many VMs have which verdict, by its name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.lines {
            *counts.entry(line.decision.verdict.name()).or_default() += 1;
        }
        counts
    }

    /// Whether every VM is accounted for and nothing is left to be done for any.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lines.iter().all(|line| line.account() == Account::Settled)
    }
}

/// Recovers an evacuation, or reports on it.
///
/// # Errors
/// The destination doesn't answer, the claim is somebody else's, or the order can't be carried out.
pub async fn recover(sites: &Sites, env: &Arc<dyn Env>, order: &RecoverOrder) -> Result<Recovered, RecoveryError> {
    recover_on_course(sites, env, order, &Course::default()).await
}

/// The same, for somebody who waits for it: `course` tells how far it is, and ends it early.
///
/// # Errors
/// As [`recover`].
pub async fn recover_on_course(
    sites: &Sites,
    env: &Arc<dyn Env>,
    order: &RecoverOrder,
    course: &Course,
) -> Result<Recovered, RecoveryError> {
    let asserts = order.source_fenced.is_some() || !order.hosts_fenced.is_empty();
    if asserts && !order.apply {
        return Err(RecoveryError::Refused {
            what: "an assertion is durable, so a report doesn't take one".to_owned(),
            mend: "add --apply, or leave the assertion out".to_owned(),
        });
    }
    let unconfirmed = unconfirmed(&sites.destination, sites.source.as_deref()).await?;
    let evacuation = find(&sites.destination, order.evacuation).await?;
    let roll = sites.destination.roll(evacuation).await?;
    if roll.is_empty() {
        return Err(RecoveryError::NoEvacuation { evacuation: Some(evacuation) });
    }
    let source = sites.source.as_deref();
    let mut claim_kept = false;
    let mut errors = BTreeMap::new();
    if order.apply {
        let vms: Vec<VmId> = roll.keys().copied().collect();
        let holder = Holder::new(&order.by, HolderKind::Recovery);
        let request = ClaimRequest { evacuation, holder, vms: &vms, take_over: order.take_over.clone() };
        let epoch = claim(&sites.destination, source, env.as_ref(), &request).await?;
        assert_fenced(&sites.destination, env.as_ref(), evacuation, order).await?;
        let claims = sites.destination.claims(evacuation).await?;
        let before = roll_call(&sites.destination, source, &roll, &claims, &order.wishes).await;
        errors = settle_all(sites, env, order, evacuation, epoch, before, course).await;
        claim_kept = errors.values().any(End::keeps_claim);
        if !claim_kept {
            release(&sites.destination, env.as_ref(), evacuation, epoch).await?;
        }
    }
    let claims = sites.destination.claims(evacuation).await?;
    let mut lines = roll_call(&sites.destination, source, &roll, &claims, &order.wishes).await;
    for line in &mut lines {
        if let Some(end) = errors.remove(&line.entry.vm) {
            end.add_to(line);
        }
    }
    Ok(Recovered { evacuation, lines, claim_kept, unconfirmed })
}

/// The ledgers of these sites that no other site confirms to be whole. The destination has to answer; a source that doesn't says
/// nothing anyway.
///
/// # Errors
/// The destination doesn't answer.
pub async fn unconfirmed(destination: &SiteLink, source: Option<&SiteLink>) -> Result<Vec<Unconfirmed>, RecoveryError> {
    let mut statuses = vec![destination.status().await?];
    if let Some(source) = source {
        statuses.extend(source.status().await.ok());
    }
    let lonely = statuses.into_iter().filter(|status| status.confirmed_by.is_empty());
    Ok(lonely.map(|status| Unconfirmed { site: status.site, as_of: status.newest_entry_at }).collect())
}

async fn find(destination: &SiteLink, wanted: Option<EvacuationId>) -> Result<EvacuationId, RecoveryError> {
    let known = destination.evacuations().await?;
    let ids: Vec<EvacuationId> = known.iter().map(|one| one.evacuation).collect();
    match (wanted, ids.as_slice()) {
        (Some(wanted), ids) if ids.contains(&wanted) => Ok(wanted),
        (Some(wanted), _) => Err(RecoveryError::NoEvacuation { evacuation: Some(wanted) }),
        (None, [only]) => Ok(*only),
        (None, []) => Err(RecoveryError::NoEvacuation { evacuation: None }),
        (None, several) => {
            let listed: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(RecoveryError::Refused {
                what: format!("the destination knows several evacuations: {}", listed.join(", ")),
                mend: "name the one that is meant".to_owned(),
            })
        }
    }
}

async fn assert_fenced(
    destination: &SiteLink,
    env: &dyn Env,
    evacuation: EvacuationId,
    order: &RecoverOrder,
) -> Result<(), RecoveryError> {
    let source = order.source_fenced.iter().map(|reason| (Fenced::Source, reason));
    let hosts = order.hosts_fenced.iter().map(|(host, reason)| (Fenced::Host(host.clone()), reason));
    for (fenced, reason) in source.chain(hosts) {
        let request = RequestId(env.new_id());
        let (reason, by) = (reason.clone(), order.by.clone());
        destination.assert_fenced(AssertFenced { request, evacuation, fenced, reason, by }).await?;
    }
    Ok(())
}

/// How settling one VM ended, as far as the last roll call wouldn't show it by itself.
enum End {
    Held(Hold, Option<String>),
    Failed(String),
    /// It was told to stop.
    Stopped,
}

impl End {
    /// While something is left for the person who recovers, no orchestrator is to act behind their back.
    fn keeps_claim(&self) -> bool {
        match self {
            End::Held(..) | End::Stopped => true,
            End::Failed(_) => false,
        }
    }

    fn add_to(self, line: &mut RollCallLine) {
        match self {
            End::Held(hold, error) => {
                line.error = error;
                // Found by settling only: a look sees a step that could be taken, not that it keeps failing.
                if matches!(hold, Hold::StepFails | Hold::Overdue | Hold::NotReady | Hold::HandsOffFails) {
                    line.decision.step = Step::Hold(hold);
                }
            }
            End::Failed(error) => line.error = Some(error),
            End::Stopped => line.error = Some("it was not waited for any longer; recover again".to_owned()),
        }
    }
}

async fn settle_all(
    sites: &Sites,
    env: &Arc<dyn Env>,
    order: &RecoverOrder,
    evacuation: EvacuationId,
    epoch: Epoch,
    lines: Vec<RollCallLine>,
    course: &Course,
) -> BTreeMap<VmId, End> {
    wait_for_feeds(sites).await;
    let settler = Settler {
        evacuation,
        source: sites.source.clone(),
        destination: Arc::clone(&sites.destination),
        epoch,
        scribe: Scribe::new(None, evacuation, &order.by, Arc::clone(env)),
        env: Arc::clone(env),
        terms: TermsInForce::common(Terms::within(order.deadlines)),
    };
    let begun: Vec<RollCallLine> = lines.into_iter().filter(|line| needs_settling(order, line)).collect();
    course.begins(begun.len());
    let settler = &settler;
    futures::stream::iter(begun)
        .map(|line| async move {
            let vm = line.entry.vm;
            course.takes_up(&line.entry);
            let end = settle_one(settler, order, line, &course.stop).await;
            course.ends(vm);
            end
        })
        .buffer_unordered(SETTLING_MAX)
        .filter_map(|end| async move { end })
        .collect()
        .await
}

/// What was never begun stays on the roll for whoever runs the evacuation on, unless it is to be undone or brought up.
fn needs_settling(order: &RecoverOrder, line: &RollCallLine) -> bool {
    let never_begun = line.decision.verdict == Verdict::NotStarted;
    let is_over = matches!(line.decision.step, Step::Settled(_));
    !is_over && (!never_begun || order.wishes.undo || order.wishes.cold_start.contains(&line.entry.vm))
}

async fn settle_one(
    settler: &Settler,
    order: &RecoverOrder,
    line: RollCallLine,
    stop: &CancellationToken,
) -> Option<(VmId, End)> {
    let vm = line.entry.vm;
    let mut subject = Move {
        vm,
        order: order.wishes.order(&line.entry, &line.readings.destination),
        destination_host: line.entry.destination_host.clone(),
        opening: Opening::Once,
        sequence: Sequence(0),
        is_fenced: false,
        auto_converge: false,
    };
    for _ in 0..=FURTHER_ATTEMPTS {
        match settler.settle(&mut subject, stop).await {
            Settled::Over { outcome: Outcome::Migrated | Outcome::StayedAtSource, .. } => return None,
            Settled::Held { hold, error, .. } => return Some((vm, End::Held(hold, error))),
            Settled::BetweenAttempts { .. } => {
                tokio::time::sleep(ATTEMPT_WAIT).await;
                subject.opening = Opening::Once;
                subject.order.refused = None;
            }
            Settled::Superseded => {
                return Some((vm, End::Failed("somebody else has claimed the evacuation meanwhile".to_owned())));
            }
            Settled::Stopped => return Some((vm, End::Stopped)),
        }
    }
    Some((vm, End::Failed("its attempts are used up; run recover again, or with --undo".to_owned())))
}

async fn wait_for_feeds(sites: &Sites) {
    let links = sites.source.iter().chain(std::iter::once(&sites.destination));
    let up = links.map(|link| {
        let mut changes = link.feed().changes();
        async move { while link.feed().connection() != Connection::Up && changes.recv().await.is_ok() {} }
    });
    let _ = tokio::time::timeout(FEEDS_WAIT, futures::future::join_all(up)).await;
}
