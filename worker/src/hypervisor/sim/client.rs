//! The driver for a world in another process, and the client of those who drive that world.
//!
//! Connections are made when they are needed and made again after they broke. Whatever the transport says means that
//! nothing is known.

use super::error::SimulationError;
use super::survey;
use super::wire::generated::control_client::ControlClient;
use super::wire::generated::hypervisors_client::HypervisorsClient;
use super::wire::generated::{
    AdvanceRequest, CallRequest, DefinitionRequest, DefinitionsRequest, InventoryRequest, Json, LookRequest,
    NowRequest, SiteRequest, TruthRequest,
};
use super::wire::{MESSAGE_MAX_BYTES, decode, encode};
use super::world::{Clock, Fault, FaultError, FleetError, FleetSpec, Truth, VmSpec};
use crate::hypervisor::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey};
use async_trait::async_trait;
use futures::future::ready;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{Inventory, Sight};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// How long making a connection may take, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 5_000;

/// How long an answer may take that depends on no guest and no job, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 30_000;

/// A channel to a world, such as `http://127.0.0.1:7100`; it connects when it is first used, and again whenever it must.
///
/// # Errors
/// `Nonsense` for what is no address.
pub fn channel(address: &str) -> Result<Channel, SimulationError> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| SimulationError::Nonsense { message: format!("{address} is no address: {error}") })?;
    Ok(endpoint.connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS)).connect_lazy())
}

/// A world that says nothing for so long is as good as gone.
async fn in_time<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(Duration::from_millis(ANSWER_TIMEOUT_MS), answer).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// One site's hypervisors in a world of another process.
#[derive(Debug, Clone)]
pub struct SimulatedHypervisors {
    client: HypervisorsClient<Channel>,
    site: SiteName,
}

impl SimulatedHypervisors {
    /// The hypervisors of `site` in the world at `address`.
    ///
    /// # Errors
    /// `Nonsense` for what is no address. A world that isn't there shows when it is spoken to.
    pub fn connect(address: &str, site: SiteName) -> Result<Self, SimulationError> {
        Ok(Self::over(channel(address)?, site))
    }

    /// The hypervisors of `site` in the world behind a channel.
    #[must_use]
    pub fn over(channel: Channel, site: SiteName) -> Self {
        let client = HypervisorsClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        SimulatedHypervisors { client, site }
    }

    async fn inventory_of(&self, hosts: &[HostName]) -> Result<Inventory, HypervisorError> {
        let hosts = hosts.iter().map(HostName::to_string).collect();
        let request = InventoryRequest { site: self.site.to_string(), hosts };
        let answer = in_time(self.client.clone().inventory(request)).await.map_err(unreachable)?;
        understand::<Result<Inventory, HypervisorError>>(&answer)?
    }

    fn site_request(&self) -> SiteRequest {
        SiteRequest { site: self.site.to_string() }
    }
}

#[async_trait]
impl Hypervisor for SimulatedHypervisors {
    async fn inventory(&self) -> Result<Inventory, HypervisorError> {
        self.inventory_of(&[]).await
    }

    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        let vms_json = encode(&vms).map_err(nonsense)?;
        let request = LookRequest { site: self.site.to_string(), vms_json };
        let answer = in_time(self.client.clone().look(request)).await.map_err(unreachable)?;
        let sights = understand::<Result<Vec<Sight>, HypervisorError>>(&answer)??;
        if sights.len() == vms.len() {
            Ok(sights)
        } else {
            let message = format!("{} answers for {} VMs", sights.len(), vms.len());
            Err(HypervisorError::Nonsense { message })
        }
    }

    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        let request = DefinitionRequest { site: self.site.to_string(), host: host.to_string(), vm: vm.to_string() };
        let answer = in_time(self.client.clone().definition(request)).await.map_err(unreachable)?;
        understand::<Result<Definition, HypervisorError>>(&answer)?
    }

    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError> {
        Ok(survey::survey(&self.inventory_of(hosts).await?))
    }

    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError> {
        let vms_json = encode(&vms).map_err(nonsense)?;
        let hosts = hosts.iter().map(HostName::to_string).collect();
        let request = DefinitionsRequest { site: self.site.to_string(), vms_json, hosts };
        let answer = in_time(self.client.clone().definitions(request)).await.map_err(unreachable)?;
        let definitions = understand::<Result<Vec<(VmId, Definition)>, HypervisorError>>(&answer)??;
        Ok(survey::needs(&definitions))
    }

    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        Ok(survey::processors(processors, &self.inventory_of(hosts).await?))
    }

    async fn call(&self, call: Call) -> Result<(), HypervisorError> {
        let call_json = encode(&call).map_err(nonsense)?;
        let request = CallRequest { site: self.site.to_string(), call_json };
        let answer = self.client.clone().call(request).await.map_err(unreachable)?.into_inner();
        understand::<Result<(), HypervisorError>>(&answer)?
    }

    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError> {
        let stream = self.client.clone().changes(self.site_request()).await.map_err(unreachable)?;
        // What can't be read ends the stream, as a broken connection does: the reader asks again and looks anew.
        let changes = stream.into_inner().map(|message| message.ok().and_then(|message| decode(&message.json).ok()));
        Ok(changes.take_while(|change| ready(change.is_some())).filter_map(ready).boxed())
    }
}

