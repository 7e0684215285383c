//! The other sites' workers, as this one calls them: to prove the path, to commit an arrival, and to ask whether a VM
//! has arrived before its source's copy may run. Touches the network only; decides nothing.

use muster_core::class::Class;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::reading::SiteReading;
use muster_proto::channel::{Counterpart, Dial, DialError, SiteAddress, site_client};
use muster_proto::convert::{
    CommitArrival, InvalidMessage, Ledgers, Observe, PathProof, Problem, ProvePath, SiteFailure, VmAnswer, VmToken,
};
use muster_proto::status::Fault;
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use uuid::Uuid;

/// Longest wait for another worker's answer, connecting included.
pub const PEER_DEADLINE: Duration = Duration::from_secs(5);

/// The other sites' workers.
pub struct Peers {
    dial: Arc<dyn Dial>,
    addresses: BTreeMap<SiteName, SiteAddress>,
    /// One channel a site, kept: it makes a lost connection anew by itself.
    channels: Mutex<BTreeMap<SiteName, Channel>>,
}

/// Why another worker's answer is not there, or not yes.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The configuration names no such site.
    #[error("no address is configured for site {site}; start this worker with --peer {site}=ADDRESS")]
    NoAddress {
        /// The site.
        site: SiteName,
    },
    /// It can't be called.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Its answer is not there: nothing is known.
    #[error("site {site} does not answer: {fault}")]
    Fault {
        /// The site.
        site: SiteName,
        /// What came instead.
        fault: Fault,
    },
    /// It answered no.
    #[error("site {site} answers: {failure}")]
    Answer {
        /// The site.
        site: SiteName,
        /// Its answer.
        failure: SiteFailure,
    },
    /// It answered something that makes no sense.
    #[error("site {site} answers nonsense: {source}")]
    Nonsense {
        /// The site.
        site: SiteName,
        /// What is wrong with it.
        #[source]
        source: InvalidMessage,
    },
    /// Another site answers at that address.
    #[error("at the address of site {site} answers {found}; mend --peer")]
    AnotherSite {
        /// Who was called.
        site: SiteName,
        /// Who answered.
        found: String,
    },
}

impl PeerError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            PeerError::NoAddress { .. } | PeerError::AnotherSite { .. } => Class::Refused,
            PeerError::Dial(error) => error.class(),
            PeerError::Fault { fault, .. } => fault.class(),
            PeerError::Answer { failure, .. } => failure.class(),
            // What can't be read tells nothing of what was done.
            PeerError::Nonsense { .. } => Class::Unknown,
        }
    }
}

impl Peers {
    /// Peers at these addresses.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>, addresses: BTreeMap<SiteName, SiteAddress>) -> Self {
        Peers { dial, addresses, channels: Mutex::default() }
    }

    /// The other sites that there is an address for.
    pub fn sites(&self) -> impl Iterator<Item = &SiteName> {
        self.addresses.keys()
    }

    /// Asks the worker of `site` whether it can be called and works, and how far the two ledgers have come by what it knows;
    /// `ledgers` is what the asker knows.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn prove_path(
        &self,
        from: &SiteName,
        site: &SiteName,
        nonce: Uuid,
        ledgers: Ledgers,
    ) -> Result<PathProof, PeerError> {
        let mut client = self.client(site).await?;
        let nonce = nonce.to_string();
        let prove = ProvePath { nonce: nonce.clone(), source_site: from.clone(), ledgers };
        let request = wire::ProvePathRequest::from(prove);
        let answer = in_time(site, async { Ok(client.prove_path(request).await?.into_inner()) }).await?;
        let proof = PathProof::try_from(answer).map_err(|source| PeerError::Nonsense { site: site.clone(), source })?;
        if proof.site != *site || proof.nonce != nonce {
            return Err(PeerError::AnotherSite { site: site.clone(), found: proof.site.to_string() });
        }
        Ok(proof)
    }

    /// Tells the destination's worker that the guest has been handed over and its source is gone.
    ///
    /// # Errors
    /// Whatever came instead of "the event stands".
    pub async fn commit_arrival(&self, site: &SiteName, arrival: &CommitArrival) -> Result<(), PeerError> {
        let mut client = self.client(site).await?;
        let request = wire::CommitArrivalRequest::from(arrival.clone());
        let outcome = in_time(site, async { Ok(client.commit_arrival(request).await?.into_inner()) }).await?;
        let answer = VmAnswer::try_from(outcome).and_then(|answer| of_vm(arrival.vm, answer));
        answered(site, answer).map(drop)
    }

    /// What `site` knows of a VM, unfenced.
    ///
    /// # Errors
    /// Whatever came instead of a reading.
    pub async fn observe(&self, site: &SiteName, evacuation: EvacuationId, vm: VmId) -> Result<SiteReading, PeerError> {
        let mut client = self.client(site).await?;
        let request = wire::ObserveRequest::from(Observe { evacuation, vms: vec![VmToken { vm, token: None }] });
        let observed = in_time(site, async { client.observe(request).await?.into_inner().message().await }).await?;
        let answer = VmAnswer::try_from(observed.unwrap_or_default()).and_then(|answer| of_vm(vm, answer));
        answered(site, answer)
    }

    async fn client(&self, site: &SiteName) -> Result<SiteClient<Channel>, PeerError> {
        let address = self.addresses.get(site).ok_or_else(|| PeerError::NoAddress { site: site.clone() })?;
        let known = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(site).cloned();
        if let Some(channel) = known {
            return Ok(site_client(channel));
        }
        let expected = Counterpart::Worker(Some(site.clone()));
        let dialled = tokio::time::timeout(PEER_DEADLINE, self.dial.dial(address, &expected)).await;
        let silent = |_| PeerError::Fault { site: site.clone(), fault: Fault::timed_out("connecting") };
        let channel = dialled.map_err(silent)??;
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(site.clone(), channel.clone());
        Ok(site_client(channel))
    }
}

/// Whether a site that was asked takes work.
///
/// # Errors
/// It doesn't.
pub fn must_work(site: &SiteName, proof: &PathProof) -> Result<(), PeerError> {
    if proof.working {
        return Ok(());
    }
    let failure = SiteFailure::new(Class::Retry, "NOT_WORKING", "it takes no work");
    Err(PeerError::Answer { site: site.clone(), failure })
}

async fn in_time<T>(site: &SiteName, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, PeerError> {
    let fault = match tokio::time::timeout(PEER_DEADLINE, call).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(status)) => Fault::from(status),
        Err(_) => Fault::timed_out("a call to another worker"),
    };
    Err(PeerError::Fault { site: site.clone(), fault })
}

fn answered(site: &SiteName, answer: Result<VmAnswer, InvalidMessage>) -> Result<SiteReading, PeerError> {
    match answer {
        Ok(VmAnswer { result: Ok(reading), .. }) => Ok(reading),
        Ok(VmAnswer { result: Err(failure), .. }) => Err(PeerError::Answer { site: site.clone(), failure }),
        Err(source) => Err(PeerError::Nonsense { site: site.clone(), source }),
    }
}

fn of_vm(vm: VmId, answer: VmAnswer) -> Result<VmAnswer, InvalidMessage> {
    if answer.vm == vm {
        Ok(answer)
    } else {
        Err(InvalidMessage::new("vm", Problem::Disagrees { other: "the VM asked for" }))
    }
}
