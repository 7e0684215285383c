//! muster.v1, served. It reads the journal and the feeds, journals orders and leaves them at the seats; it never
//! commands a site on a move's behalf (releasing a retired copy is no part of a move).

mod adjust;
mod audit;
pub(crate) mod call;
pub(crate) mod caller;
mod check;
mod convert;
mod evacuations;
mod filter;
mod guard;
mod health;
mod moves;
mod page;
mod permission;
mod recover;
mod resume;
mod serve;
mod watch;

pub use audit::{audit_line, audit_verified};
pub use muster_proto::serve::ServeError;
pub use recover::RECOVER_WAIT_MAX;
pub use serve::{router, serve};

use self::call::Call;
use crate::error::OrchestratorError;
use crate::evacuate::inventory;
use crate::parts::{Orchestrator, Pair};
use futures::StreamExt;
use futures::stream::BoxStream;
use muster_core::evacuation::EvacuationStatus;
use muster_core::ids::EvacuationId;
use muster_proto::convert::{inventory_items, parsed};
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_server::Evacuations;
use muster_proto::worker::v1::InventoryItem;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Most watchers at once.
pub const WATCHERS_MAX: usize = 256;

/// The service.
struct Api {
    house: Arc<Orchestrator>,
    watchers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Evacuations for Api {
    type ListInventoryStream = BoxStream<'static, Result<InventoryItem, Status>>;
    type WatchEvacuationStream = ReceiverStream<Result<pb::WatchEvacuationResponse, Status>>;
    type RecoverEvacuationStream = ReceiverStream<Result<pb::RollCallLine, Status>>;

    async fn check_runbook(
        &self,
        request: Request<pb::CheckRunbookRequest>,
    ) -> Result<Response<pb::CheckRunbookResponse>, Status> {
        Ok(Response::new(Box::pin(self.check(request.into_inner())).await?))
    }

    async fn list_inventory(
        &self,
        request: Request<pb::ListInventoryRequest>,
    ) -> Result<Response<Self::ListInventoryStream>, Status> {
        let site = parsed("site", &request.into_inner().site)?;
        let link = self.house.link(&site).await?;
        let inventory = inventory(&link).await?;
        Ok(Response::new(futures::stream::iter(inventory_items(inventory).map(Ok)).boxed()))
    }

    async fn create_evacuation(
        &self,
        request: Request<pb::CreateEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("CreateEvacuation", &request)?;
        Ok(Response::new(self.create(request.into_inner(), call).await?))
    }

    async fn get_evacuation(
        &self,
        request: Request<pb::GetEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let status = self.named_or_newest(&request.into_inner().evacuation).await?;
        Ok(Response::new(self.shown(&status).await?))
    }

    async fn list_evacuations(
        &self,
        request: Request<pb::ListEvacuationsRequest>,
    ) -> Result<Response<pb::ListEvacuationsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn list_moves(
        &self,
        request: Request<pb::ListMovesRequest>,
    ) -> Result<Response<pb::ListMovesResponse>, Status> {
        Ok(Response::new(self.moves(request.into_inner()).await?))
    }

    async fn get_vm(&self, request: Request<pb::GetVmRequest>) -> Result<Response<pb::GetVmResponse>, Status> {
        let moves = self.moves_of_vm(&request.into_inner().vm).await?;
        Ok(Response::new(pb::GetVmResponse { moves }))
    }

    async fn watch_evacuation(
        &self,
        request: Request<pb::WatchEvacuationRequest>,
    ) -> Result<Response<Self::WatchEvacuationStream>, Status> {
        Ok(Response::new(self.watch(request.into_inner()).await?))
    }

    async fn pause_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("PauseEvacuation", &request)?;
        Ok(Response::new(self.change(request.into_inner(), call, evacuations::Change::Pause).await?))
    }

    async fn resume_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("ResumeEvacuation", &request)?;
        Ok(Response::new(self.change(request.into_inner(), call, evacuations::Change::Resume).await?))
    }

    async fn cancel_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("CancelEvacuation", &request)?;
        Ok(Response::new(self.change(request.into_inner(), call, evacuations::Change::Cancel).await?))
    }

    async fn retry_moves(&self, request: Request<pb::RetryMovesRequest>) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("RetryMoves", &request)?;
        Ok(Response::new(self.retry(request.into_inner(), call).await?))
    }

    async fn adjust_moves(&self, request: Request<pb::AdjustMovesRequest>) -> Result<Response<pb::Evacuation>, Status> {
        let call = Call::of("AdjustMoves", &request)?;
        Ok(Response::new(self.adjust(request.into_inner(), call).await?))
    }

    async fn release_vm(
        &self,
        request: Request<pb::ReleaseVmRequest>,
    ) -> Result<Response<pb::ReleaseVmResponse>, Status> {
        let call = Call::of("ReleaseVm", &request)?;
        let released = Box::pin(self.release(request.into_inner(), call)).await?;
        Ok(Response::new(pb::ReleaseVmResponse { r#move: Some(released) }))
    }

    async fn recover_evacuation(
        &self,
        request: Request<pb::RecoverEvacuationRequest>,
    ) -> Result<Response<Self::RecoverEvacuationStream>, Status> {
        Ok(Response::new(Box::pin(self.recover(request)).await?))
    }

    async fn explain_vm(
        &self,
        request: Request<pb::ExplainVmRequest>,
    ) -> Result<Response<pb::ExplainVmResponse>, Status> {
        Ok(Response::new(Box::pin(self.explain(request.into_inner())).await?))
    }

    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> Result<Response<pb::ListAuditResponse>, Status> {
        Ok(Response::new(self.audit(request.into_inner()).await?))
    }

    async fn get_audit_head(
        &self,
        _: Request<pb::GetAuditHeadRequest>,
    ) -> Result<Response<pb::GetAuditHeadResponse>, Status> {
        Ok(Response::new(self.audit_head().await?))
    }

    async fn verify_audit(
        &self,
        request: Request<pb::VerifyAuditRequest>,
    ) -> Result<Response<pb::VerifyAuditResponse>, Status> {
        Ok(Response::new(self.check_audit(request.into_inner()).await?))
    }
}

impl Api {
    /// The evacuation of this id; for an empty one, the newest.
    async fn named_or_newest(&self, given: &str) -> Result<EvacuationStatus, OrchestratorError> {
        if !given.is_empty() {
            return self.named(given).await;
        }
        let newest = self.house.journal().evacuations().await?.pop();
        newest.ok_or(OrchestratorError::NoEvacuation { evacuation: None })
    }

    /// The evacuation of this id.
    async fn named(&self, given: &str) -> Result<EvacuationStatus, OrchestratorError> {
        let evacuation: EvacuationId = parsed("evacuation", given)?;
        crate::evacuate::status_of(self.house.journal().as_ref(), evacuation).await
    }

    /// Both sites' links, to show what they told last. None where one isn't known any more.
    async fn sites(&self, status: &EvacuationStatus) -> Option<Pair> {
        self.house.pair(&status.source_site, &status.destination_site).await.ok()
    }
}
