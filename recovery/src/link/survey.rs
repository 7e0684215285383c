//! A site's answer for preflight, put together from its parts. Decides nothing.

use muster_core::ids::{HostName, VmId};
use muster_core::preflight::survey::{ProcessorFit, SiteSurvey, VmNeeds};
use muster_core::time::Timestamp;
use muster_proto::convert::{InvalidMessage, SurveyEntry, SurveyOrder};
use muster_proto::limits::ITEMS_MAX;
use muster_proto::worker::v1 as wire;
use std::collections::BTreeMap;

/// What a site said for preflight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SurveyAnswer {
    /// Of itself.
    pub site: SiteSurvey,
    /// Of the VMs asked about; those it can't see are missing.
    pub needs: BTreeMap<VmId, VmNeeds>,
    /// Of the processors asked about.
    pub processors: BTreeMap<(String, HostName), ProcessorFit>,
}

impl SurveyAnswer {
    pub(super) fn add(&mut self, item: wire::SurveyItem) -> Result<(), InvalidMessage> {
        match item.try_into()? {
            SurveyEntry::Site { licences, peers } => {
                // Each part of the answer begins with the site as it is then.
                self.site = SiteSurvey { licences, peers, ..SiteSurvey::default() };
            }
            SurveyEntry::Host(host) => self.site.hosts.push(*host),
            SurveyEntry::Needs(needs) => {
                self.needs.insert(needs.vm, *needs);
            }
            SurveyEntry::Processor { processor, host, fit } => {
                self.processors.insert((processor, host), fit);
            }
        }
        Ok(())
    }
}

/// The requests that it takes: at least one.
pub(super) fn orders(hosts: &[HostName], vms: &[VmId], processors: &[String]) -> Vec<SurveyOrder> {
    let count = vms.len().div_ceil(ITEMS_MAX).max(processors.len().div_ceil(ITEMS_MAX)).max(1);
    let (mut vms, mut processors) = (vms.chunks(ITEMS_MAX), processors.chunks(ITEMS_MAX));
    let order = |_| SurveyOrder {
        vms: vms.next().unwrap_or_default().to_vec(),
        processors: processors.next().unwrap_or_default().to_vec(),
        hosts: hosts.to_vec(),
    };
    (0..count).map(order).collect()
}

/// How far a clock is ahead that was read between two readings of ours, taken to be the middle.
pub(super) fn clock_ahead_ms(before: Timestamp, read: Timestamp, after: Timestamp) -> i64 {
    let middle = before.0 + after.0.saturating_sub(before.0) / 2;
    let apart = i64::try_from(read.0.abs_diff(middle)).unwrap_or(i64::MAX);
    if read.0 < middle { -apart } else { apart }
}
