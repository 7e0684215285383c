//! The daemon of a site.

use super::{Transport, daemon};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{HypervisorAt, WorkerOrder};
use crate::writer::Writer;
use muster_core::env::Env;
use muster_core::ids::SiteName;
use muster_proto::channel::Counterpart;
use muster_store::sqlite::SqliteLedger;
use muster_worker::hypervisor::Hypervisor;
use muster_worker::hypervisor::sim::client::SimulatedHypervisors;
use muster_worker::peers::Peers;
use muster_worker::service::serve;
use muster_worker::site::{Site, SiteParts};
use std::path::Path;
use std::sync::Arc;

pub(super) async fn run(
    order: WorkerOrder,
    env: Arc<dyn Env>,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let stop = daemon::stop_token(order.serving)?;
    transport.must_show("--tls", &Counterpart::Worker(Some(order.site.clone())))?;
    transport.keep_fresh(Arc::clone(&env), stop.clone());
    let hypervisor = hypervisors(&order.hypervisor, &order.site)?;
    let path = order.ledger;
    let opening = tokio::task::spawn_blocking(move || SqliteLedger::open(&path));
    let ledger = opening.await.map_err(|error| died(&error))??;
    let listener = daemon::bind(order.serving).await?;
    let site = Site::start(SiteParts {
        name: order.site,
        ledger: Arc::new(ledger),
        hypervisor,
        peers: Peers::new(transport.dial(), order.peers),
        env,
    });
    daemon::say_listening(&listener, writer)?;
    let served = serve(Arc::clone(&site), listener, transport.tls(), stop).await;
    site.stop().await;
    served.map_err(|error| CliError::Daemon { what: "the worker", why: error.to_string(), class: error.class() })?;
    Ok(Exit::Done)
}

/// A site's hypervisors, of whatever kind.
pub(super) fn hypervisors(at: &HypervisorAt, site: &SiteName) -> Result<Arc<dyn Hypervisor>, CliError> {
    match at {
        HypervisorAt::Simulated(address) => {
            Ok(Arc::new(SimulatedHypervisors::connect(&format!("http://{address}"), site.clone())?))
        }
        HypervisorAt::Libvirt(path) => real(path),
    }
}

/// Hypervisors that libvirt drives.
#[cfg(feature = "libvirt")]
fn real(path: &Path) -> Result<Arc<dyn Hypervisor>, CliError> {
    use muster_worker::hypervisor::libvirt::LibvirtHypervisors;
    use muster_worker::hypervisor::libvirt::config::Config;
    let reading = |source| CliError::File { path: path.to_owned(), doing: "reading the libvirt configuration", source };
    let text = std::fs::read_to_string(path).map_err(reading)?;
    let config = Config::parse(&text).map_err(|error| CliError::Usage {
        what: format!("{}: {error}", path.display()),
        mend: "mend the file; nothing was done".to_owned(),
    })?;
    let started = LibvirtHypervisors::start(config);
    let unusable = |error: muster_worker::hypervisor::libvirt::LibvirtUnusable| CliError::Daemon {
        what: "the worker",
        why: error.to_string(),
        class: muster_core::class::Class::Refused,
    };
    Ok(Arc::new(started.map_err(unusable)?))
}

/// A build without libvirt drives none.
#[cfg(not(feature = "libvirt"))]
fn real(path: &Path) -> Result<Arc<dyn Hypervisor>, CliError> {
    Err(CliError::Usage {
        what: format!("--hypervisor libvirt:{}: this muster was built without libvirt", path.display()),
        mend: "install libvirt-dev and build it with --features libvirt".to_owned(),
    })
}

fn died(error: &tokio::task::JoinError) -> CliError {
    let why = format!("opening the ledger: {error}");
    CliError::Daemon { what: "the worker", why, class: muster_core::class::Class::Bug }
}
