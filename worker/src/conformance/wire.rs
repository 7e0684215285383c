//! Calls to a site. Every answer is validated as the orchestrator validates it, and kept with what was sent.

use super::report::Exchange;
use super::{BUSY_TRIES_MAX, CALL_DEADLINE, COMMAND_DEADLINE, EXCHANGES_MAX, LOOK_EVERY};
use muster_core::claim::Claims;
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, RequestId, SiteName, TEXT_MAX_BYTES, VmId, clip};
use muster_core::ledger::RollEntry;
use muster_core::reading::{Inventory, SiteReading};
use muster_core::step::Side;
use muster_core::token::Epoch;
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, InvalidMessage, LedgerLine,
    Ledgers, Observe, PathProof, ProvePath, ReleaseClaim, SiteCommand, SiteFailure, SiteNews, SiteStatus, SurveyEntry,
    SurveyOrder, VmAnswer, VmToken, WriteRoll, add_to_inventory, evacuations,
};
use muster_proto::limits::PAGE_MAX;
use muster_proto::status::{Fault, TRANSPORT};
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use std::fmt::{self, Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How a case ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// A promise is broken.
    Broken(String),
    /// What it needs is not there.
    NotChecked(String),
}

/// What a case sees.
pub(super) type Seen<T = ()> = Result<T, End>;

/// That something holds; otherwise what was seen instead.
pub(super) fn hold(holds: bool, broken: &str, seen: &dyn Debug) -> Seen {
    if holds { Ok(()) } else { Err(End::Broken(clip(&format!("{broken}: {}", shown(seen))))) }
}

/// A failure, of a call or of one VM in it.
pub(super) type Refused = SiteFailure;

/// What was sent and what came, of the case that runs.
#[derive(Default)]
pub(super) struct Log {
    kept: Mutex<(Vec<Exchange>, usize)>,
}

impl Log {
    pub(super) fn add(&self, sent: &str, came: &dyn Debug) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.len() < EXCHANGES_MAX {
            kept.0.push(Exchange { sent: clip(sent), came: shown(came) });
        } else {
            kept.1 += 1;
        }
    }

    /// What was kept since this was last asked, and how many more exchanges there were.
    pub(super) fn take(&self) -> (Vec<Exchange>, usize) {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// As much of it as is kept; what is longer is not even put into words.
fn shown(came: &dyn Debug) -> String {
    let mut beginning = Beginning(String::new());
    // It ends with an error once there is enough.
    let _is_cut = write!(beginning, "{came:?}");
    clip(&beginning.0)
}

/// The beginning of a text.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.0.push_str(more);
        if self.0.len() > TEXT_MAX_BYTES { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A site as the suite reaches it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) name: SiteName,
    pub(super) client: SiteClient<Channel>,
    /// As another site's worker reaches it.
    pub(super) as_worker: SiteClient<Channel>,
    pub(super) log: Arc<Log>,
}

impl Wire {
    /// Something that is no call and should stand among them.
    pub(super) fn note(&self, what: &str) {
        self.log.add("(note)", &what);
    }

