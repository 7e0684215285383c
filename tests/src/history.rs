//! What the workers' ledgers have written down, read through their own API.

use crate::life::Life;
use crate::stage::{Process, Stage};
use muster_core::ids::VmId;
use muster_core::ledger::Mutation;
use muster_core::ledger::command::EventKind;
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_proto::channel::{Counterpart, site_client};
use muster_proto::convert::LedgerLine;
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use tonic::transport::Channel;

/// A line of a ledger's history.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The VM, where there is one.
    pub vm: Option<VmId>,
    /// Under which token.
    pub token: Option<Token>,
    /// What.
    pub kind: EventKind,
}

impl Line {
    /// Whether it is a claim's, a release's or a floor's: what looking and claiming leave behind, and no change of anything.
    #[must_use]
    pub fn is_of_claims(&self) -> bool {
        is_of_claims(&self.kind)
    }

    /// Whether it says that a mutation of this kind ended well.
    #[must_use]
    pub fn ended(&self, of: Mutation) -> bool {
        matches!(&self.kind, EventKind::MutationEnded { mutation, error: None } if *mutation == of)
    }

    /// Whether it says that a mutation of this kind was begun.
    #[must_use]
    pub fn begun(&self, of: Mutation) -> bool {
        matches!(&self.kind, EventKind::MutationBegun { mutation } if *mutation == of)
    }
}

/// Whether it is a claim's, a release's or a floor's.
#[must_use]
pub fn is_of_claims(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Claimed { .. } | EventKind::ClaimReleased { .. } | EventKind::FloorRaised)
}

impl Stage {
    /// A client of a worker, as whoever speaks the wire has it.
    ///
    /// # Panics
    /// Never: the address is a constant.
    pub async fn worker(&self, process: Process) -> SiteClient<Channel> {
        let dial = self.network.dial_from(Process::Caller.port(), Life::new(None));
        site_client(dial.dial(&process.address(), &Counterpart::Worker(None)).await.expect("an address"))
    }

    /// A worker's whole ledger history.
    ///
    /// # Panics
    /// If it can't be read, or holds a line that can't be understood.
    pub async fn history(&self, process: Process) -> Vec<Line> {
        let mut client = self.worker(process).await;
        let mut lines: Vec<Line> = Vec::new();
        loop {
            let after_sequence = lines.last().map_or(0, |line| line.sequence);
            let request = wire::ListEventsRequest { after_sequence, ..Default::default() };
            let page = client.list_events(request).await.expect("a history").into_inner().lines;
            if page.is_empty() {
                return lines;
            }
            lines.extend(page.into_iter().map(|line| understood(LedgerLine::try_from(line).expect("a line"))));
        }
    }

    /// One VM's part of it.
    ///
    /// # Panics
    /// As [`Stage::history`].
    pub async fn history_of(&self, process: Process, vm: VmId) -> Vec<Line> {
        let mut lines = self.history(process).await;
        lines.retain(|line| line.vm == Some(vm));
        lines
    }
}

fn understood(line: LedgerLine) -> Line {
    let mut detail: serde_json::Value = serde_json::from_str(&line.detail_json).expect("JSON");
    detail["event"] = serde_json::Value::String(line.event);
    let kind = serde_json::from_value(detail).expect("an event that is known");
    Line { sequence: line.sequence, at: line.at, vm: line.vm, token: line.token, kind }
}
