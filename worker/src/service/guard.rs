//! The door of a site's service: every call is held against [`permission`](super::permission) before the service sees it. It
//! implements the service's whole trait, so that no call can come in beside it.
//!
//! Where a certificate says who orders, that name goes into the message, whatever stood there.

use super::permission::{Demand, permits};
use super::{Answer, Messages, SiteService};
use muster_core::party::Party;
use muster_proto::tls::{Access, Bearer, not_permitted};
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::command::Action;
use muster_proto::worker::v1::site_server;
use tonic::{Request, Status};

/// The service behind its door.
pub(super) struct Guarded {
    service: SiteService,
    access: Access,
}

impl Guarded {
    pub(super) fn new(service: SiteService, access: Access) -> Self {
        Guarded { service, access }
    }

    /// Who calls, if they may ask this. The service finds them in the request.
    fn admit<T>(&self, request: &mut Request<T>, demand: &Demand) -> Result<Bearer, Status> {
        let caller = self.access.bearer(request, self.service.site.now())?;
        match &caller {
            Bearer::Anybody => {}
            Bearer::Known(party) => {
                permits(self.service.site.name(), party, demand).map_err(|what| not_permitted(party, &what))?;
                request.extensions_mut().insert(party.clone());
            }
        }
        Ok(caller)
    }

    /// The same, where the request says for which site it speaks.
    fn admit_speaker<T>(&self, request: &mut Request<T>, source_site: &str) -> Result<(), Status> {
        match self.access {
            Access::Open => Ok(()),
            Access::Certified => {
                // What isn't a site's name is nobody's to speak for; without a certificate the service itself refuses it.
                let site = super::words::parsed("source_site", source_site)?;
                self.admit(request, &Demand::Speak { site }).map(drop)
            }
        }
    }
}

#[tonic::async_trait]
impl site_server::Site for Guarded {
    type ListInventoryStream = Messages<wire::InventoryItem>;
    type SurveyStream = Messages<wire::SurveyItem>;
    type ListRollStream = Messages<wire::RollEntry>;
    type ObserveStream = Messages<wire::Observation>;
    type ExecuteStream = Messages<wire::CommandOutcome>;
    type WatchStream = Messages<wire::SiteEvent>;

    async fn get_site(&self, mut request: Request<wire::GetSiteRequest>) -> Answer<wire::GetSiteResponse> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.get_site(request).await
    }

    async fn list_inventory(
        &self,
        mut request: Request<wire::ListInventoryRequest>,
    ) -> Answer<Self::ListInventoryStream> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.list_inventory(request).await
    }

    async fn survey(&self, mut request: Request<wire::SurveyRequest>) -> Answer<Self::SurveyStream> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.survey(request).await
    }

    async fn list_evacuations(
        &self,
        mut request: Request<wire::ListEvacuationsRequest>,
    ) -> Answer<wire::ListEvacuationsResponse> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.list_evacuations(request).await
    }

    async fn list_roll(&self, mut request: Request<wire::ListRollRequest>) -> Answer<Self::ListRollStream> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.list_roll(request).await
    }

    async fn get_greatest_epoch(
        &self,
        mut request: Request<wire::GetGreatestEpochRequest>,
    ) -> Answer<wire::GetGreatestEpochResponse> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.get_greatest_epoch(request).await
    }

    async fn claim_evacuation(&self, mut request: Request<wire::ClaimEvacuationRequest>) -> Answer<wire::Claims> {
        let takes_over = request.get_ref().take_over_reason.is_some();
        let demand = if takes_over { Demand::Override } else { Demand::Act };
        if let Some(name) = person(&self.admit(&mut request, &demand)?)
            && let Some(holder) = &mut request.get_mut().holder
        {
            holder.name = name;
        }
        self.service.claim_evacuation(request).await
    }

    async fn release_claim(&self, mut request: Request<wire::ReleaseClaimRequest>) -> Answer<wire::Claims> {
        self.admit(&mut request, &Demand::Act)?;
        self.service.release_claim(request).await
    }

    async fn assert_fenced(&self, mut request: Request<wire::AssertFencedRequest>) -> Answer<wire::Claims> {
        if let Some(name) = person(&self.admit(&mut request, &Demand::Override)?) {
            request.get_mut().by = name;
        }
        self.service.assert_fenced(request).await
    }

    async fn write_roll(&self, mut request: Request<wire::WriteRollRequest>) -> Answer<wire::WriteRollResponse> {
        self.admit(&mut request, &Demand::Act)?;
        self.service.write_roll(request).await
    }

    async fn observe(&self, mut request: Request<wire::ObserveRequest>) -> Answer<Self::ObserveStream> {
        let fences = request.get_ref().vms.iter().any(|one| one.token.is_some());
        self.admit(&mut request, if fences { &Demand::Act } else { &Demand::LookAtVms })?;
        self.service.observe(request).await
    }

    async fn execute(&self, mut request: Request<wire::ExecuteRequest>) -> Answer<Self::ExecuteStream> {
        let overrides = request.get_ref().commands.iter().any(|one| matches!(one.action, Some(Action::Release(_))));
        self.admit(&mut request, if overrides { &Demand::Override } else { &Demand::Act })?;
        self.service.execute(request).await
    }

    async fn watch(&self, mut request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.watch(request).await
    }

    async fn list_events(&self, mut request: Request<wire::ListEventsRequest>) -> Answer<wire::ListEventsResponse> {
        self.admit(&mut request, &Demand::Look)?;
        self.service.list_events(request).await
    }

    async fn commit_arrival(&self, mut request: Request<wire::CommitArrivalRequest>) -> Answer<wire::CommandOutcome> {
        let source_site = request.get_ref().source_site.clone();
        self.admit_speaker(&mut request, &source_site)?;
        self.service.commit_arrival(request).await
    }

    async fn prove_path(&self, mut request: Request<wire::ProvePathRequest>) -> Answer<wire::ProvePathResponse> {
        let source_site = request.get_ref().source_site.clone();
        self.admit_speaker(&mut request, &source_site)?;
        self.service.prove_path(request).await
    }
}

/// The person's name, where a person calls: what an orchestrator passes on it has from others.
fn person(caller: &Bearer) -> Option<String> {
    match caller {
        Bearer::Known(party @ Party::Person { .. }) => Some(party.name()),
        Bearer::Anybody | Bearer::Known(Party::Worker { .. } | Party::Orchestrator { .. }) => None,
    }
}
