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
    let readings = order.hypervisors.iter().map(async |(side, uri)| (uri, read(*side, uri).await));
    let (mut of_hosts, mut unread) = (Vec::new(), Vec::new());
    for (uri, reading) in futures::future::join_all(readings).await {
        match reading {
            Ok(seen) => of_hosts.push((uri, seen)),
            Err(error) => unread.push(error.to_string()),
        }
    }
    let seen = with_names_apart(of_hosts);
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

/// Hosts that give themselves the same name go by their URIs.
#[cfg(feature = "libvirt")]
fn with_names_apart(mut of_hosts: Vec<(&String, Vec<muster_core::inspect::Seen>)>) -> Vec<muster_core::inspect::Seen> {
    let mut names = std::collections::BTreeMap::<String, usize>::new();
    for name in of_hosts.iter().filter_map(|(_, seen)| seen.first()).map(|first| first.host.clone()) {
        *names.entry(name).or_default() += 1;
    }
    for (uri, seen) in &mut of_hosts {
        let is_another_one_too = |host: &String| names.get(host).is_some_and(|count| *count > 1);
        for one in seen.iter_mut().filter(|one| is_another_one_too(&one.host)) {
            one.host.clone_from(uri);
        }
    }
    of_hosts.into_iter().flat_map(|(_, seen)| seen).collect()
}

/// A build without libvirt reaches no hypervisor.
#[cfg(not(feature = "libvirt"))]
pub(super) async fn run(_order: InspectOrder, _writer: &Writer) -> Result<Exit, CliError> {
    Err(CliError::Usage {
        what: "inspect: this muster was built without libvirt".to_owned(),
        mend: "install libvirt-dev and build it with --features libvirt".to_owned(),
    })
}
