//! The door of muster.v1: every call is held against [`permission`](super::permission) before the service sees it, and what a
//! certificate doesn't reach is taken out of what the service shows. It implements the service's whole trait, so that no call
//! can come in beside it.
//!
//! Who was let in is put into the request's extensions, and stands in the journal as whoever ordered.

use super::Api;
use super::permission::{Demand, permits, reaches};
use crate::evacuate::all_moves;
use futures::StreamExt;
use futures::stream::BoxStream;
use muster_core::evacuation::EvacuationStatus;
use muster_core::ids::{SiteName, VmId};
use muster_core::party::{Party, Scope};
use muster_core::runbook::Runbook;
use muster_proto::tls::{Access, Bearer, not_permitted};
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_server::Evacuations;
use muster_proto::worker::v1::InventoryItem;
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// The service behind its door.
pub(super) struct Guarded {
    api: Api,
    access: Access,
}

/// Who was let in.
enum Admitted {
    /// Whoever can connect, where access is open.
    Anybody,
    /// A person, as far as the certificate reaches.
    Person { party: Party, scope: Scope },
}

impl Admitted {
    /// Lets the service know who it is.
    fn name_in<T>(&self, request: &mut Request<T>) {
        match self {
            Admitted::Anybody => {}
            Admitted::Person { party, .. } => {
                request.extensions_mut().insert(party.clone());
            }
        }
    }

    /// Whether it reaches an evacuation between these sites.
    fn sees(&self, source: &SiteName, destination: &SiteName) -> Result<(), Status> {
        match self {
            Admitted::Anybody => Ok(()),
            Admitted::Person { party, scope } => {
                reaches(scope, source, destination).map_err(|what| not_permitted(party, &what))
            }
        }
    }

    /// The scope, where it doesn't reach every VM.
    fn limited_to_tags(&self) -> Option<(&Party, &Scope)> {
        match self {
            Admitted::Anybody => None,
            Admitted::Person { party, scope } => (!scope.tags.is_empty()).then_some((party, scope)),
        }
    }

