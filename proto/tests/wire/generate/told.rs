//! What a site says by itself: its inventory, its news, its history.

use super::Generator;
use muster_core::ledger::command::Caller;
use muster_core::reading::{HostListing, VmListing};
use muster_proto::convert::{Alarm, InventoryEntry, LedgerLine, News, SiteNews, SiteStatus};
use rand::RngExt;

impl Generator {
    pub(crate) fn host_listing(&mut self) -> HostListing {
        HostListing {
            host: self.host(),
            answers: self.yes(),
            memory_mib: self.mib(),
            used_mib: self.mib(),
            cores: self.small(),
        }
    }

    pub(crate) fn vm_listing(&mut self) -> VmListing {
        VmListing {
            vm: self.vm(),
            host: self.host(),
            definition: self.definition(),
            instance: self.instance(),
            stored: self.stored(),
            seal: None,
        }
    }

    pub(crate) fn inventory_entry(&mut self) -> InventoryEntry {
        if self.yes() {
            InventoryEntry::Host(self.host_listing())
        } else {
            InventoryEntry::Vm(Box::new(self.vm_listing()))
        }
    }

    pub(crate) fn status(&mut self) -> SiteStatus {
        SiteStatus {
            site: self.site(),
            working: if self.yes() { Ok(()) } else { Err(self.words()) },
            now: self.at(),
            version: "0.1.0".to_owned(),
            newest_sequence: self.number(),
            newest_entry_at: self.yes().then(|| self.at()),
            rebuilt_at: self.yes().then(|| self.at()),
            confirmed_by: if self.yes() { vec![self.site()] } else { Vec::new() },
        }
    }

    pub(crate) fn alarm(&mut self) -> Alarm {
        Alarm { vm: self.maybe(Self::vm), reason: "COMMIT_WAITS".to_owned(), message: self.words() }
    }

    pub(crate) fn news(&mut self) -> SiteNews {
        let news = match self.0.random_range(0..4) {
            0 => News::Reading(Box::new(self.reading())),
            1 => News::Claims(self.claims()),
            2 => News::Alarm(self.alarm()),
            _ => News::Alive,
        };
        SiteNews { sequence: self.number(), news }
    }

    pub(crate) fn line(&mut self) -> LedgerLine {
        LedgerLine {
            sequence: self.number(),
            at: self.at(),
            evacuation: self.maybe(Self::evacuation),
            vm: self.maybe(Self::vm),
            token: self.maybe(Self::token),
            event: "attempt_opened".to_owned(),
            detail_json: format!("{{\"attempt\":{}}}", self.small()),
            caller: Caller {
                by: self.yes().then(|| "muster://orchestrator/main".to_owned()),
                origin: self.yes().then(|| "127.0.0.1:40312".to_owned()),
            },
        }
    }
}
