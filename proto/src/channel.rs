//! How a site is reached, and where a daemon may listen.
//!
//! [`Dial`] is the seam: simulation replaces it by streams in memory and runs everything else unmodified. Nothing
//! here retries or decides what a lost connection means.

use crate::convert::SiteStatus;
use crate::limits;
use crate::status::Fault;
use crate::worker::v1::GetSiteRequest;
use crate::worker::v1::site_client::SiteClient;
use crate::worker::v1::site_server::{Site, SiteServer};
use futures::future::BoxFuture;
use muster_core::class::Class;
use muster_core::ids::{NAME_MAX_BYTES, SiteName, clip};
use muster_core::party::Party;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Server};

/// Makes channels to sites.
pub trait Dial: Send + Sync + 'static {
    /// A channel to what listens at this address. It may connect only when first used; a lost connection is made
    /// anew by the channel itself. Where there are certificates, nobody but the expected one is spoken to.
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>>;
}

/// Who is expected to listen at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counterpart {
    /// An orchestrator.
    Orchestrator,
    /// The worker of this site; without a site, any worker.
    Worker(Option<SiteName>),
}

impl Counterpart {
    /// Whether it is this party.
    #[must_use]
    pub fn is(&self, party: &Party) -> bool {
        match (self, party) {
            (Counterpart::Orchestrator, Party::Orchestrator { .. })
            | (Counterpart::Worker(None), Party::Worker { .. }) => true,
            (Counterpart::Worker(Some(expected)), Party::Worker { site }) => expected == site,
            (Counterpart::Orchestrator, Party::Worker { .. } | Party::Person { .. })
            | (Counterpart::Worker(_), Party::Orchestrator { .. } | Party::Person { .. }) => false,
        }
    }
}

impl fmt::Display for Counterpart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counterpart::Orchestrator => formatter.write_str("an orchestrator"),
            Counterpart::Worker(None) => formatter.write_str("a worker"),
            Counterpart::Worker(Some(site)) => write!(formatter, "the worker of {site}"),
        }
    }
}

/// Where something listens: a host's name or IP address, and a port. Written like `127.0.0.1:7701`, `[::1]:7701` or
/// `site-b:7701`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteAddress {
    host: AddressHost,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum AddressHost {
    Ip(IpAddr),
    Name(String),
}

impl SiteAddress {
    /// Whether it is on this machine and no network carries what is sent to it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            AddressHost::Ip(ip) => ip.is_loopback(),
            AddressHost::Name(name) => name == "localhost",
        }
    }

    /// The name or IP address, as a resolver and a certificate have it.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            AddressHost::Ip(ip) => ip.to_string(),
            AddressHost::Name(name) => name.clone(),
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for SiteAddress {
    fn from(address: SocketAddr) -> Self {
        SiteAddress { host: AddressHost::Ip(address.ip()), port: address.port() }
    }
}

impl fmt::Display for SiteAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            AddressHost::Ip(IpAddr::V6(ip)) => write!(formatter, "[{ip}]:{}", self.port),
            AddressHost::Ip(IpAddr::V4(ip)) => write!(formatter, "{ip}:{}", self.port),
            AddressHost::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

impl FromStr for SiteAddress {
    type Err = DialError;
    fn from_str(given: &str) -> Result<Self, DialError> {
        if let Ok(address) = given.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let not_an_address = || DialError::NotAnAddress { given: clip(given) };
        let (name, port) = given.rsplit_once(':').ok_or_else(not_an_address)?;
        let port = port.parse().map_err(|_| not_an_address())?;
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = name.len() <= NAME_MAX_BYTES && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        if starts_well && fits {
            Ok(SiteAddress { host: AddressHost::Name(name.to_owned()), port })
        } else {
            Err(not_an_address())
        }
    }
}

