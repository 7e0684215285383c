//! Connections as they are made, with TLS: whoever answers has to be whom the dialler means.

use super::{Certified, Tls, TlsError};
use crate::channel::{Counterpart, Dial, DialError, SiteAddress, endpoint};
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use muster_core::party::Party;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

/// Dials over TCP with TLS, to any address. Connects when the channel is first used, and with the certificate that is good then.
#[derive(Debug, Clone)]
pub struct TlsDial {
    tls: Arc<Tls>,
}

/// Why nobody was spoken to.
#[derive(Debug, thiserror::Error)]
enum WrongPeer {
    #[error("it shows no certificate")]
    NoCertificate,
    #[error("its certificate is that of {found}, and not that of {expected}")]
    Another { found: Party, expected: Counterpart },
    #[error(transparent)]
    Certificate(#[from] TlsError),
}

impl TlsDial {
    /// Dials with this certificate.
    #[must_use]
    pub fn new(tls: Arc<Tls>) -> Self {
        TlsDial { tls }
    }
}

impl Dial for TlsDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            let (tls, address, expected) = (Arc::clone(&self.tls), address.clone(), expected.clone());
            let endpoint = endpoint(&address)?;
            let connector = service_fn(move |_: Uri| {
                let (tls, address, expected) = (Arc::clone(&tls), address.clone(), expected.clone());
                async move { Ok::<_, io::Error>(TokioIo::new(connect(&tls, &address, &expected).await?)) }
            });
            Ok(endpoint.connect_with_connector_lazy(connector))
        })
    }
}

async fn connect(tls: &Tls, address: &SiteAddress, expected: &Counterpart) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect((address.host(), address.port())).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(address.host()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.client()).connect(name, stream).await?;
    must_be(expected, &stream).map_err(io::Error::other)?;
    Ok(stream)
}

fn must_be(expected: &Counterpart, stream: &TlsStream<TcpStream>) -> Result<(), WrongPeer> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).ok_or(WrongPeer::NoCertificate)?;
    let found = Certified::of(shown)?.party;
    if expected.is(&found) { Ok(()) } else { Err(WrongPeer::Another { found, expected: expected.clone() }) }
}
