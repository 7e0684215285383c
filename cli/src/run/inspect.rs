//! Inspects anybody's hypervisors. Reads only.

use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::InspectOrder;
use crate::writer::Writer;

/// Reads every hypervisor at once and shows what the readings say together.
#[cfg(feature = "libvirt")]
pub(super) async fn run(order: InspectOrder, writer: &Writer) -> Result<Exit, CliError> {
    use crate::output::inspect::{Report, text};
    use muster_core::inspect::Urgency;
    use muster_worker::hypervisor::libvirt::inspect::read;
    let readings = order.hypervisors.iter().map(|(side, uri)| read(*side, uri));
    let (mut seen, mut unread) = (Vec::new(), Vec::new());
    for reading in futures::future::join_all(readings).await {
        match reading {
            Ok(of_one) => seen.extend(of_one),
            Err(error) => unread.push(error.to_string()),
        }
    }
    let report = Report::new(muster_core::inspect::inspect(seen, !unread.is_empty()), unread);
    let all = order.all;
    writer.result(&report, |report| text(report, all));
    let needs_a_look = report.vms.iter().any(|vm| vm.urgency != Urgency::Fine);
    Ok(match (report.unread.is_empty(), needs_a_look) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Held,
        (true, false) => Exit::Done,
    })
}

/// A build without libvirt reaches no hypervisor.
#[cfg(not(feature = "libvirt"))]
pub(super) async fn run(_order: InspectOrder, _writer: &Writer) -> Result<Exit, CliError> {
    Err(CliError::Usage {
        what: "inspect: this muster was built without libvirt".to_owned(),
        mend: "install libvirt-dev and build it with --features libvirt".to_owned(),
    })
}