    /// The same, of sites as messages name them.
    fn sees_named(&self, source: &str, destination: &str) -> bool {
        match (source.parse(), destination.parse()) {
            (Ok(source), Ok(destination)) => self.sees(&source, &destination).is_ok(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    fn shows(&self, shown: &pb::Move) -> bool {
        match self {
            Admitted::Anybody => true,
            Admitted::Person { scope, .. } => {
                self.sees_named(&shown.source_site, &shown.destination_site) && scope.has_tags(&shown.tags)
            }
        }
    }
}

impl Guarded {
    pub(super) fn new(api: Api, access: Access) -> Self {
        Guarded { api, access }
    }

    /// Who calls, if they may ask this at all.
    fn admit<T>(&self, request: &Request<T>, demand: Demand) -> Result<Admitted, Status> {
        match self.access.bearer(request, self.api.house.env().now())? {
            Bearer::Anybody => Ok(Admitted::Anybody),
            Bearer::Known(party) => {
                let scope = permits(&party, demand).map_err(|what| not_permitted(&party, &what))?.clone();
                Ok(Admitted::Person { party, scope })
            }
        }
    }

    /// The same, for a call about one evacuation, or about the newest.
    async fn admit_to<T>(&self, request: &Request<T>, demand: Demand, evacuation: &str) -> Result<Admitted, Status> {
        let admitted = self.admit(request, demand)?;
        self.seen(&admitted, evacuation).await?;
        Ok(admitted)
    }

    /// The evacuation that is named, or the newest, if whoever was let in sees it; none where nobody has to be asked.
    async fn seen(&self, admitted: &Admitted, evacuation: &str) -> Result<Option<EvacuationStatus>, Status> {
        match admitted {
            Admitted::Anybody => Ok(None),
            Admitted::Person { .. } => {
                let status = self.api.named_or_newest(evacuation).await?;
                admitted.sees(&status.source_site, &status.destination_site)?;
                Ok(Some(status))
            }
        }
    }

    /// The same, for a call that concerns every one of its VMs, or those named.
    async fn admit_to_vms<T>(
        &self,
        request: &Request<T>,
        demand: Demand,
        evacuation: &str,
        vms: &[String],
    ) -> Result<Admitted, Status> {
        let admitted = self.admit(request, demand)?;
        if let (Some(status), Some((party, scope))) =
            (self.seen(&admitted, evacuation).await?, admitted.limited_to_tags())
        {
            self.must_reach(party, scope, &status, vms).await?;
        }
        Ok(admitted)
    }

    /// The same, for a call about one VM in whatever evacuation.
    async fn admit_to_vm<T>(&self, request: &Request<T>, demand: Demand, vm: &str) -> Result<Admitted, Status> {
        let admitted = self.admit(request, demand)?;
        match &admitted {
            Admitted::Anybody => {}
            Admitted::Person { party, scope } => {
                for (evacuation, status) in self.api.find(vm).await? {
                    admitted.sees(&evacuation.source_site, &evacuation.destination_site)?;
                    if !scope.has_tags(&status.planned.tags) {
                        return Err(not_permitted(party, OTHER_TAGS));
                    }
                }
            }
        }
        Ok(admitted)
    }

    /// The same, for a runbook. One that can't be read is the service's to refuse.
    fn admit_runbook<T>(&self, request: &Request<T>, demand: Demand, runbook: &str) -> Result<Admitted, Status> {
        let admitted = self.admit(request, demand)?;
        if let Ok(runbook) = Runbook::parse(runbook) {
            admitted.sees(&runbook.source, &runbook.destination)?;
        }
        Ok(admitted)
    }

    async fn must_reach(
        &self,
        party: &Party,
        scope: &Scope,
        status: &EvacuationStatus,
        vms: &[String],
    ) -> Result<(), Status> {
        let named: BTreeSet<VmId> = vms.iter().filter_map(|vm| vm.parse().ok()).collect();
        let moves = all_moves(self.api.house.journal().as_ref(), status.id).await?;
        let concerned = moves.iter().filter(|one| vms.is_empty() || named.contains(&one.planned.vm));
        if concerned.into_iter().all(|one| scope.has_tags(&one.planned.tags)) {
            Ok(())
        } else {
            Err(not_permitted(party, OTHER_TAGS))
        }
    }
}

/// What stands against a VM that carries none of a scope's tags.
const OTHER_TAGS: &str = "its certificate doesn't reach all of these VMs: some carry none of its tags";

/// What stands against a call that shows more than one evacuation's lines.
const UNLIMITED_ALONE: &str =
    "its certificate is limited to sites or tags, and this shows more; name an evacuation, or use one without limits";

#[tonic::async_trait]
impl Evacuations for Guarded {
    type ListInventoryStream = BoxStream<'static, Result<InventoryItem, Status>>;
    type WatchEvacuationStream = BoxStream<'static, Result<pb::WatchEvacuationResponse, Status>>;
    type RecoverEvacuationStream = <Api as Evacuations>::RecoverEvacuationStream;

    async fn check_runbook(&self, request: Request<pb::CheckRunbookRequest>) -> Answer<pb::CheckRunbookResponse> {
        self.admit_runbook(&request, Demand::Look, &request.get_ref().runbook)?;
        self.api.check_runbook(request).await
    }

    async fn list_inventory(&self, request: Request<pb::ListInventoryRequest>) -> Answer<Self::ListInventoryStream> {
        let admitted = self.admit(&request, Demand::Look)?;
        if let Ok(site) = request.get_ref().site.parse::<SiteName>() {
            admitted.sees(&site, &site)?;
        }
        if let Some((party, _)) = admitted.limited_to_tags() {
            return Err(not_permitted(party, UNLIMITED_ALONE));
        }
        self.api.list_inventory(request).await
    }

    async fn create_evacuation(&self, mut request: Request<pb::CreateEvacuationRequest>) -> Answer<pb::Evacuation> {
        let asked = request.get_ref();
        let demand = if asked.validate_only { Demand::Look } else { Demand::Act };
        let admitted = self.admit_runbook(&request, demand, &asked.runbook)?;
        admitted.name_in(&mut request);
        self.api.create_evacuation(request).await
    }

    async fn get_evacuation(&self, request: Request<pb::GetEvacuationRequest>) -> Answer<pb::Evacuation> {
        self.admit_to(&request, Demand::Look, &request.get_ref().evacuation).await?;
        self.api.get_evacuation(request).await
    }

    async fn list_evacuations(
        &self,
        request: Request<pb::ListEvacuationsRequest>,
    ) -> Answer<pb::ListEvacuationsResponse> {
        let admitted = self.admit(&request, Demand::Look)?;
        let mut answer = self.api.list_evacuations(request).await?;
        let sees = |one: &pb::Evacuation| admitted.sees_named(&one.source_site, &one.destination_site);
        answer.get_mut().evacuations.retain(sees);
        Ok(answer)
    }

    async fn list_moves(&self, request: Request<pb::ListMovesRequest>) -> Answer<pb::ListMovesResponse> {
        let admitted = self.admit_to(&request, Demand::Look, &request.get_ref().evacuation).await?;
        let mut answer = self.api.list_moves(request).await?;
        answer.get_mut().moves.retain(|one| admitted.shows(one));
        Ok(answer)
    }

    async fn get_vm(&self, request: Request<pb::GetVmRequest>) -> Answer<pb::GetVmResponse> {
        let admitted = self.admit(&request, Demand::Look)?;
        let mut answer = self.api.get_vm(request).await?;
        answer.get_mut().moves.retain(|one| admitted.shows(one));
        Ok(answer)
    }

    async fn watch_evacuation(
        &self,
        request: Request<pb::WatchEvacuationRequest>,
    ) -> Answer<Self::WatchEvacuationStream> {
        let admitted = self.admit_to(&request, Demand::Look, &request.get_ref().evacuation).await?;
        let told = self.api.watch_evacuation(request).await?;
        let shown = move |told: Result<pb::WatchEvacuationResponse, Status>| {
            told.map(|mut told| {
                told.moves.retain(|one| admitted.shows(one));
                told
            })
        };
        Ok(told.map(|stream| stream.map(shown).boxed()))
    }

    async fn pause_evacuation(&self, mut request: Request<pb::ChangeEvacuationRequest>) -> Answer<pb::Evacuation> {
        let admitted = self.admit_to_vms(&request, Demand::Act, &request.get_ref().evacuation, &[]).await?;
        admitted.name_in(&mut request);
        self.api.pause_evacuation(request).await
    }

    async fn resume_evacuation(&self, mut request: Request<pb::ChangeEvacuationRequest>) -> Answer<pb::Evacuation> {
        let admitted = self.admit_to_vms(&request, Demand::Act, &request.get_ref().evacuation, &[]).await?;
        admitted.name_in(&mut request);
        self.api.resume_evacuation(request).await
    }

    async fn cancel_evacuation(&self, mut request: Request<pb::ChangeEvacuationRequest>) -> Answer<pb::Evacuation> {
        let admitted = self.admit_to_vms(&request, Demand::Act, &request.get_ref().evacuation, &[]).await?;
        admitted.name_in(&mut request);
        self.api.cancel_evacuation(request).await
    }

    async fn retry_moves(&self, mut request: Request<pb::RetryMovesRequest>) -> Answer<pb::Evacuation> {
        let asked = request.get_ref();
        let admitted = self.admit_to_vms(&request, Demand::Act, &asked.evacuation, &asked.vms).await?;
        admitted.name_in(&mut request);
        self.api.retry_moves(request).await
    }

    async fn adjust_moves(&self, mut request: Request<pb::AdjustMovesRequest>) -> Answer<pb::Evacuation> {
        let asked = request.get_ref();
        let admitted = self.admit_to_vms(&request, Demand::Act, &asked.evacuation, &asked.vms).await?;
        admitted.name_in(&mut request);
        self.api.adjust_moves(request).await
    }

    async fn release_vm(&self, mut request: Request<pb::ReleaseVmRequest>) -> Answer<pb::ReleaseVmResponse> {
        let admitted = self.admit_to_vm(&request, Demand::Override, &request.get_ref().vm).await?;
        admitted.name_in(&mut request);
        self.api.release_vm(request).await
    }

    async fn recover_evacuation(
        &self,
        mut request: Request<pb::RecoverEvacuationRequest>,
    ) -> Answer<Self::RecoverEvacuationStream> {
        let asked = request.get_ref();
        let asserts = asked.assert_source_fenced_reason.is_some() || !asked.assert_hosts_fenced.is_empty();
        let demand = match (asserts, asked.apply) {
            (true, _) => Demand::Override,
            (false, true) => Demand::Act,
            (false, false) => Demand::Look,
        };
        // The roll is called of everybody.
        let admitted = self.admit_to_vms(&request, demand, &asked.evacuation, &[]).await?;
        admitted.name_in(&mut request);
        self.api.recover_evacuation(request).await
    }

    async fn explain_vm(&self, request: Request<pb::ExplainVmRequest>) -> Answer<pb::ExplainVmResponse> {
        self.admit_to_vm(&request, Demand::Look, &request.get_ref().vm).await?;
        self.api.explain_vm(request).await
    }

    async fn list_audit(&self, request: Request<pb::ListAuditRequest>) -> Answer<pb::ListAuditResponse> {
        self.admit_to_audit(&request, &request.get_ref().evacuation).await?;
        self.api.list_audit(request).await
    }

    async fn get_audit_head(&self, request: Request<pb::GetAuditHeadRequest>) -> Answer<pb::GetAuditHeadResponse> {
        self.admit(&request, Demand::Look)?;
        self.api.get_audit_head(request).await
    }

    async fn verify_audit(&self, request: Request<pb::VerifyAuditRequest>) -> Answer<pb::VerifyAuditResponse> {
        self.admit(&request, Demand::Look)?;
        self.api.verify_audit(request).await
    }
}

impl Guarded {
    /// Who asks for the audit trail: of one evacuation, or, for those without limits, of everything.
    async fn admit_to_audit<T>(&self, request: &Request<T>, evacuation: &str) -> Result<(), Status> {
        let admitted = self.admit(request, Demand::Look)?;
        let Admitted::Person { party, scope } = &admitted else { return Ok(()) };
        if !evacuation.is_empty() {
            return self.admit_to_vms(request, Demand::Look, evacuation, &[]).await.map(drop);
        }
        if *scope == Scope::default() { Ok(()) } else { Err(not_permitted(party, UNLIMITED_ALONE)) }
    }
}
