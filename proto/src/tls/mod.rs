//! TLS between muster's parts: both ends show a certificate of one authority, and each certificate says who its bearer is
//! ([`muster_core::party`]). TLS 1.3 alone, by rustls.
//!
//! [`Tls`] holds what was read from three files and can read them again, so that certificates are renewed without a restart;
//! [`incoming`] takes connections in, [`TlsDial`] makes them. Which call a bearer may make is the services' to decide; this
//! module only says who it is. It never logs, and never reads a clock: the time comes in.
//!
//! ```text
//! dialler                                    listener
//!   ├─ its certificate ─────────────────────▶│ signed by the authority? valid now?  else the handshake fails
//!   │◀──────────────────── its certificate ──┤
//!   │ signed, valid, made for this address?
//!   │ does it name the worker of the site (or the orchestrator) that is dialled?     else nothing is sent
//!   ├─ calls ───────────────────────────────▶│ Peer: address and identity, with every call
//! ```

mod access;
mod certificate;
mod connect;
mod incoming;

pub use access::{Access, Bearer, CERTIFICATE_EXPIRED, NO_IDENTITY, NOT_PERMITTED, not_permitted};
pub use certificate::Certified;
pub use connect::TlsDial;
pub use incoming::{Connection, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, ListenError, Peer, Refused, incoming, origin};

use muster_core::class::Class;
use muster_core::party::PartyError;
use muster_core::time::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The protocol that is spoken inside, as TLS negotiates it: HTTP/2.
const ALPN: &[u8] = b"h2";

/// Largest file of certificates or keys, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The three files of a bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificate, or several while one follows another; PEM.
    pub authority: PathBuf,
    /// The bearer's certificate, then those between it and the authority's; PEM.
    pub certificate: PathBuf,
    /// The bearer's private key; PEM, and nobody else's to read.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The files of a directory, by the names that `muster pki issue` and Kubernetes' TLS secrets give them: `ca.crt`,
    /// `tls.crt`, `tls.key`.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        TlsFiles {
            authority: directory.join("ca.crt"),
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        }
    }
}

/// A bearer's certificate and key, and the authority that it trusts.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<Material>>,
}

/// What the files hold at one time.
#[derive(Debug)]
struct Material {
    contents: Contents,
    own: Certified,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

#[derive(Debug, PartialEq, Eq)]
struct Contents {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What reading the files again has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The files are as they were.
    Unchanged,
    /// New connections use what stands in them now.
    Changed,
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{} can't be read: {source}; \"muster pki issue\" makes it", .path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{} is larger than {FILE_MAX_BYTES} bytes; it holds no certificates or keys alone", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Everybody may read a private key.
    #[error("{} may be read by everybody on this machine; run chmod 600 on it, and issue it anew if that was so for long", .path.display())]
    KeyIsOpen {
        /// The file.
        path: PathBuf,
    },
    /// A file isn't PEM, or holds nothing of what it should.
    #[error("{} holds no {what} in PEM; \"muster pki issue\" makes it", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// What the files hold doesn't fit together, or has expired.
    #[error("{} can't be used: {source}; issue it anew with \"muster pki issue\"", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// A certificate isn't one.
    #[error("a certificate can't be read: {what}")]
    NotCertificate {
        /// Why.
        what: String,
    },
    /// A certificate doesn't say who its bearer is, or says several things.
    #[error("a certificate names {found} muster identities, and not one; issue it with \"muster pki issue\"")]
    NotOneIdentity {
        /// How many.
        found: usize,
    },
    /// A certificate's identity is none.
    #[error(transparent)]
    Identity(#[from] PartyError),
}

impl TlsError {
    /// What the caller may do now: a person has to mend it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            TlsError::Unread { .. }
            | TlsError::TooLarge { .. }
            | TlsError::KeyIsOpen { .. }
            | TlsError::NotPem { .. }
            | TlsError::Unfit { .. }
            | TlsError::NotCertificate { .. }
            | TlsError::NotOneIdentity { .. }
            | TlsError::Identity(_) => Class::Refused,
        }
    }
}

impl Tls {
    /// Reads a bearer's files. Blocks while it does.
    ///
    /// # Errors
    /// One of them is missing, open to everybody, or unfit; or the certificate isn't valid now, or not of this authority.
    pub fn load(files: TlsFiles, now: Timestamp) -> Result<Self, TlsError> {
        let material = Material::of(&files, Contents::read(&files)?, now)?;
        Ok(Tls { files, current: RwLock::new(Arc::new(material)) })
    }

    /// Reads the files again. What can't be used changes nothing: connections are made with what was good before.
    ///
    /// # Errors
    /// As for [`Tls::load`].
    pub fn reload(&self, now: Timestamp) -> Result<Reloaded, TlsError> {
        let contents = Contents::read(&self.files)?;
        if self.current().contents == contents {
            return Ok(Reloaded::Unchanged);
        }
        let material = Arc::new(Material::of(&self.files, contents, now)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(Reloaded::Changed)
    }

    /// Who bears the certificate, and until when it is valid.
    #[must_use]
    pub fn own(&self) -> Certified {
        self.current().own.clone()
    }

    fn current(&self) -> Arc<Material> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().server)
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current().client)
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        // Looked at before anything is read of it.
        let unread = |source| TlsError::Unread { path: files.key.clone(), source };
        if std::fs::metadata(&files.key).map_err(unread)?.permissions().mode() & 0o007 != 0 {
            return Err(TlsError::KeyIsOpen { path: files.key.clone() });
        }
        Ok(Contents {
            authority: read(&files.authority)?,
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unread = |source| TlsError::Unread { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unread)?.len() > FILE_MAX_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unread)
}

impl Material {
    fn of(files: &TlsFiles, contents: Contents, now: Timestamp) -> Result<Self, TlsError> {
        let unfit = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Unfit { path, source }
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority, &contents.authority)? {
            roots.add(certificate).map_err(unfit(&files.authority))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.certificate, &contents.certificate)?;
        let not_pem = |_| TlsError::NotPem { path: files.key.clone(), what: "private key" };
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(not_pem)?;
        let own = Certified::of(&chain[0])?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unfit(&files.authority)(rustls::Error::General(error.to_string())))?;
        // Whoever dials this bearer, or is dialled by it, will ask the same; here a person can still mend it.
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        verifier.verify_client_cert(&chain[0], &chain[1..], at).map_err(unfit(&files.certificate))?;

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unfit(&files.certificate))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unfit(&files.certificate))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would bring back the identity of a certificate that has been replaced.
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unfit(&files.certificate))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unfit(&files.certificate))?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Material { contents, own, server: Arc::new(server), client: Arc::new(client) })
    }
}

/// The certificates of a file: one at least.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = || TlsError::NotPem { path: path.to_owned(), what: "certificate" };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(not_pem()),
    }
}
