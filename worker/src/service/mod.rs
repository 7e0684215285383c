//! The gRPC face of a site: `muster.worker.v1` over [`Site`].
//!
//! It validates what comes in, calls the site, and puts its answers into messages. It decides nothing and keeps nothing
//! but the answers to recent claims ([`recent`]). A caller that goes away cuts no mutation short: those run in tasks
//! of the site's own. Of a batch, what was not begun by then is not begun.
//!
//! Every mutating call carries a request id. Commands are idempotent by their tokens, the roll by its contents; claims,
//! releases and assertions by [`recent`].

mod guard;
pub mod permission;
mod recent;
mod serve;
mod words;

pub use muster_proto::serve::ServeError;
pub use recent::RECENT_MAX;
pub use serve::{router, serve};

use crate::error::SiteError;
use crate::site::Site;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, RequestId, VmId, clip};
use muster_core::ledger::command::{Caller, EvacuationOrder};
use muster_core::party::Party;
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, InvalidMessage, Observe,
    PathProof, Problem, ProvePath, ReleaseClaim, SiteFailure, SiteStatus, SurveyOrder, VmAnswer, VmToken, WriteRoll,
    inventory_items,
};
use muster_proto::limits::{EVACUATIONS_MAX, PAGE_MAX};
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_server;
use muster_proto::{status, tls};
use recent::Recent;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Most commands of one request that are carried out at once.
pub const COMMANDS_AT_ONCE_MAX: usize = 64;

/// Most pages of the history that are gone through for one page of events of one name.
pub const EVENT_PAGES_READ_MAX: usize = 16;

/// Most VMs of one request that are observed at once.
pub const OBSERVATIONS_AT_ONCE_MAX: usize = 32;

/// The service over one site. Streams that never end by themselves end with `shutdown`.
pub struct SiteService {
    site: Arc<Site>,
    recent: Arc<Recent>,
    shutdown: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl SiteService {
    /// The service over this site.
    #[must_use]
    pub fn new(site: Arc<Site>, shutdown: CancellationToken) -> Self {
        SiteService { site, recent: Arc::default(), shutdown }
    }

    /// An order on an evacuation, or its first answer again. In a task of its own, so that a caller that goes away
    /// can't part what was written from what is remembered of it.
    async fn order(
        &self,
        request: RequestId,
        evacuation: EvacuationId,
        order: EvacuationOrder,
        caller: Caller,
    ) -> Answer<wire::Claims> {
        let (site, recent) = (Arc::clone(&self.site), Arc::clone(&self.recent));
        let task = tokio::spawn(async move { recent.order(&site, request, evacuation, order, caller).await });
        let answered = task.await.map_err(|_| died())?;
        let claims = answered.map_err(|error| refused(&error))?;
        Ok(Response::new(EvacuationClaims { evacuation, claims }.into()))
    }
}

#[tonic::async_trait]
impl site_server::Site for SiteService {
    type ListInventoryStream = Messages<wire::InventoryItem>;
    type SurveyStream = Messages<wire::SurveyItem>;
    type ListRollStream = Messages<wire::RollEntry>;
    type ObserveStream = Messages<wire::Observation>;
    type ExecuteStream = Messages<wire::CommandOutcome>;
    type WatchStream = Messages<wire::SiteEvent>;

    async fn get_site(&self, _request: Request<wire::GetSiteRequest>) -> Answer<wire::GetSiteResponse> {
        // What can't be read is left out: the status has to come whatever the ledger's state.
        let ledger = self.site.high_water().await.ok();
        let status = SiteStatus {
            site: self.site.name().clone(),
            working: self.site.working().into_result(),
            now: self.site.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            newest_sequence: self.site.newest_sequence(),
            newest_entry_at: ledger.filter(|ledger| ledger.sequence > 0).map(|ledger| ledger.at),
            rebuilt_at: ledger.and_then(|ledger| ledger.rebuilt_at),
            confirmed_by: self.site.confirmed_by().into_iter().collect(),
        };
        Ok(Response::new(status.into()))
    }

    async fn list_inventory(&self, _request: Request<wire::ListInventoryRequest>) -> Answer<Self::ListInventoryStream> {
        let inventory = self.site.inventory().await.map_err(|error| refused(&error))?;
        Ok(Response::new(stream::iter(inventory_items(inventory)).map(Ok).boxed()))
    }