    /// One call. What the transport makes of it is no answer, and so breaks the case.
    async fn call<T: Debug>(
        &self,
        sent: String,
        deadline: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Seen<Result<T, Refused>> {
        let answer = tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(format!("no answer within {} ms", deadline.as_millis())))
        });
        let sent = format!("{}: {sent}", self.name);
        match answer {
            Ok(answer) => {
                self.log.add(&sent, &answer);
                Ok(Ok(answer))
            }
            Err(status) => {
                let fault = Fault::from(&status);
                self.log.add(&sent, &fault);
                if fault.reason == TRANSPORT {
                    let what =
                        format!("{sent}: a status that isn't the site's own (no ErrorInfo of domain \"muster\")");
                    return Err(End::Broken(clip(&format!("{what}: {}", fault.message))));
                }
                Ok(Err(fault.into()))
            }
        }
    }

    async fn must<T: Debug>(
        &self,
        sent: &str,
        deadline: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Seen<T> {
        let answer = self.call(sent.to_owned(), deadline, call).await?;
        answer.map_err(|failure| End::Broken(clip(&format!("{sent}: refused: {failure}"))))
    }

    fn read<T>(&self, sent: &str, read: Result<T, InvalidMessage>) -> Seen<T> {
        read.map_err(|invalid| {
            End::Broken(clip(&format!("{sent}: the answer of {} can't be read: {invalid}", self.name)))
        })
    }

    pub(super) async fn status(&self) -> Seen<SiteStatus> {
        let mut client = self.client.clone();
        let call = async { Ok(client.get_site(wire::GetSiteRequest {}).await?.into_inner()) };
        let answer = self.must("GetSite", CALL_DEADLINE, call).await?;
        self.read("GetSite", answer.try_into())
    }

    pub(super) async fn inventory(&self) -> Seen<Inventory> {
        let mut client = self.client.clone();
        let call = async { all(client.list_inventory(wire::ListInventoryRequest {}).await?.into_inner()).await };
        let mut inventory = Inventory::default();
        for item in self.must("ListInventory", COMMAND_DEADLINE, call).await? {
            self.read("ListInventory", add_to_inventory(&mut inventory, item))?;
        }
        Ok(inventory)
    }

    pub(super) async fn survey(&self, order: SurveyOrder) -> Seen<Vec<SurveyEntry>> {
        let (sent, mut client) = (format!("Survey {order:?}"), self.client.clone());
        let request = wire::SurveyRequest::from(order);
        let call = async { all(client.survey(request).await?.into_inner()).await };
        let items = self.must(&sent, COMMAND_DEADLINE, call).await?;
        items.into_iter().map(|item| self.read("Survey", item.try_into())).collect()
    }

    pub(super) async fn evacuations(&self) -> Seen<Vec<EvacuationClaims>> {
        let mut client = self.client.clone();
        let call = async { Ok(client.list_evacuations(wire::ListEvacuationsRequest {}).await?.into_inner()) };
        let answer = self.must("ListEvacuations", CALL_DEADLINE, call).await?;
        self.read("ListEvacuations", evacuations(answer))
    }

    /// An evacuation's claims; those of an unknown one are empty.
    pub(super) async fn claims(&self, evacuation: EvacuationId) -> Seen<Claims> {
        let all = self.evacuations().await?;
        Ok(all.into_iter().find(|one| one.evacuation == evacuation).map(|one| one.claims).unwrap_or_default())
    }

    pub(super) async fn roll(&self, evacuation: EvacuationId) -> Seen<Vec<RollEntry>> {
        let (sent, mut client) = (format!("ListRoll {evacuation}"), self.client.clone());
        let request = wire::ListRollRequest { evacuation: evacuation.to_string() };
        let call = async { all(client.list_roll(request).await?.into_inner()).await };
        let entries = self.must(&sent, CALL_DEADLINE, call).await?;
        entries.into_iter().map(|entry| self.read("ListRoll", entry.try_into())).collect()
    }

    pub(super) async fn greatest_epoch(&self, evacuation: EvacuationId, vms: Vec<VmId>) -> Seen<Epoch> {
        let (sent, mut client) = (format!("GetGreatestEpoch {evacuation} {vms:?}"), self.client.clone());
        let request = wire::GetGreatestEpochRequest::from(GreatestEpoch { evacuation, vms });
        let call = async { Ok(client.get_greatest_epoch(request).await?.into_inner()) };
        Ok(Epoch(self.must(&sent, CALL_DEADLINE, call).await?.epoch))
    }

    pub(super) async fn claim(&self, claim: ClaimEvacuation) -> Seen<Result<Claims, Refused>> {
        let (sent, mut client) = (format!("ClaimEvacuation {claim:?}"), self.client.clone());
        let request = wire::ClaimEvacuationRequest::from(claim);
        let call = async { Ok(client.claim_evacuation(request).await?.into_inner()) };
        let answer = self.call(sent, CALL_DEADLINE, call).await?;
        self.claims_of(answer)
    }

    pub(super) async fn release(&self, release: ReleaseClaim) -> Seen<Result<Claims, Refused>> {
        let (sent, mut client) = (format!("ReleaseClaim {release:?}"), self.client.clone());
        let request = wire::ReleaseClaimRequest::from(release);
        let call = async { Ok(client.release_claim(request).await?.into_inner()) };
        let answer = self.call(sent, CALL_DEADLINE, call).await?;
        self.claims_of(answer)
    }

    pub(super) async fn assert_fenced(&self, assertion: AssertFenced) -> Seen<Result<Claims, Refused>> {
        let (sent, mut client) = (format!("AssertFenced {assertion:?}"), self.client.clone());
        let request = wire::AssertFencedRequest::from(assertion);
        let call = async { Ok(client.assert_fenced(request).await?.into_inner()) };
        let answer = self.call(sent, CALL_DEADLINE, call).await?;
        self.claims_of(answer)
    }

    fn claims_of(&self, answer: Result<wire::Claims, Refused>) -> Seen<Result<Claims, Refused>> {
        match answer {
            Ok(claims) => Ok(Ok(self.read("Claims", EvacuationClaims::try_from(claims))?.claims)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// The VMs that were refused.
    pub(super) async fn write_roll(
        &self,
        request: RequestId,
        side: Side,
        epoch: Epoch,
        entries: Vec<RollEntry>,
    ) -> Seen<Vec<VmAnswer>> {
        let write = WriteRoll { request, side, epoch, entries };
        let (sent, mut client) = (format!("WriteRoll {write:?}"), self.client.clone());
        let request = wire::WriteRollRequest::from(write);
        let call = async { Ok(client.write_roll(request).await?.into_inner()) };
        let answer = self.must(&sent, CALL_DEADLINE, call).await?;
        answer.refused.into_iter().map(|refused| self.read("WriteRoll", refused.try_into())).collect()
    }

    pub(super) async fn observe(&self, evacuation: EvacuationId, vms: Vec<VmToken>) -> Seen<Vec<VmAnswer>> {
        let observe = Observe { evacuation, vms };
        let (sent, mut client) = (format!("Observe {observe:?}"), self.client.clone());
        let request = wire::ObserveRequest::from(observe);
        let call = async { all(client.observe(request).await?.into_inner()).await };
        let answers = self.must(&sent, COMMAND_DEADLINE, call).await?;
        answers.into_iter().map(|answer| self.read("Observe", answer.try_into())).collect()
    }

    /// One VM's observation.
    pub(super) async fn observe_one(
        &self,
        evacuation: EvacuationId,
        item: VmToken,
    ) -> Seen<Result<SiteReading, Refused>> {
        let answers = self.observe(evacuation, vec![item]).await?;
        only(item.vm, answers)
    }

    /// One VM's reading, unfenced.
    pub(super) async fn reading(&self, evacuation: EvacuationId, vm: VmId) -> Seen<SiteReading> {
        let observed = self.observe_one(evacuation, VmToken { vm, token: None }).await?;
        observed.map_err(|failure| End::Broken(clip(&format!("VM {vm} can't be observed: {failure}"))))
    }

    pub(super) async fn execute(
        &self,
        request: RequestId,
        evacuation: EvacuationId,
        commands: Vec<SiteCommand>,
    ) -> Seen<Vec<VmAnswer>> {
        let execute = Execute { request, evacuation, commands };
        let (sent, mut client) = (format!("Execute {execute:?}"), self.client.clone());
        let request = wire::ExecuteRequest::from(execute);
        let call = async { all(client.execute(request).await?.into_inner()).await };
        let answers = self.must(&sent, COMMAND_DEADLINE, call).await?;
        answers.into_iter().map(|answer| self.read("Execute", answer.try_into())).collect()
    }

    /// One command. Where the site is at work with its VM already, which it may be by itself, it is sent again.
    pub(super) async fn execute_one(
        &self,
        request: RequestId,
        evacuation: EvacuationId,
        command: SiteCommand,
    ) -> Seen<Result<SiteReading, Refused>> {
        let vm = command.vm;
        again_while_busy(vm, async || only(vm, self.execute(request, evacuation, vec![command.clone()]).await?)).await
    }

    /// A commit, sent again like a command.
    pub(super) async fn commit_arrival(&self, commit: CommitArrival) -> Seen<Result<SiteReading, Refused>> {
        let vm = commit.vm;
        again_while_busy(vm, async || {
            let (sent, mut client) = (format!("CommitArrival {commit:?}"), self.as_worker.clone());
            let request = wire::CommitArrivalRequest::from(commit.clone());
            let call = async { Ok(client.commit_arrival(request).await?.into_inner()) };
            match self.call(sent, COMMAND_DEADLINE, call).await? {
                Ok(outcome) => only(vm, vec![self.read("CommitArrival", outcome.try_into())?]),
                Err(failure) => Ok(Err(failure)),
            }
        })
        .await
    }

    pub(super) async fn prove_path(&self, nonce: &str, from: &SiteName) -> Seen<PathProof> {
        // Without a word of ledgers: the site is to remember nothing of a site that isn't there.
        let prove = ProvePath { nonce: nonce.to_owned(), source_site: from.clone(), ledgers: Ledgers::default() };
        let (sent, mut client) = (format!("ProvePath {prove:?}"), self.as_worker.clone());
        let request = wire::ProvePathRequest::from(prove);
        let call = async { Ok(client.prove_path(request).await?.into_inner()) };
        let answer = self.must(&sent, CALL_DEADLINE, call).await?;
        self.read("ProvePath", answer.try_into())
    }

    /// A page of the history, and how far it reaches.
    pub(super) async fn page(&self, after: u64, page_size: u32, event: &str) -> Seen<(Vec<LedgerLine>, u64)> {
        let request = wire::ListEventsRequest { after_sequence: after, page_size, event: event.to_owned() };
        let (sent, mut client) = (format!("ListEvents {request:?}"), self.client.clone());
        let call = async { Ok(client.list_events(request).await?.into_inner()) };
        let answer = self.must(&sent, CALL_DEADLINE, call).await?;
        let lines = answer.lines.into_iter().map(|line| self.read("ListEvents", line.try_into()));
        Ok((lines.collect::<Seen<_>>()?, answer.read_to_sequence))
    }

    /// The history after a sequence number, in pages of this size.
    pub(super) async fn history(&self, after: u64, page_size: u32, event: &str) -> Seen<Vec<LedgerLine>> {
        let (mut after, mut history) = (after, Vec::new());
        loop {
            let (lines, read_to) = self.page(after, page_size, event).await?;
            history.extend(lines);
            if read_to <= after {
                return Ok(history);
            }
            after = read_to;
        }
    }

    /// The lines about a VM after a sequence number.
    pub(super) async fn lines_of(&self, vm: VmId, after: u64) -> Seen<Vec<LedgerLine>> {
        let mut lines = self.history(after, PAGE_MAX, "").await?;
        lines.retain(|line| line.vm == Some(vm));
        Ok(lines)
    }

    pub(super) async fn watch(&self, after_sequence: u64) -> Seen<Watching> {
        let (sent, mut client) = (format!("Watch {after_sequence}"), self.client.clone());
        let call = async { Ok(client.watch(wire::WatchRequest { after_sequence }).await?.into_inner()) };
        let stream = self.must(&sent, CALL_DEADLINE, call).await?;
        Ok(Watching { wire: self.clone(), stream })
    }
}

/// A site that is watched.
pub(super) struct Watching {
    wire: Wire,
    stream: Streaming<wire::SiteEvent>,
}

impl Watching {
    /// The next piece of news, waited for no longer than this.
    pub(super) async fn next(&mut self, deadline: Duration) -> Seen<SiteNews> {
        let stream = &mut self.stream;
        let call = async { stream.message().await?.ok_or_else(|| Status::unavailable("the watch has ended")) };
        let event = self.wire.must("(watching)", deadline, call).await?;
        self.wire.read("Watch", event.try_into())
    }
}

async fn all<T>(mut stream: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut items = Vec::new();
    while let Some(item) = stream.message().await? {
        items.push(item);
    }
    Ok(items)
}

/// Sends something again, as long as its VM is busy.
async fn again_while_busy(
    vm: VmId,
    send: impl AsyncFn() -> Seen<Result<SiteReading, Refused>>,
) -> Seen<Result<SiteReading, Refused>> {
    for _ in 0..BUSY_TRIES_MAX {
        match send().await? {
            Err(failure) if is_busy(&failure) => tokio::time::sleep(LOOK_EVERY).await,
            outcome => return Ok(outcome),
        }
    }
    Err(End::Broken(format!("VM {vm}: it stays BUSY")))
}

/// Whether nothing happened because something else is under way.
pub(super) fn is_busy(failure: &Refused) -> bool {
    failure.class == Class::Retry && failure.reason == "BUSY"
}

/// The one answer, about this VM.
pub(super) fn only(vm: VmId, answers: Vec<VmAnswer>) -> Seen<Result<SiteReading, Refused>> {
    match <[VmAnswer; 1]>::try_from(answers) {
        Ok([answer]) if answer.vm == vm => Ok(answer.result),
        Ok(answers) => {
            Err(End::Broken(clip(&format!("VM {vm} was asked about, and another answered for: {answers:?}"))))
        }
        Err(answers) => {
            Err(End::Broken(clip(&format!("VM {vm} was asked about once, and {} answers came", answers.len()))))
        }
    }
}