/// Why there is no channel. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not an address.
    #[error("{given:?} is not an address; write it like 127.0.0.1:7701 or localhost:7701")]
    NotAnAddress {
        /// What was given.
        given: String,
    },
    /// Not loopback.
    #[error(
        "{address} is not a loopback address, which only TLS may be used with; give --tls DIRECTORY, as \"muster pki issue\" makes it, or a loopback address like 127.0.0.1:7701"
    )]
    NotLoopback {
        /// The address.
        address: SiteAddress,
    },
    /// Nobody there, or the way there is cut.
    #[error("{address} can't be reached")]
    Unreachable {
        /// The address.
        address: SiteAddress,
        /// What the transport says.
        #[source]
        source: tonic::transport::Error,
    },
}

impl DialError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            DialError::NotAnAddress { .. } | DialError::NotLoopback { .. } => Class::Refused,
            DialError::Unreachable { .. } => Class::Retry,
        }
    }
}

/// Dials over TCP without TLS, and so loopback alone. Connects when the channel is first used.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            if !address.is_loopback() {
                return Err(DialError::NotLoopback { address: address.clone() });
            }
            Ok(endpoint(&pinned(address))?.connect_lazy())
        })
    }
}

/// An endpoint for this address with the timeouts and probes of [`limits`]. For implementations of [`Dial`]: in memory,
/// give it to `connect_with_connector_lazy`.
///
/// # Errors
/// `Unreachable` where the transport can't make a URI of it.
pub fn endpoint(address: &SiteAddress) -> Result<Endpoint, DialError> {
    let uri = format!("http://{address}");
    let unreachable = |source| DialError::Unreachable { address: address.clone(), source };
    let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?;
    Ok(endpoint
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// A site's client over this channel, with muster's message limits.
#[must_use]
pub fn site_client(channel: Channel) -> SiteClient<Channel> {
    SiteClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_MAX_BYTES)
        .max_encoding_message_size(limits::MESSAGE_MAX_BYTES)
}

/// A site's own word on itself, or what came instead within this time.
///
/// # Errors
/// No answer, or one that can't be read.
pub async fn site_status(mut client: SiteClient<Channel>, deadline: Duration) -> Result<SiteStatus, Fault> {
    let asked = tokio::time::timeout(deadline, client.get_site(GetSiteRequest {})).await;
    let answer = asked.map_err(|_| Fault::timed_out("GetSite"))??;
    SiteStatus::try_from(answer.into_inner()).map_err(|invalid| Fault::unreadable(&invalid))
}

/// The same once the site takes work, or once it has taken none for this long: it may have been started a moment ago. It is
/// asked again every so often.
///
/// # Errors
/// As soon as there is no answer, or one that can't be read.
pub async fn site_status_at_work(
    client: &SiteClient<Channel>,
    deadline: Duration,
    (every, longest): (Duration, Duration),
) -> Result<SiteStatus, Fault> {
    let until = Instant::now() + longest;
    loop {
        let status = site_status(client.clone(), deadline).await?;
        if status.working.is_ok() || Instant::now() >= until {
            return Ok(status);
        }
        tokio::time::sleep(every).await;
    }
}

/// A site's service, with muster's message limits.
#[must_use]
pub fn site_server<S: Site>(site: S) -> SiteServer<S> {
    SiteServer::new(site)
        .max_decoding_message_size(limits::MESSAGE_MAX_BYTES)
        .max_encoding_message_size(limits::MESSAGE_MAX_BYTES)
}

/// A gRPC server with muster's probes and limits.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .tcp_keepalive(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(limits::HEADERS_MAX_BYTES)
}

/// That a daemon without TLS listens on loopback alone.
///
/// # Errors
/// `NotLoopback` for every other address, also for "all addresses" (0.0.0.0).
pub fn require_loopback(address: SocketAddr) -> Result<SocketAddr, DialError> {
    if address.ip().is_loopback() { Ok(address) } else { Err(DialError::NotLoopback { address: address.into() }) }
}

/// `localhost` as the address it stands for, so that no resolver can send it elsewhere.
fn pinned(address: &SiteAddress) -> SiteAddress {
    match &address.host {
        AddressHost::Ip(_) => address.clone(),
        AddressHost::Name(_) => {
            SiteAddress { host: AddressHost::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: address.port }
        }
    }
}
