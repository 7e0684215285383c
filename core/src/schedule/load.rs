//! What evacuations have under way, counted where limits are. Knows no limits.

use crate::ids::{HostName, SiteName};
use std::collections::BTreeMap;

/// Moves under way, by site and host, and what they take of the links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    sites: BTreeMap<SiteName, SiteLoad>,
    /// By name, in bits per second.
    links: BTreeMap<String, u64>,
}

/// What moves take of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostLoad {
    /// How many there are.
    pub moves: u32,
    /// How many of them copy a disk.
    pub disk_copies: u32,
    /// What they take of its interface, in bits per second.
    pub bit_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct SiteLoad {
    /// Sent and received.
    moves: u32,
    departures: BTreeMap<HostName, HostLoad>,
    arrivals: BTreeMap<HostName, HostLoad>,
}

impl HostLoad {
    /// Adds another load to this.
    pub fn add(&mut self, other: HostLoad) {
        self.moves += other.moves;
        self.disk_copies += other.disk_copies;
        self.bit_s += other.bit_s;
    }

    /// Takes another load from this, of which it is a part.
    pub(super) fn give(&mut self, part: HostLoad) {
        self.moves -= part.moves;
        self.disk_copies -= part.disk_copies;
        self.bit_s -= part.bit_s;
    }
}

impl Load {
    /// Adds moves that leave a host.
    pub fn depart(&mut self, site: &SiteName, host: &HostName, load: HostLoad) {
        let of_site = self.sites.entry(site.clone()).or_default();
        of_site.moves += load.moves;
        of_site.departures.entry(host.clone()).or_default().add(load);
    }

    /// Adds moves that go to a host.
    pub fn arrive(&mut self, site: &SiteName, host: &HostName, load: HostLoad) {
        let of_site = self.sites.entry(site.clone()).or_default();
        of_site.moves += load.moves;
        of_site.arrivals.entry(host.clone()).or_default().add(load);
    }

    /// Adds what moves take of a link, in bits per second.
    pub fn take(&mut self, link: &str, bit_s: u64) {
        *self.links.entry(link.to_owned()).or_default() += bit_s;
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
        for (link, bit_s) in &other.links {
            self.take(link, *bit_s);
        }
    }

    /// Moves that a site sends and receives.
    #[must_use]
    pub fn of_site(&self, site: &SiteName) -> u32 {
        self.sites.get(site).map_or(0, |load| load.moves)
    }

    /// Moves that leave a host.
    #[must_use]
    pub fn departures(&self, site: &SiteName, host: &HostName) -> HostLoad {
        self.sites.get(site).and_then(|load| load.departures.get(host)).copied().unwrap_or_default()
    }

    /// Moves that go to a host.
    #[must_use]
    pub fn arrivals(&self, site: &SiteName, host: &HostName) -> HostLoad {
        self.sites.get(site).and_then(|load| load.arrivals.get(host)).copied().unwrap_or_default()
    }

    /// What moves take of a link, in bits per second.
    #[must_use]
    pub fn of_link(&self, link: &str) -> u64 {
        self.links.get(link).copied().unwrap_or_default()
    }
}
