//! TLS: who is let in, who is spoken to, and certificates that change while both ends run.

use muster_core::time::Timestamp;
use muster_proto::channel::{Counterpart, Dial, SiteAddress, server, site_client};
use muster_proto::status::{Fault, TRANSPORT, status};
use muster_proto::tls::{
    Access, Bearer, CERTIFICATE_EXPIRED, NO_IDENTITY, Peer, Reloaded, Tls, TlsDial, TlsError, TlsFiles, incoming,
};
use muster_proto::worker::v1 as pb;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http;
use tower::service_fn;

type Authority = CertifiedIssuer<'static, KeyPair>;

const DAY: time::Duration = time::Duration::days(1);

fn now() -> Timestamp {
    Timestamp(u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap() * 1_000)
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a bearer's files: a certificate with these names, valid for so many days from a day ago.
fn issue(directory: &Path, authority: &Authority, identities: &[&str], days: i32) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.subject_alt_names.extend(identities.iter().map(|one| SanType::URI((*one).try_into().unwrap())));
    params.not_before = OffsetDateTime::now_utc() - DAY;
    params.not_after = params.not_before + DAY * days;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let files = TlsFiles::in_directory(directory);
    std::fs::write(&files.authority, authority.pem()).unwrap();
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn load(directory: &TempDir) -> Result<Tls, TlsError> {
    Tls::load(TlsFiles::in_directory(directory.path()), now())
}

fn bearer(authority: &Authority, identities: &[&str]) -> (TempDir, Arc<Tls>) {
    let directory = tempfile::tempdir().unwrap();
    issue(directory.path(), authority, identities, 30);
    let tls = Arc::new(load(&directory).unwrap());
    (directory, tls)
}

/// A server that refuses every call with what it knows of its caller, at this time.
async fn serve(tls: Arc<Tls>, at: Timestamp) -> (SiteAddress, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = SiteAddress::from(listener.local_addr().unwrap());
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&refused);
    let connections = incoming(listener, Some(tls), move |error| told.lock().unwrap().push(error.to_string())).unwrap();
    let service = service_fn(move |mut request: http::Request<Body>| async move {
        let mut call = tonic::Request::new(());
        *call.extensions_mut() = std::mem::take(request.extensions_mut());
        assert!(call.extensions().get::<Peer>().is_some(), "no call goes without its peer");
        let answer = match Access::Certified.bearer(&call, at) {
            Ok(Bearer::Known(party)) => status(muster_core::class::Class::Refused, "KNOWN", &party.to_string()),
            Ok(Bearer::Anybody) => status(muster_core::class::Class::Bug, "ANYBODY", ""),
            Err(refused) => refused,
        };
        Ok::<_, Infallible>(answer.into_http::<Body>())
    });
    tokio::spawn(server().serve_with_incoming(service, connections));
    (address, refused)
}

async fn ask(tls: &Arc<Tls>, address: &SiteAddress, expected: Counterpart) -> Fault {
    let channel = TlsDial::new(Arc::clone(tls)).dial(address, &expected).await.unwrap();
    site_client(channel).get_site(pb::GetSiteRequest {}).await.unwrap_err().into()
}

fn paris() -> Counterpart {
    Counterpart::Worker(Some("paris".parse().unwrap()))
}

#[tokio::test]
async fn both_ends_know_each_other_by_their_certificates() {
    let authority = authority();
    let (_paris, worker) = bearer(&authority, &["muster://worker/paris"]);
    let (_alice, alice) = bearer(&authority, &["muster://admin/alice?site=paris"]);
    let (address, _) = serve(worker, now()).await;
    for expected in [paris(), Counterpart::Worker(None)] {
        let fault = ask(&alice, &address, expected).await;
        assert_eq!((fault.reason.as_str(), fault.message.as_str()), ("KNOWN", "muster://admin/alice?site=paris"));
    }
}

#[tokio::test]
async fn nothing_is_said_to_anybody_but_whom_the_dialler_means() {
    let authority = authority();
    let (_paris, worker) = bearer(&authority, &["muster://worker/paris"]);
    let (_main, main) = bearer(&authority, &["muster://orchestrator/main"]);
    let (address, _) = serve(worker, now()).await;
    let berlin = Counterpart::Worker(Some("berlin".parse().unwrap()));
    for expected in [berlin, Counterpart::Orchestrator] {
        let fault = ask(&main, &address, expected.clone()).await;
        assert_eq!(fault.reason, TRANSPORT, "{expected}: {fault}");
    }
    let (_stranger, strange) = bearer(&self::authority(), &["muster://orchestrator/main"]);
    assert_eq!(ask(&strange, &address, paris()).await.reason, TRANSPORT);
}

