//! To whom an order speaks, and where it listens: what has to be on loopback where there are no certificates.

use super::{From, Order, PlanOrder, SourceAt, Way};
use muster_core::ids::SiteName;
use muster_proto::channel::SiteAddress;
use std::collections::BTreeMap;

/// An address that an order speaks to or listens at, and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) flag: &'static str,
    pub(crate) address: SiteAddress,
}

impl Spoken {
    pub(crate) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }
}

impl Order {
    /// All of them. Simulated worlds and workers that are checked are left out: those are on loopback always. A world knows no
    /// certificates, and whoever checks a worker plays several parts, which no one certificate is for.
    pub(crate) fn spoken(&self) -> Vec<Spoken> {
        let one = |flag, address: &SiteAddress| Spoken { flag, address: address.clone() };
        let all = |flag, addresses: &BTreeMap<SiteName, SiteAddress>| {
            addresses.values().map(|address| one(flag, address)).collect::<Vec<_>>()
        };
        match self {
            Order::Demo(_)
            | Order::World(_)
            | Order::Inspect(_)
            | Order::Predict(_)
            | Order::Pki(_)
            | Order::Trail(_) => Vec::new(),
            Order::Conformance(order) => {
                let partner = order.partner.iter().map(|partner| one("--partner", partner));
                std::iter::once(one("--site", &order.site)).chain(partner).collect()
            }
            Order::Worker(order) => {
                let mut spoken = all("--peer", &order.peers);
                spoken.push(one("--listen", &order.serving.listen.into()));
                spoken
            }
            Order::Orchestrator(order) => {
                let mut spoken = all("--site", &order.sites);
                spoken.push(one("--listen", &order.serving.listen.into()));
                spoken
            }
            Order::Recover(order) => match &order.way {
                Way::Orchestrator(address) => vec![one("--orchestrator", address)],
                Way::Workers { destination, source: SourceAt::Address(source) } => {
                    vec![one("--destination", destination), one("--source", source)]
                }
                Way::Workers { destination, source: SourceAt::Lost } => vec![one("--destination", destination)],
                Way::Ledger(_) => Vec::new(),
            },
            Order::Plan(PlanOrder::Scenario(_)) => Vec::new(),
            Order::Plan(PlanOrder::Evacuation(order)) => match &order.from {
                From::Sites { orchestrator, .. } => vec![one("--orchestrator", orchestrator)],
                From::File(_) => Vec::new(),
            },
            Order::Rebuild(order) => all("--peer", &order.peers),
            Order::Client(address, _) => vec![one("--orchestrator", address)],
        }
    }
}