    async fn survey(&self, request: Request<wire::SurveyRequest>) -> Answer<Self::SurveyStream> {
        let order = SurveyOrder::try_from(request.into_inner())?;
        let entries = self.site.survey(order).await.map_err(|error| refused(&error))?;
        Ok(Response::new(stream::iter(entries).map(|entry| Ok(entry.into())).boxed()))
    }

    async fn list_evacuations(
        &self,
        _request: Request<wire::ListEvacuationsRequest>,
    ) -> Answer<wire::ListEvacuationsResponse> {
        let known = self.site.evacuations().await.map_err(|error| refused(&error))?;
        if known.len() > EVACUATIONS_MAX {
            let message =
                format!("this ledger knows {} evacuations, at most {EVACUATIONS_MAX} can be listed", known.len());
            return Err(status::status(Class::Refused, "TOO_MANY_EVACUATIONS", &message));
        }
        let evacuations = known
            .into_iter()
            .map(|known| EvacuationClaims { evacuation: known.evacuation, claims: known.claims }.into())
            .collect();
        Ok(Response::new(wire::ListEvacuationsResponse { evacuations }))
    }

    async fn list_roll(&self, request: Request<wire::ListRollRequest>) -> Answer<Self::ListRollStream> {
        let evacuation = words::parsed("evacuation", &request.into_inner().evacuation)?;
        let site = Arc::clone(&self.site);
        let pages = stream::try_unfold(None, move |after: Option<VmId>| {
            let site = Arc::clone(&site);
            async move {
                let page = site.roll(evacuation, after).await.map_err(|error| refused(&error))?;
                let Some(last) = page.last().map(|entry| entry.vm) else { return Ok(None) };
                let entries = page.into_iter().map(|entry| Ok(wire::RollEntry::from(entry)));
                Ok::<_, Status>(Some((stream::iter(entries.collect::<Vec<_>>()), Some(last))))
            }
        });
        Ok(Response::new(pages.try_flatten().boxed()))
    }

    async fn get_greatest_epoch(
        &self,
        request: Request<wire::GetGreatestEpochRequest>,
    ) -> Answer<wire::GetGreatestEpochResponse> {
        let GreatestEpoch { evacuation, vms } = request.into_inner().try_into()?;
        let epoch = self.site.greatest_epoch(evacuation, &vms).await.map_err(|error| refused(&error))?;
        Ok(Response::new(wire::GetGreatestEpochResponse { epoch: epoch.0 }))
    }

    async fn claim_evacuation(&self, request: Request<wire::ClaimEvacuationRequest>) -> Answer<wire::Claims> {
        let (caller, message) = called(request);
        let claim = ClaimEvacuation::try_from(message)?;
        self.order(claim.request, claim.evacuation, claim.order(), caller).await
    }

    async fn release_claim(&self, request: Request<wire::ReleaseClaimRequest>) -> Answer<wire::Claims> {
        let (caller, message) = called(request);
        let release = ReleaseClaim::try_from(message)?;
        self.order(release.request, release.evacuation, release.order(), caller).await
    }

    async fn assert_fenced(&self, request: Request<wire::AssertFencedRequest>) -> Answer<wire::Claims> {
        let (caller, message) = called(request);
        let assertion = AssertFenced::try_from(message)?;
        self.order(assertion.request, assertion.evacuation, assertion.order(), caller).await
    }

    async fn write_roll(&self, request: Request<wire::WriteRollRequest>) -> Answer<wire::WriteRollResponse> {
        let (caller, message) = called(request);
        let WriteRoll { side, epoch, entries, .. } = message.try_into()?;
        let refusals = self.site.write_roll(side, epoch, entries, &caller).await.map_err(|error| refused(&error))?;
        let refused = refusals
            .into_iter()
            .map(|(vm, refusal)| VmAnswer { vm, result: Err(SiteFailure::from(&refusal)) }.into())
            .collect();
        Ok(Response::new(wire::WriteRollResponse { refused }))
    }

