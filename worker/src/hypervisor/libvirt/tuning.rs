//! How transfers are tuned: what an order asks for, within what the site's configuration allows; before one begins and while it
//! runs.
//!
//! libvirt lets a running transfer's bandwidth and downtime be changed, and nothing else. Whatever is changed so it takes back
//! itself when the transfer ends without an arrival; so a bandwidth is always said, and none is inherited from what somebody set before.

use super::config::TransferConfig;
use super::trouble::Trouble;
use super::view::{self, JobView};
use muster_core::ids::VmId;
use muster_core::terms::Tuning;
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::sys;

/// All the bandwidth there is, as libvirt takes it, in MiB per second.
const UNLIMITED_MIB_S: u64 = (i64::MAX as u64) >> 20;

/// How one transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuned {
    tls: bool,
    auto_converge: bool,
    pub(super) bandwidth_mib_s: u64,
    pub(super) connections: Option<u16>,
}

/// What an order asks for, within the site's caps.
pub(super) fn tuned(site: &TransferConfig, asked: Tuning) -> Result<Tuned, Trouble> {
    if asked.needs_tls && !site.tls {
        let what = "the runbook wants TLS for guests' memory ([transfer] tls), and this site has none: say tls = true in \
                    its libvirt configuration's [transfer] once its hosts have certificates, or take tls out of the runbook";
        return Err(Trouble::Refused(what.to_owned()));
    }
    Ok(Tuned {
        tls: site.tls,
        auto_converge: asked.auto_converge,
        bandwidth_mib_s: bandwidth(site, asked.bandwidth_mib_s),
        connections: smaller(site.connections, asked.connections),
    })
}

impl Tuned {
    /// libvirt's flags for it.
    pub(super) fn flags(self) -> u32 {
        let mut flags = 0;
        if self.tls {
            flags |= sys::VIR_MIGRATE_TLS;
        }
        if self.connections.is_some() {
            flags |= sys::VIR_MIGRATE_PARALLEL;
        }
        if self.auto_converge {
            flags |= sys::VIR_MIGRATE_AUTO_CONVERGE;
        }
        flags
    }
}

/// Changes the transfer that is under way.
pub(super) fn adjust(
    connection: &Connect,
    vm: VmId,
    site: &TransferConfig,
    bandwidth_mib_s: Option<u64>,
    downtime_ms: Option<u64>,
) -> Result<(), Trouble> {
    let Some(view) = view::read(connection, vm)? else {
        return Err(Trouble::Refused("no such VM here".to_owned()));
    };
    match view.job {
        JobView::Nothing => return Ok(()),
        JobView::Unasked => return Err(Trouble::Refused("a transfer is adjusted where it comes from".to_owned())),
        JobView::Shown(_) => {}
    }
    if let Some(downtime_ms) = downtime_ms {
        view.domain.migrate_set_max_downtime(downtime_ms, 0)?;
    }
    view.domain.migrate_set_max_speed(bandwidth(site, bandwidth_mib_s), 0)?;
    Ok(())
}

fn bandwidth(site: &TransferConfig, asked_mib_s: Option<u64>) -> u64 {
    smaller(site.bandwidth_mib_s, asked_mib_s).unwrap_or(UNLIMITED_MIB_S)
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(bandwidth_mib_s: Option<u64>, connections: Option<u16>, tls: bool) -> TransferConfig {
        TransferConfig { tls, bandwidth_mib_s, connections }
    }

    #[test]
    fn of_two_caps_the_smaller_one_counts_and_none_is_all_there_is() {
        let caps = [
            (None, None, UNLIMITED_MIB_S),
            (Some(100), None, 100),
            (None, Some(70), 70),
            (Some(100), Some(70), 70),
            (Some(50), Some(70), 50),
        ];
        for (of_site, asked, expected) in caps {
            let asked = Tuning { bandwidth_mib_s: asked, ..Tuning::default() };
            assert_eq!(tuned(&site(of_site, None, false), asked).unwrap().bandwidth_mib_s, expected);
        }
        let asked = Tuning { connections: Some(8), ..Tuning::default() };
        assert_eq!(tuned(&site(None, Some(4), false), asked).unwrap().connections, Some(4));
        assert_eq!(tuned(&site(None, None, false), asked).unwrap().connections, Some(8));
    }

    #[test]
    fn tls_that_is_needed_and_not_there_is_refused_and_tls_of_the_site_stays() {
        let asked = Tuning { needs_tls: true, ..Tuning::default() };
        let told = tuned(&site(None, None, false), asked).unwrap_err().to_string();
        assert!(told.contains("tls = true in its libvirt configuration"), "{told}");
        for asked in [asked, Tuning::default()] {
            assert_ne!(tuned(&site(None, None, true), asked).unwrap().flags() & sys::VIR_MIGRATE_TLS, 0);
        }
    }
}