fn understand<T: DeserializeOwned>(answer: &Json) -> Result<T, HypervisorError> {
    decode(&answer.json).map_err(nonsense)
}

fn nonsense(error: serde_json::Error) -> HypervisorError {
    HypervisorError::Nonsense { message: error.to_string() }
}

fn unreachable(status: Status) -> HypervisorError {
    HypervisorError::Unreachable { message: format!("the simulated world: {}", status.message()) }
}

/// Drives a world in another process: makes fleets, makes things go wrong, reads the truth.
#[derive(Debug, Clone)]
pub struct WorldClient {
    client: ControlClient<Channel>,
}

impl WorldClient {
    /// The world at `address`.
    ///
    /// # Errors
    /// `Nonsense` for what is no address. A world that isn't there shows when it is spoken to.
    pub fn connect(address: &str) -> Result<Self, SimulationError> {
        Ok(Self::over(channel(address)?))
    }

    /// The world behind a channel.
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        let client = ControlClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        WorldClient { client }
    }

    /// Makes one VM.
    ///
    /// # Errors
    /// `Fleet` where it can't be made, `Gone` where the world can't be reached.
    pub async fn create_vm(&self, spec: &VmSpec) -> Result<(), SimulationError> {
        let answer = in_time(self.client.clone().create_vm(message(spec)?)).await.map_err(gone)?;
        Ok(parse::<Result<(), FleetError>>(&answer)??)
    }

    /// Makes a fleet.
    ///
    /// # Errors
    /// `Fleet` where it can't be made, `Gone` where the world can't be reached.
    pub async fn create_fleet(&self, spec: &FleetSpec) -> Result<Vec<VmId>, SimulationError> {
        let answer = in_time(self.client.clone().create_fleet(message(spec)?)).await.map_err(gone)?;
        Ok(parse::<Result<Vec<VmId>, FleetError>>(&answer)??)
    }

    /// Makes something go wrong, or lays a rule.
    ///
    /// # Errors
    /// `Fault` where it can't be made, `Gone` where the world can't be reached.
    pub async fn inject(&self, fault: &Fault) -> Result<(), SimulationError> {
        let answer = in_time(self.client.clone().inject(message(fault)?)).await.map_err(gone)?;
        Ok(parse::<Result<(), FaultError>>(&answer)??)
    }

    /// Changes how time passes; returns the simulated time.
    ///
    /// # Errors
    /// `Gone` where the world can't be reached.
    pub async fn set_clock(&self, clock: Clock) -> Result<u64, SimulationError> {
        let answer = in_time(self.client.clone().set_clock(message(&clock)?)).await.map_err(gone)?;
        Ok(answer.now_ms)
    }

    /// Lets simulated time pass at once, whatever the clock; returns the simulated time.
    ///
    /// # Errors
    /// `Gone` where the world can't be reached.
    pub async fn advance(&self, by_ms: u64) -> Result<u64, SimulationError> {
        let answer = in_time(self.client.clone().advance(AdvanceRequest { by_ms })).await.map_err(gone)?;
        Ok(answer.now_ms)
    }

    /// The simulated time, in milliseconds since the world began.
    ///
    /// # Errors
    /// `Gone` where the world can't be reached.
    pub async fn now_ms(&self) -> Result<u64, SimulationError> {
        Ok(in_time(self.client.clone().now(NowRequest {})).await.map_err(gone)?.now_ms)
    }

    /// What is really so: of these VMs, or of every VM there ever was if none is named.
    ///
    /// # Errors
    /// `Gone` where the world can't be reached.
    pub async fn truth(&self, vms: &[VmId]) -> Result<Vec<Truth>, SimulationError> {
        let vms_json = message(&vms)?.json;
        let stream = self.client.clone().read_truth(TruthRequest { vms_json }).await.map_err(gone)?;
        stream.into_inner().map_err(gone).and_then(|truth| ready(parse(&truth))).try_collect().await
    }
}

fn message<T: Serialize>(value: &T) -> Result<Json, SimulationError> {
    encode(value).map(|json| Json { json }).map_err(misread)
}

fn parse<T: DeserializeOwned>(answer: &Json) -> Result<T, SimulationError> {
    decode(&answer.json).map_err(misread)
}

fn misread(error: serde_json::Error) -> SimulationError {
    SimulationError::Nonsense { message: error.to_string() }
}

fn gone(status: Status) -> SimulationError {
    SimulationError::Gone { message: status.message().to_owned() }
}
