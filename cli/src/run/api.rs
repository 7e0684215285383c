//! Calls to an orchestrator, page by page where there are many answers.

use crate::env::SystemEnv;
use crate::error::CliError;
use crate::orders::VmGiven;
use crate::output::evacuation::Evacuation;
use crate::output::moves::Move;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::reading::Inventory;
use muster_proto::channel::{Dial, SiteAddress, TcpDial};
use muster_proto::convert::add_to_inventory;
use muster_proto::limits::{CALL_TIMEOUT, MESSAGE_MAX_BYTES, PAGE_MAX};
use muster_proto::status::Fault;
use muster_proto::v1 as wire;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Longest wait for a call that plans: both inventories are read for it.
const PLANNING_TIMEOUT: Duration = Duration::from_secs(120);

/// Most pages of one listing.
const PAGES_MAX: usize = 10_000;

/// An orchestrator, as its clients call it.
#[derive(Clone)]
pub(crate) struct Api {
    address: SiteAddress,
    client: EvacuationsClient<Channel>,
}

impl Api {
    /// The orchestrator at this address. It is called when it is first needed.
    pub(crate) async fn connect(address: SiteAddress) -> Result<Self, CliError> {
        let channel = TcpDial.dial(&address).await?;
        let client = EvacuationsClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        Ok(Api { address, client })
    }

    /// The client, for streams.
    pub(crate) fn client(&self) -> EvacuationsClient<Channel> {
        self.client.clone()
    }

    /// An error of this orchestrator's.
    pub(crate) fn failed(&self, status: &Status) -> CliError {
        CliError::Orchestrator { address: self.address.clone(), fault: Box::new(Fault::from(status)) }
    }

    /// Makes an evacuation, or only checks its runbook.
    pub(crate) async fn create(
        &self,
        runbook: &str,
        validate_only: bool,
        by: &str,
    ) -> Result<wire::Evacuation, CliError> {
        let request = wire::CreateEvacuationRequest {
            request_id: new_request(),
            runbook: runbook.to_owned(),
            validate_only,
            ordered_by: by.to_owned(),
        };
        let mut request = Request::new(request);
        request.set_timeout(PLANNING_TIMEOUT);
        let answer = self.client().create_evacuation(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failed(&status))
    }

    /// Preflight alone.
    pub(crate) async fn check(&self, runbook: &str) -> Result<wire::CheckRunbookResponse, CliError> {
        let mut request = Request::new(wire::CheckRunbookRequest { runbook: runbook.to_owned() });
        request.set_timeout(PLANNING_TIMEOUT);
        let answer = self.client().check_runbook(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failed(&status))
    }

    /// A site's inventory, as its worker shows it now.
    pub(crate) async fn inventory(&self, site: &SiteName) -> Result<Inventory, CliError> {
        let mut request = Request::new(wire::ListInventoryRequest { site: site.to_string() });
        request.set_timeout(PLANNING_TIMEOUT);
        let answer = self.client().list_inventory(request).await.map_err(|status| self.failed(&status))?;
        let (mut items, mut inventory) = (answer.into_inner(), Inventory::default());
        while let Some(item) = items.message().await.map_err(|status| self.failed(&status))? {
            add_to_inventory(&mut inventory, item).map_err(|error| CliError::Usage {
                what: format!("the orchestrator's inventory of {site} makes no sense: {error}"),
                mend: "use a muster of the orchestrator's version".to_owned(),
            })?;
        }
        Ok(inventory)
    }

    /// One evacuation; the newest if none is named.
    pub(crate) async fn evacuation(&self, evacuation: Option<EvacuationId>) -> Result<Evacuation, CliError> {
        let request = timed(wire::GetEvacuationRequest { evacuation: text(evacuation) });
        let answer = self.client().get_evacuation(request).await;
        answer.map(|answer| answer.into_inner().into()).map_err(|status| self.failed(&status))
    }

    /// All evacuations that a filter lets through.
    pub(crate) async fn evacuations(&self, filter: &str) -> Result<Vec<Evacuation>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let filter = filter.to_owned();
            let request = timed(wire::ListEvacuationsRequest { page_size: PAGE_MAX, page_token, filter });
            let page = self.client().list_evacuations(request).await.map_err(|status| self.failed(&status))?;
            let page = page.into_inner();
            all.extend(page.evacuations.into_iter().map(Evacuation::from));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// All moves of an evacuation that a filter lets through.
    pub(crate) async fn moves(&self, evacuation: &str, filter: &str) -> Result<Vec<Move>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let (evacuation, filter) = (evacuation.to_owned(), filter.to_owned());
            let request = timed(wire::ListMovesRequest { evacuation, page_size: PAGE_MAX, page_token, filter });
            let page = self.client().list_moves(request).await.map_err(|status| self.failed(&status))?.into_inner();
            all.extend(page.moves.into_iter().map(Move::from));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Every move of a VM.
    pub(crate) async fn moves_of(&self, vm: &VmGiven) -> Result<Vec<Move>, CliError> {
        let answer = self.client().get_vm(timed(wire::GetVmRequest { vm: vm.text() })).await;
        let answer = answer.map_err(|status| self.failed(&status))?;
        Ok(answer.into_inner().moves.into_iter().map(Move::from).collect())
    }

    /// The UUID of a VM that a person has named.
    pub(crate) async fn id_of(&self, vm: &VmGiven) -> Result<VmId, CliError> {
        match vm {
            VmGiven::Id(vm) => Ok(*vm),
            VmGiven::Name(name) => {
                let moves = self.moves_of(vm).await?;
                let first = moves.first().ok_or_else(|| no_such_vm(name))?;
                Ok(first.vm.parse()?)
            }
        }
    }

    /// The audit trail.
    pub(crate) async fn audit(
        &self,
        evacuation: Option<EvacuationId>,
        vm: Option<VmId>,
    ) -> Result<Vec<wire::AuditLine>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request =
                wire::ListAuditRequest { evacuation: text(evacuation), vm: text(vm), page_size: PAGE_MAX, page_token };
            let page = self.client().list_audit(timed(request)).await.map_err(|status| self.failed(&status))?;
            let page = page.into_inner();
            all.extend(page.lines);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(all)
    }
}

/// An id for a call that changes something.
pub(crate) fn new_request() -> String {
    SystemEnv.new_id().to_string()
}

/// A request that is answered in time or not at all.
pub(crate) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// A name that nobody has.
pub(crate) fn no_such_vm(name: &str) -> CliError {
    CliError::Usage {
        what: format!("no VM is called {name:?} there"),
        mend: "give its UUID, or its name as \"muster status\" shows it".to_owned(),
    }
}

fn text<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
