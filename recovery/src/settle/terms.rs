//! The terms that count for each move now. Whoever drives the moves may change them while they are settled; who settles is woken.

use muster_core::ids::VmId;
use muster_core::terms::Terms;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The terms in force.
#[derive(Debug)]
pub struct TermsInForce {
    held: watch::Sender<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    common: Arc<Terms>,
    own: BTreeMap<VmId, Arc<Terms>>,
}

impl TermsInForce {
    /// The same for every move.
    #[must_use]
    pub fn common(terms: Terms) -> Self {
        TermsInForce { held: watch::Sender::new(Held { common: Arc::new(terms), own: BTreeMap::new() }) }
    }

    /// What counts for a move now.
    #[must_use]
    pub fn of(&self, vm: VmId) -> Arc<Terms> {
        let held = self.held.borrow();
        Arc::clone(held.own.get(&vm).unwrap_or(&held.common))
    }

    /// How long a site may be silent, in milliseconds.
    #[must_use]
    pub fn silence_ms(&self) -> u64 {
        self.held.borrow().common.deadlines.silence_ms
    }

    /// Puts others in force: for every move, and for those that have terms of their own.
    pub fn replace(&self, common: Terms, own: impl IntoIterator<Item = (VmId, Terms)>) {
        let own = own.into_iter().map(|(vm, terms)| (vm, Arc::new(terms))).collect();
        self.held.send_replace(Held { common: Arc::new(common), own });
    }

    /// Wakes whoever waits for a change since it was last asked.
    pub(super) fn changes(&self) -> Changes {
        Changes { receiver: self.held.subscribe() }
    }
}

/// Tells when the terms change.
#[derive(Debug)]
pub(super) struct Changes {
    receiver: watch::Receiver<Held>,
}

impl Changes {
    /// Waits for the next change; for ever if nobody can make one any more.
    pub(super) async fn next(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
