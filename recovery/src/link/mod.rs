//! A site as this side reaches and hears it: typed calls, and a feed of what the site tells by itself.
//!
//! Whatever the transport makes of a call means *unknown* ([`LinkError::Silent`]); only the site's own word counts as
//! an answer. Nothing here decides or retries.

mod batch;
mod feed;
mod survey;

pub use feed::{Connection, Feed, FeedChange};
pub use survey::SurveyAnswer;

use crate::error::LinkError;
use batch::Batcher;
use muster_core::claim::Claims;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, HostName, SiteName, VmId};
use muster_core::ledger::RollEntry;
use muster_core::reading::{Inventory, SiteReading};
use muster_core::step::Side;
use muster_core::token::{Epoch, Token};
use muster_proto::channel::{Counterpart, Dial, SiteAddress, site_client};
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, EvacuationClaims, GreatestEpoch, InvalidMessage, LedgerLine, Observe, ReleaseClaim,
    SiteCommand, SiteFailure, SiteStatus, VmAnswer, VmToken, add_to_inventory, evacuations, roll_batches,
};
use muster_proto::limits::ITEMS_MAX;
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// How long a site's answers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For reads and ledger writes.
    pub call: Duration,
    /// For commands that change a hypervisor.
    pub command: Duration,
    /// How long a site may say nothing on its feed before the connection counts as lost.
    pub alive: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            call: muster_proto::limits::CALL_TIMEOUT,
            command: muster_proto::limits::HYPERVISOR_CALL_TIMEOUT,
            alive: muster_proto::limits::ALIVE_TIMEOUT,
        }
    }
}

/// A site, reached.
pub struct SiteLink {
    site: SiteName,
    client: SiteClient<Channel>,
    env: Arc<dyn Env>,
    patience: Patience,
    feed: Feed,
    batcher: Batcher,
    _stop_feed: DropGuard,
}

impl SiteLink {
    /// Reaches for a site. The connection is made, and made again, as it is needed.
    ///
    /// # Errors
    /// The address can't be used.
    pub async fn connect(
        site: SiteName,
        address: &SiteAddress,
        dial: &dyn Dial,
        env: Arc<dyn Env>,
        patience: Patience,
    ) -> Result<Arc<Self>, LinkError> {
        let expected = Counterpart::Worker(Some(site.clone()));
        let channel = dial.dial(address, &expected).await.map_err(|error| LinkError::dial(&site, &error))?;
        let client = site_client(channel);
        let stop = CancellationToken::new();
        let feed = Feed::start(site.clone(), client.clone(), Arc::clone(&env), patience.alive, stop.clone());
        let batcher = Batcher::start(site.clone(), client.clone(), Arc::clone(&env), patience.command, stop.clone());
        Ok(Arc::new(SiteLink { site, client, env, patience, feed, batcher, _stop_feed: stop.drop_guard() }))
    }

    /// Its name.
    #[must_use]
    pub fn site(&self) -> &SiteName {
        &self.site
    }

    /// What it tells by itself.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Who answers there. A site of another name is an error: evidence of the wrong site is worse than none.
    ///
    /// # Errors
    /// No answer, or another site's.
    pub async fn status(&self) -> Result<SiteStatus, LinkError> {
        let request = self.timed(wire::GetSiteRequest {});
        let answer = self.client.clone().get_site(request).await.map_err(|status| self.status_error(&status))?;
        let status = SiteStatus::try_from(answer.into_inner()).map_err(|error| self.nonsense(error))?;
        if status.site == self.site {
            Ok(status)
        } else {
            Err(LinkError::AnotherSite { site: self.site.clone(), found: status.site.to_string() })
        }
    }

