//! What a move takes on its way: which links, and how much of each. Pure; says nothing of when.
//!
//! Pre-copy sends the more the slower it sends, so a move is meant to have its full share and others to wait. The share of a link is
//! what it carries divided by how many moves are to fill it: more than one where a single stream can't, or so that one move's
//! preparations go by while another sends.

use crate::ids::HostName;
use crate::runbook::selection::Patterns;
use crate::runbook::{Limits, Runbook};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most links of a runbook.
pub const LINKS_MAX: usize = 100;
/// Greatest capacity of a link or an interface, in megabits per second: ten terabits.
pub const CAPACITY_MAX_MBIT_S: u64 = 10_000_000;
/// Most moves that may be meant to fill a link.
pub const AT_ONCE_MAX: u32 = 1_000;
/// What a move is taken to send where nothing says how fast that is, in megabits per second.
pub const ASSUMED_MBIT_S: u64 = 10_000;

/// Bits of a megabit.
const MBIT: u64 = 1_000_000;
/// Bits of a mebibyte.
const MIB: u64 = 8 * 1024 * 1024;

/// Something between hosts that moves share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name; no other link of the runbook has it. Evacuations that name it alike share it.
    pub name: String,
    /// What it carries, in megabits per second: 1 to [`CAPACITY_MAX_MBIT_S`].
    pub mbit_s: u64,
    /// How many moves are meant to fill it: 1 to [`AT_ONCE_MAX`], by default 1.
    pub at_once: u32,
    /// Moves that leave these hosts take it; none given means any.
    pub source_hosts: Option<Patterns>,
    /// And go to these; none given means any.
    pub destination_hosts: Option<Patterns>,
}

/// What lies between the hosts, as a runbook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    links: Vec<Link>,
    /// What nothing about a link says: streams, interfaces, a cap on transfers. In bits per second.
    most_bit_s: Option<u64>,
    /// What a host's interface carries, in bits per second.
    source_host_bit_s: Option<u64>,
    destination_host_bit_s: Option<u64>,
    /// The links that source hosts and destination hosts match, found once for each host.
    by_source: BTreeMap<HostName, Vec<bool>>,
    by_destination: BTreeMap<HostName, Vec<bool>>,
}

/// One move's way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Route {
    /// The links, by their places in the runbook, ascending.
    pub links: Vec<usize>,
    /// What it takes of each, and of its hosts' interfaces, in bits per second. None where nothing says how fast anything is.
    pub rate_bit_s: Option<u64>,
}

impl Routes {
    /// As the runbook says.
    #[must_use]
    pub fn of(runbook: &Runbook) -> Self {
        let Runbook { links, limits, transfer, .. } = runbook;
        let Limits { source_host_mbit_s, destination_host_mbit_s, stream_mbit_s, .. } = *limits;
        let [stream, source, destination] = [stream_mbit_s, source_host_mbit_s, destination_host_mbit_s]
            .map(|mbit_s| mbit_s.map(|mbit_s| mbit_s * MBIT));
        let cap = transfer.bandwidth_mib_s.map(|mib_s| mib_s * MIB);
        Routes {
            links: links.clone(),
            most_bit_s: [stream, source, destination, cap].into_iter().flatten().min(),
            source_host_bit_s: source,
            destination_host_bit_s: destination,
            by_source: BTreeMap::new(),
            by_destination: BTreeMap::new(),
        }
    }

    /// The links, as the runbook has them.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// What a source host's interface carries, in bits per second, where the runbook says.
    #[must_use]
    pub fn source_host_bit_s(&self) -> Option<u64> {
        self.source_host_bit_s
    }

    /// What a destination host's interface carries, in bits per second, where the runbook says.
    #[must_use]
    pub fn destination_host_bit_s(&self) -> Option<u64> {
        self.destination_host_bit_s
    }

    /// The way from one host to another.
    pub fn between(&mut self, source: &HostName, destination: &HostName) -> Route {
        if self.links.is_empty() {
            return Route { links: Vec::new(), rate_bit_s: self.most_bit_s };
        }
        let departs = matching(&mut self.by_source, source, &self.links, |link| link.source_hosts.as_ref());
        let arrives =
            matching(&mut self.by_destination, destination, &self.links, |link| link.destination_hosts.as_ref());
        let links: Vec<usize> = (0..self.links.len()).filter(|link| departs[*link] && arrives[*link]).collect();
        let shares = links.iter().map(|link| self.links[*link].share_bit_s());
        Route { rate_bit_s: shares.chain(self.most_bit_s).min(), links }
    }
}

impl Link {
    /// What it carries, in bits per second.
    #[must_use]
    pub fn bit_s(&self) -> u64 {
        self.mbit_s * MBIT
    }

    /// What one of the moves that fill it takes, in bits per second; at least 1.
    #[must_use]
    pub fn share_bit_s(&self) -> u64 {
        (self.bit_s() / u64::from(self.at_once.max(1))).max(1)
    }
}

fn matching<'a>(
    known: &'a mut BTreeMap<HostName, Vec<bool>>,
    host: &HostName,
    links: &[Link],
    allowed: impl Fn(&Link) -> Option<&Patterns>,
) -> &'a [bool] {
    if !known.contains_key(host) {
        let matches = |link| allowed(link).is_none_or(|patterns| patterns.match_text(host.as_str()));
        known.insert(host.clone(), links.iter().map(matches).collect());
    }
    known.get(host).map_or(&[], Vec::as_slice)
}