#[tokio::test]
async fn who_shows_a_certificate_of_another_authority_or_speaks_no_tls_is_not_let_in() {
    let authority = authority();
    let (_paris, worker) = bearer(&authority, &["muster://worker/paris"]);
    let (address, refused) = serve(worker, now()).await;
    // It trusts whom it dials, and isn't trusted.
    let (stranger, _) = bearer(&self::authority(), &["muster://admin/mallory"]);
    std::fs::write(stranger.path().join("ca.crt"), authority.pem()).unwrap();
    let loaded = load(&stranger);
    assert!(
        matches!(loaded, Err(TlsError::Unfit { .. })),
        "a certificate that nobody will take is told before it is used"
    );
    let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", address.port())).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut answer).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while refused.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("in time");
}

#[tokio::test]
async fn a_certificate_without_one_identity_and_one_that_has_expired_are_nobodys() {
    let authority = authority();
    for identities in [&[][..], &["muster://admin/a", "muster://admin/b"], &["muster://owner/a"], &["muster://admin/"]]
    {
        let directory = tempfile::tempdir().unwrap();
        issue(directory.path(), &authority, identities, 30);
        let refused = load(&directory);
        assert!(matches!(refused, Err(TlsError::NotOneIdentity { .. } | TlsError::Identity(_))), "{identities:?}");
    }
    let expired = tempfile::tempdir().unwrap();
    issue(expired.path(), &authority, &["muster://admin/alice"], 0);
    assert!(matches!(load(&expired), Err(TlsError::Unfit { .. })));

    // A connection outlives the certificate that it was made with, and its calls don't.
    let (_paris, worker) = bearer(&authority, &["muster://worker/paris"]);
    let (_alice, alice) = bearer(&authority, &["muster://admin/alice"]);
    let (address, _) = serve(Arc::clone(&worker), now()).await;
    assert_eq!(ask(&alice, &address, paris()).await.reason, "KNOWN");
    let (address, _) = serve(worker, now().plus_ms(40 * 24 * 3_600 * 1_000)).await;
    assert_eq!(ask(&alice, &address, paris()).await.reason, CERTIFICATE_EXPIRED);
}

#[tokio::test]
async fn without_a_peer_a_call_is_nobodys_where_certificates_count() {
    let refused = Access::Certified.bearer(&tonic::Request::new(()), now()).unwrap_err();
    assert_eq!((refused.code(), Fault::from(&refused).reason.as_str()), (tonic::Code::Unauthenticated, NO_IDENTITY));
    assert_eq!(Access::Open.bearer(&tonic::Request::new(()), now()).unwrap(), Bearer::Anybody);
}

#[tokio::test]
async fn renewed_files_count_for_new_connections_and_unfit_ones_change_nothing() {
    let authority = authority();
    let (paris_files, worker) = bearer(&authority, &["muster://worker/paris"]);
    let (bob_files, bob) = bearer(&authority, &["muster://operator/bob"]);
    let (address, _) = serve(Arc::clone(&worker), now()).await;
    assert_eq!(bob.reload(now()).unwrap(), Reloaded::Unchanged);
    issue(bob_files.path(), &authority, &["muster://viewer/bob"], 30);
    assert_eq!(ask(&bob, &address, paris()).await.message, "muster://operator/bob");
    assert_eq!(bob.reload(now()).unwrap(), Reloaded::Changed);
    assert_eq!(ask(&bob, &address, paris()).await.message, "muster://viewer/bob");

    std::fs::write(paris_files.path().join("tls.key"), "nothing").unwrap();
    assert!(matches!(worker.reload(now()), Err(TlsError::NotPem { .. })));
    assert_eq!(ask(&bob, &address, paris()).await.message, "muster://viewer/bob");
    issue(paris_files.path(), &authority, &["muster://worker/berlin"], 30);
    assert_eq!(worker.reload(now()).unwrap(), Reloaded::Changed);
    assert_eq!(ask(&bob, &address, paris()).await.reason, TRANSPORT, "it shows itself as another site's now");
}

#[test]
fn a_key_that_everybody_may_read_is_not_used() {
    let authority = authority();
    let directory = tempfile::tempdir().unwrap();
    issue(directory.path(), &authority, &["muster://admin/alice"], 30);
    let key = directory.path().join("tls.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(load(&directory), Err(TlsError::KeyIsOpen { .. })));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(load(&directory).is_ok());
}