    /// Every host and VM.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn inventory(&self) -> Result<Inventory, LinkError> {
        let request = self.timed(wire::ListInventoryRequest {});
        let answer = self.client.clone().list_inventory(request).await.map_err(|status| self.status_error(&status))?;
        let mut stream = answer.into_inner();
        let mut inventory = Inventory::default();
        while let Some(item) = stream.message().await.map_err(|status| self.status_error(&status))? {
            add_to_inventory(&mut inventory, item).map_err(|error| self.nonsense(error))?;
        }
        Ok(inventory)
    }

    /// What it offers, what these VMs need, and what its hosts say of these processors; how far its clock is off included.
    /// Where hosts are named, only they are asked: at most as many as one request holds.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn survey(
        &self,
        hosts: &[HostName],
        vms: &[VmId],
        processors: &[String],
    ) -> Result<survey::SurveyAnswer, LinkError> {
        let mut answer = survey::SurveyAnswer::default();
        for order in survey::orders(hosts, vms, processors) {
            let request = Request::new(order.into());
            // It waits for hypervisors, and for the other workers that it asks.
            let mut client = self.client.clone();
            let asked = tokio::time::timeout(self.patience.command, client.survey(request));
            let silent = |_| Status::deadline_exceeded("the survey took too long");
            let items = asked.await.map_err(|error| self.status_error(&silent(error)))?;
            let mut items = items.map_err(|status| self.status_error(&status))?.into_inner();
            while let Some(item) = items.message().await.map_err(|status| self.status_error(&status))? {
                answer.add(item).map_err(|error| self.nonsense(error))?;
            }
        }
        let before = self.env.now();
        let status = self.status().await?;
        answer.site.clock_ahead_ms = Some(survey::clock_ahead_ms(before, status.now, self.env.now()));
        Ok(answer)
    }

    /// The evacuations that its ledger knows.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn evacuations(&self) -> Result<Vec<EvacuationClaims>, LinkError> {
        let request = self.timed(wire::ListEvacuationsRequest {});
        let answer =
            self.client.clone().list_evacuations(request).await.map_err(|status| self.status_error(&status))?;
        evacuations(answer.into_inner()).map_err(|error| self.nonsense(error))
    }

    /// An evacuation's claims; those of an unknown one are empty.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, LinkError> {
        let all = self.evacuations().await?;
        Ok(all.into_iter().find(|one| one.evacuation == evacuation).map(|one| one.claims).unwrap_or_default())
    }

    /// An evacuation's roll, definitions included, by VM.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn roll(&self, evacuation: EvacuationId) -> Result<BTreeMap<VmId, RollEntry>, LinkError> {
        let request = self.timed(wire::ListRollRequest { evacuation: evacuation.to_string() });
        let answer = self.client.clone().list_roll(request).await.map_err(|status| self.status_error(&status))?;
        let mut stream = answer.into_inner();
        let mut roll = BTreeMap::new();
        while let Some(entry) = stream.message().await.map_err(|status| self.status_error(&status))? {
            let entry = RollEntry::try_from(entry).map_err(|error| self.nonsense(error))?;
            roll.insert(entry.vm, entry);
        }
        Ok(roll)
    }

    /// The greatest epoch that its ledger knows for an evacuation and these VMs.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn greatest_epoch(&self, evacuation: EvacuationId, vms: &[VmId]) -> Result<Epoch, LinkError> {
        let mut greatest = Epoch(0);
        for batch in vms.chunks(ITEMS_MAX) {
            let request = self.timed(GreatestEpoch { evacuation, vms: batch.to_vec() }.into());
            let answer = self.client.clone().get_greatest_epoch(request).await;
            let answer = answer.map_err(|status| self.status_error(&status))?.into_inner();
            greatest = greatest.max(Epoch(answer.epoch));
        }
        Ok(greatest)
    }

    /// Claims an evacuation.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn claim(&self, claim: ClaimEvacuation) -> Result<Claims, LinkError> {
        let request = self.timed(claim.into());
        let answer = self.client.clone().claim_evacuation(request).await;
        self.claims_of(answer.map_err(|status| self.status_error(&status))?.into_inner())
    }

    /// Gives a claim back.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn release(&self, release: ReleaseClaim) -> Result<Claims, LinkError> {
        let request = self.timed(release.into());
        let answer = self.client.clone().release_claim(request).await;
        self.claims_of(answer.map_err(|status| self.status_error(&status))?.into_inner())
    }

    /// Swears that something is fenced.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn assert_fenced(&self, assertion: AssertFenced) -> Result<Claims, LinkError> {
        let request = self.timed(assertion.into());
        let answer = self.client.clone().assert_fenced(request).await;
        self.claims_of(answer.map_err(|status| self.status_error(&status))?.into_inner())
    }

    /// Puts VMs on the roll and returns those that were refused.
    ///
    /// # Errors
    /// No answer, or a failure: then some may be on it and some not; writing it again is safe.
    pub async fn write_roll(
        &self,
        side: Side,
        epoch: Epoch,
        entries: &[RollEntry],
    ) -> Result<Vec<(VmId, SiteFailure)>, LinkError> {
        let mut refused = Vec::new();
        for batch in roll_batches(entries.iter().cloned()) {
            let request_id = self.env.new_id().to_string();
            let side = wire::Side::from(side).into();
            let request = self.timed(wire::WriteRollRequest { request_id, side, epoch: epoch.0, entries: batch });
            let answer = self.client.clone().write_roll(request).await;
            let answer = answer.map_err(|status| self.status_error(&status))?.into_inner();
            for outcome in answer.refused {
                let answer = VmAnswer::try_from(outcome).map_err(|error| self.nonsense(error))?;
                if let Err(failure) = answer.result {
                    refused.push((answer.vm, failure));
                }
            }
        }
        Ok(refused)
    }

    /// What is known of VMs now; with a token each, fenced.
    ///
    /// # Errors
    /// No answer, or a failure of the whole call.
    pub async fn observe(
        &self,
        evacuation: EvacuationId,
        vms: &[(VmId, Option<Token>)],
    ) -> Result<BTreeMap<VmId, Result<SiteReading, SiteFailure>>, LinkError> {
        let mut answers = BTreeMap::new();
        for batch in vms.chunks(ITEMS_MAX) {
            let vms = batch.iter().map(|(vm, token)| VmToken { vm: *vm, token: *token }).collect();
            let request = self.timed(Observe { evacuation, vms }.into());
            let answer = self.client.clone().observe(request).await;
            let mut stream = answer.map_err(|status| self.status_error(&status))?.into_inner();
            while let Some(observation) = stream.message().await.map_err(|status| self.status_error(&status))? {
                let answer = VmAnswer::try_from(observation).map_err(|error| self.nonsense(error))?;
                if let Ok(reading) = &answer.result {
                    self.feed.learn(reading.clone());
                }
                answers.insert(answer.vm, answer.result);
            }
        }
        Ok(answers)
    }

    /// One VM's reading.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn observe_one(
        &self,
        evacuation: EvacuationId,
        vm: VmId,
        token: Option<Token>,
    ) -> Result<SiteReading, LinkError> {
        let site = self.site.clone();
        match self.observe(evacuation, &[(vm, token)]).await?.remove(&vm) {
            Some(Ok(reading)) => Ok(reading),
            Some(Err(failure)) => Err(LinkError::Answer { site, failure }),
            None => Err(LinkError::Silent { site, message: "it left the VM out of its answer".to_owned() }),
        }
    }

    /// Sends a command, together with others that go to this site now.
    ///
    /// # Errors
    /// No answer, or a failure; see its class.
    pub async fn execute(&self, evacuation: EvacuationId, command: SiteCommand) -> Result<SiteReading, LinkError> {
        let reading = self.batcher.execute(evacuation, command).await?;
        self.feed.learn(reading.clone());
        Ok(reading)
    }

    /// What its ledger's history holds under this name after a sequence number, and how far that reaches. Not above the
    /// number that was given it reaches the history's end.
    ///
    /// # Errors
    /// No answer, or a failure.
    pub async fn history(&self, after_sequence: u64, event: &str) -> Result<(Vec<LedgerLine>, u64), LinkError> {
        let request = wire::ListEventsRequest { after_sequence, page_size: 0, event: event.to_owned() };
        let answer = self.client.clone().list_events(self.timed(request)).await;
        let wire::ListEventsResponse { lines, read_to_sequence } =
            answer.map_err(|status| self.status_error(&status))?.into_inner();
        let lines = lines.into_iter().map(LedgerLine::try_from).collect::<Result<Vec<_>, _>>();
        Ok((lines.map_err(|error| self.nonsense(error))?, read_to_sequence))
    }

    fn claims_of(&self, message: wire::Claims) -> Result<Claims, LinkError> {
        let claims = EvacuationClaims::try_from(message).map_err(|error| self.nonsense(error))?;
        self.feed.learn_claims(claims.evacuation, claims.claims.clone());
        Ok(claims.claims)
    }

    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.patience.call);
        request
    }

    fn status_error(&self, status: &Status) -> LinkError {
        LinkError::status(&self.site, status)
    }

    fn nonsense(&self, source: InvalidMessage) -> LinkError {
        LinkError::Nonsense { site: self.site.clone(), source }
    }
}