    async fn observe(&self, request: Request<wire::ObserveRequest>) -> Answer<Self::ObserveStream> {
        let (caller, message) = called(request);
        let Observe { evacuation, vms } = message.try_into()?;
        let site = Arc::clone(&self.site);
        let observe = move |VmToken { vm, token }| {
            let (site, caller) = (Arc::clone(&site), caller.clone());
            async move { Ok(answer(vm, site.observe(evacuation, vm, token, caller).await).into()) }
        };
        Ok(Response::new(stream::iter(vms).map(observe).buffered(OBSERVATIONS_AT_ONCE_MAX).boxed()))
    }

    async fn execute(&self, request: Request<wire::ExecuteRequest>) -> Answer<Self::ExecuteStream> {
        let (caller, message) = called(request);
        let Execute { evacuation, commands, .. } = message.try_into()?;
        let site = Arc::clone(&self.site);
        let execute = move |command: muster_proto::convert::SiteCommand| {
            let (site, caller, vm) = (Arc::clone(&site), caller.clone(), command.vm);
            async move { Ok(answer(vm, site.execute(evacuation, command, caller).await).into()) }.boxed()
        };
        Ok(Response::new(stream::iter(commands).map(execute).buffer_unordered(COMMANDS_AT_ONCE_MAX).boxed()))
    }

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        let news = self.site.watch(request.into_inner().after_sequence);
        let messages = news.map(|piece| match piece {
            Ok((sequence, news)) => Ok(words::site_event(sequence, news)),
            Err(error) => Err(refused(&error)),
        });
        let shutdown = self.shutdown.clone();
        Ok(Response::new(messages.take_until(async move { shutdown.cancelled().await }).boxed()))
    }

    async fn list_events(&self, request: Request<wire::ListEventsRequest>) -> Answer<wire::ListEventsResponse> {
        let wire::ListEventsRequest { after_sequence, page_size, event } = request.into_inner();
        let limit = match page_size {
            0 => PAGE_MAX,
            1..=PAGE_MAX => page_size,
            _ => {
                let problem = Problem::OutOfRange { given: page_size.into(), min: 0, max: PAGE_MAX.into() };
                return Err(InvalidMessage::new("page_size", problem).into());
            }
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut read_to_sequence = after_sequence;
        let mut lines = Vec::new();
        for _ in 0..EVENT_PAGES_READ_MAX {
            let events = self.site.history(read_to_sequence, limit).await.map_err(|error| refused(&error))?;
            let Some((last, _)) = events.last() else { break };
            read_to_sequence = *last;
            for (sequence, one) in events {
                let line = words::ledger_line(sequence, one)?;
                if event.is_empty() || line.event == event {
                    lines.push(line);
                }
            }
            if !lines.is_empty() {
                break;
            }
        }
        Ok(Response::new(wire::ListEventsResponse { lines, read_to_sequence }))
    }

    async fn commit_arrival(&self, request: Request<wire::CommitArrivalRequest>) -> Answer<wire::CommandOutcome> {
        let (caller, message) = called(request);
        let commit = CommitArrival::try_from(message)?;
        let vm = commit.vm;
        Ok(Response::new(answer(vm, self.site.commit_arrival(commit, caller).await).into()))
    }

    async fn prove_path(&self, request: Request<wire::ProvePathRequest>) -> Answer<wire::ProvePathResponse> {
        let ProvePath { nonce, source_site, ledgers } = request.into_inner().try_into()?;
        let ledgers = self.site.answer_path(&source_site, ledgers).await.map_err(|error| refused(&error))?;
        let proof = PathProof { nonce, site: self.site.name().clone(), working: self.site.takes_work(), ledgers };
        Ok(Response::new(proof.into()))
    }
}

/// Who calls, as the door has found it, and what they say.
fn called<T>(request: Request<T>) -> (Caller, T) {
    let by = request.extensions().get::<Party>().map(|party| clip(&party.to_string()));
    let caller = Caller { by, origin: tls::origin(&request) };
    (caller, request.into_inner())
}

fn answer(vm: VmId, result: Result<muster_core::reading::SiteReading, SiteError>) -> VmAnswer {
    VmAnswer { vm, result: result.map_err(|error| error.failure()) }
}

fn refused(error: &SiteError) -> Status {
    error.failure().into()
}

fn died() -> Status {
    status::status(Class::Unknown, "BROKEN_PROMISE", "the task that carried it out has died; read what stands")
}
