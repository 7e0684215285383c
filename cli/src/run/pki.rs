//! Makes an authority and the certificates that it signs. Touches the directories that it is told, and nobody else's; a key is
//! never shown, never sent, and never written where others can read it.

use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{IssueOrder, PkiOrder};
use crate::output::pki::{Issued, text};
use crate::writer::Writer;
use muster_core::env::Env;
use muster_core::party::Party;
use muster_core::time::Timestamp;
use muster_proto::tls::{Tls, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// The authority's key, in its directory alone.
const AUTHORITY_KEY: &str = "ca.key";

/// What everything is reached by on its own machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How much earlier than now a certificate is valid: clocks differ.
const CLOCKS_DIFFER: Duration = Duration::minutes(5);

/// Others may look into a directory of certificates, and not into keys.
const DIRECTORY_MODE: u32 = 0o755;
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

pub(super) fn run(order: PkiOrder, env: &dyn Env, writer: &Writer) -> Result<Exit, CliError> {
    let issued = match order {
        PkiOrder::Init { directory, days } => init(&directory, days, env.now())?,
        PkiOrder::Issue(order) => issue(&order, env.now())?,
        PkiOrder::Show { directory } => show(&directory, env.now())?,
    };
    writer.result(&issued, text);
    Ok(Exit::Done)
}

fn init(directory: &Path, days: u32, now: Timestamp) -> Result<Issued, CliError> {
    let certificate = directory.join("ca.crt");
    must_be_new(&certificate, "an authority stands there already; every certificate hangs on it")?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "muster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let not_after = valid(&mut params, days, now)?;
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let pem = key.serialize_pem();
    let authority = CertifiedIssuer::self_signed(params, key).map_err(|error| failed(&error))?;
    make_directory(directory)?;
    write(&directory.join(AUTHORITY_KEY), KEY_MODE, &pem)?;
    write(&certificate, CERTIFICATE_MODE, &authority.pem())?;
    Ok(Issued { directory: directory.display().to_string(), identity: None, not_after_ms: not_after.0 })
}

fn issue(order: &IssueOrder, now: Timestamp) -> Result<Issued, CliError> {
    let files = TlsFiles::in_directory(&order.to);
    if !order.renew {
        must_be_new(&files.certificate, "a certificate stands there already; give --renew to replace it")?;
    }
    let authority = read(&order.authority.join("ca.crt"))?;
    let authority_key =
        KeyPair::from_pem(&read(&order.authority.join(AUTHORITY_KEY))?).map_err(|error| failed(&error))?;
    let issuer = Issuer::from_ca_cert_pem(&authority, authority_key).map_err(|error| failed(&error))?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, order.party.name());
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = names(&order.party, &order.addresses)?;
    params.extended_key_usages = match &order.party {
        Party::Worker { .. } | Party::Orchestrator { .. } => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Party::Person { .. } => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    valid(&mut params, order.days, now)?;
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = params.signed_by(&key, &issuer).map_err(|error| failed(&error))?;
    make_directory(&order.to)?;
    // A daemon that looks in between finds a certificate and a key that don't fit, and keeps the ones it has.
    write(&files.authority, CERTIFICATE_MODE, &authority)?;
    write(&files.key, KEY_MODE, &key.serialize_pem())?;
    write(&files.certificate, CERTIFICATE_MODE, &certificate.pem())?;
    show(&order.to, now)
}

/// What stands in a directory, as whoever uses it will find it.
fn show(directory: &Path, now: Timestamp) -> Result<Issued, CliError> {
    let own = Tls::load(TlsFiles::in_directory(directory), now)?.own();
    Ok(Issued {
        directory: directory.display().to_string(),
        identity: Some(own.party.to_string()),
        not_after_ms: own.not_after.0,
    })
}

fn names(party: &Party, addresses: &[String]) -> Result<Vec<SanType>, CliError> {
    let text = |text: &str| text.to_owned().try_into().map_err(|error| failed(&error));
    let mut names = vec![SanType::URI(text(&party.to_string())?)];
    let loopback: &[&str] = match party {
        Party::Worker { .. } | Party::Orchestrator { .. } => &LOOPBACK,
        Party::Person { .. } => &[],
    };
    for address in loopback.iter().copied().chain(addresses.iter().map(String::as_str)) {
        match address.parse::<IpAddr>() {
            Ok(ip) => names.push(SanType::IpAddress(ip)),
            Err(_) if is_host_name(address) => names.push(SanType::DnsName(text(address)?)),
            Err(_) => {
                return Err(CliError::Usage {
                    what: format!("--address {address:?} is neither a host's name nor an IP address"),
                    mend: "write it like worker.paris.example or 10.1.0.5, without a port".to_owned(),
                });
            }
        }
    }
    Ok(names)
}

fn is_host_name(given: &str) -> bool {
    // As an address that is dialled: the port is only there to be read.
    format!("{given}:1").parse::<muster_proto::channel::SiteAddress>().is_ok()
}

/// Makes a certificate valid from now on, for so many days; until when that is.
fn valid(params: &mut CertificateParams, days: u32, now: Timestamp) -> Result<Timestamp, CliError> {
    let seconds = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
    let begin = OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| failed(&error))?;
    let end = begin.checked_add(Duration::days(i64::from(days))).ok_or_else(|| failed(&"the end is out of range"))?;
    params.not_before = begin - CLOCKS_DIFFER;
    params.not_after = end;
    Ok(Timestamp(u64::try_from(end.unix_timestamp()).unwrap_or(0).saturating_mul(1_000)))
}

fn must_be_new(path: &Path, why: &str) -> Result<(), CliError> {
    if path.exists() {
        let what = format!("{}: {why}", path.display());
        return Err(CliError::Usage { what, mend: "nothing was written".to_owned() });
    }
    Ok(())
}

fn make_directory(directory: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: directory.to_owned(), doing: "making the directory", source };
    std::fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed)
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), doing: "reading the authority", source };
    std::fs::read_to_string(path).map_err(failed)
}

/// Writes a file whole or not at all, with this mode from the first byte on.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), doing: "writing", source };
    let beside = path.with_extension("new");
    // What an earlier run has left there may have another mode.
    if beside.exists() {
        std::fs::remove_file(&beside).map_err(failed)?;
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::Pki { why: error.to_string() }
}
