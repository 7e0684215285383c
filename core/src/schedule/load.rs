//! What evacuations have under way, counted where limits are. Knows no limits.

use crate::ids::{HostName, SiteName};
use std::collections::BTreeMap;

/// Moves under way, by site and host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    sites: BTreeMap<SiteName, SiteLoad>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct SiteLoad {
    /// Sent and received.
    moves: u32,
    departures: BTreeMap<HostName, u32>,
    arrivals: BTreeMap<HostName, u32>,
}

impl Load {
    /// Adds moves that leave a host.
    pub fn depart(&mut self, site: &SiteName, host: &HostName, moves: u32) {
        let load = self.sites.entry(site.clone()).or_default();
        load.moves += moves;
        *load.departures.entry(host.clone()).or_default() += moves;
    }

    /// Adds moves that go to a host.
    pub fn arrive(&mut self, site: &SiteName, host: &HostName, moves: u32) {
        let load = self.sites.entry(site.clone()).or_default();
        load.moves += moves;
        *load.arrivals.entry(host.clone()).or_default() += moves;
    }

    /// Adds another load to this.
    pub fn add(&mut self, other: &Load) {
        for (site, load) in &other.sites {
            for (host, moves) in &load.departures {
                self.depart(site, host, *moves);
            }
            for (host, moves) in &load.arrivals {
                self.arrive(site, host, *moves);
            }
        }
    }

    /// Moves that a site sends and receives.
    #[must_use]
    pub fn of_site(&self, site: &SiteName) -> u32 {
        self.sites.get(site).map_or(0, |load| load.moves)
    }

    /// Moves that leave a host.
    #[must_use]
    pub fn departures(&self, site: &SiteName, host: &HostName) -> u32 {
        self.sites.get(site).and_then(|load| load.departures.get(host)).copied().unwrap_or_default()
    }

    /// Moves that go to a host.
    #[must_use]
    pub fn arrivals(&self, site: &SiteName, host: &HostName) -> u32 {
        self.sites.get(site).and_then(|load| load.arrivals.get(host)).copied().unwrap_or_default()
    }
}
