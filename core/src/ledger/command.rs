//! What may be asked of a ledger, what comes of it, and why it may be refused.

mod refusal;

pub use refusal::Refusal;

use super::{HighWater, Mutation, RollEntry, VmRow};
use crate::claim::{Fenced, Holder};
use crate::definition::Definition;
use crate::evidence::{ArrivalKind, Outcome};
use crate::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use crate::step::Side;
use crate::time::Timestamp;
use crate::token::{Epoch, Token};
use serde::{Deserialize, Serialize};

/// One change to a ledger: carried out whole and durable, or refused whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerCommand {
    /// On an evacuation.
    Evacuation(EvacuationCommand),
    /// On a VM, under a token.
    Vm(VmCommand),
    /// What the worker has seen happen to a VM. Facts carry no token: they are true whoever holds the claim.
    Fact(VmFact),
    /// That this ledger is begun anew, in place of one that is gone. Its first line.
    Rebuilt {
        /// When, by the site's clock.
        at: Timestamp,
    },
    /// How far another site's ledger has come, for the day that this one has to say so. The greatest is kept; it is no part of
    /// the history.
    Witness {
        /// The site.
        site: SiteName,
        /// How far.
        high_water: HighWater,
    },
}

/// Who gave an order, as far as it is known. No decision depends on it; the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Caller {
    /// The identity in the certificate of whoever called, like `muster://orchestrator/main`; none where calls come without certificates, and for the site's own doing.
    pub by: Option<String>,
    /// The address that the call came from; none for the site's own doing.
    pub origin: Option<String>,
}

/// A change to the standing of an evacuation. Kept by the destination's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvacuationCommand {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Who ordered it.
    pub caller: Caller,
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// What.
    pub order: EvacuationOrder,
}

/// What may be ordered for an evacuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvacuationOrder {
    /// Claim it: compare-and-set on the epoch.
    Claim {
        /// Who claims.
        holder: Holder,
        /// The epoch that the claimant has read; another one now means somebody was faster.
        expected: Epoch,
        /// The greatest epoch known for it or its VMs on any reachable ledger.
        at_least: Epoch,
        /// The reason for taking over a recovery's claim, if that is what is wanted.
        take_over: Option<String>,
    },
    /// Give the claim back.
    Release {
        /// The epoch that is given back.
        epoch: Epoch,
    },
    /// Swear that something is fenced.
    Assert {
        /// What.
        fenced: Fenced,
        /// Why the person is sure.
        reason: String,
        /// Who.
        by: String,
    },
}

/// A change to a VM's row, under a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmCommand {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The VM.
    pub vm: VmId,
    /// The command's token; tested against the floor in the transaction that carries it out.
    pub token: Token,
    /// Who ordered it.
    pub caller: Caller,
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// What.
    pub order: VmOrder,
}

/// What may be ordered for a VM. The orders named `Begin…` write the intent of a hypervisor mutation, durable before
/// the call; [`FactKind::MutationEnded`] clears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmOrder {
    /// Put it on the roll, on this side.
    Enrol {
        /// Its entry.
        entry: Box<RollEntry>,
        /// Which side this site is.
        side: Side,
    },
    /// Raise the floor: what a fenced observe does first. Never refused for being busy.
    RaiseFloor,
    /// Destination: allocate the next attempt and write its started record.
    OpenAttempt {
        /// The host it is for.
        host: HostName,
        /// How it comes up.
        kind: ArrivalKind,
    },
    /// Destination: about to define the placeholder.
    BeginPlace {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: record that the attempt can never get an event.
    Abandon {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: take that back; it has arrived and the source is gone.
    Reopen {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: the completion event, and about to let it run. The point of no return.
    Complete {
        /// The attempt.
        attempt: Attempt,
        /// It runs already.
        late: bool,
    },
    /// Destination: about to let it run (again).
    BeginRun,
    /// Destination: about to remove what given-up attempts left.
    BeginDiscard,
    /// Destination: the move is over.
    CloseDestination {
        /// Where the VM is.
        outcome: Outcome,
    },
    /// Source: about to seal. The real definition is kept with it.
    BeginSeal {
        /// The real definition as it is now.
        definition: Box<Definition>,
    },
    /// Source: about to begin the transfer.
    BeginTransfer {
        /// The attempt.
        attempt: Attempt,
        /// Where to.
        host: HostName,
    },
    /// Source: about to abort the transfer.
    BeginAbort,
    /// Source: about to change the transfer's bandwidth or downtime while it runs.
    BeginAdjust,
    /// Source: about to resume the paused guest.
    BeginResume,
    /// Source: about to start the VM from its real definition.
    BeginStart,
    /// Source: about to unseal.
    BeginUnseal,
    /// Source: about to make the copy Not Runnable, after the event.
    BeginRetire {
        /// How long it is kept from now on, in milliseconds; none for ever. A copy with disks of its own is kept for ever.
        keep_ms: Option<u64>,
    },
    /// Source: about to take Not Runnable back, by an admin's order.
    BeginRelease,
    /// Source: about to delete the retired copy, whose time has come. The site's own doing.
    BeginDelete,
    /// Source: this side's part is over.
    CloseSource,
}

/// Something a worker saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmFact {
    /// The VM.
    pub vm: VmId,
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// What.
    pub kind: FactKind,
}

/// What a worker can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactKind {
    /// The mutation of this token has ended.
    MutationEnded {
        /// Its token.
        token: Token,
        /// What came of it.
        result: MutationResult,
    },
    /// Source: the transfer's job has ended without an arrival, the guest is still this side's.
    TransferFailed {
        /// The attempt.
        attempt: Attempt,
        /// The hypervisor's reason.
        error: String,
    },
    /// Source: the guest was handed over by this attempt: sealed, no job, no instance, off because migrated.
    Gone {
        /// The attempt.
        attempt: Attempt,
    },
    /// Source: sealing was refused or failed, and a look behind it shows the real definition still stored.
    NotSealed,
    /// Destination: nothing of these given-up attempts is left on their hosts.
    Cleaned {
        /// The attempts.
        attempts: Vec<Attempt>,
    },
    /// A definition that muster had made inert was changed by somebody, and was made inert again.
    MadeInertAgain,
    /// What could be known again of a VM whose ledger is gone. Only a ledger that has never heard of it takes this.
    Found {
        /// Its row.
        row: Box<VmRow>,
    },
    /// Something that a person should know.
    Alarmed {
        /// Stable, for programs.
        reason: String,
        /// For people.
        message: String,
    },
}

/// What came of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutationResult {
    /// Done.
    Done,
    /// Done: it runs at the destination.
    Ran {
        /// How long its guest stood still.
        downtime_ms: Option<u64>,
    },
    /// Done: what these attempts left is gone from their hosts.
    Cleaned {
        /// The attempts.
        attempts: Vec<Attempt>,
    },
    /// Ended without effect.
    Failed {
        /// Why.
        error: String,
    },
    /// Ended while nobody watched, as over the worker's restart; only a look tells what came of it.
    Unseen,
}

/// A line of a ledger's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEvent {
    /// The evacuation, where there is one.
    pub evacuation: Option<EvacuationId>,
    /// The VM, where there is one.
    pub vm: Option<VmId>,
    /// The token it was done under; none for facts.
    pub token: Option<Token>,
    /// Who ordered it; nobody for facts. Lines of before it was kept name nobody.
    #[serde(default)]
    pub caller: Caller,
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The ledger was begun anew, from what the site's hypervisors showed. Always the first line.
    Rebuilt,
    /// An evacuation was claimed.
    Claimed {
        /// Its new epoch.
        epoch: Epoch,
        /// Who holds it.
        holder: Holder,
        /// Why a recovery's claim was taken over.
        take_over: Option<String>,
    },
    /// A claim was given back.
    ClaimReleased {
        /// Its epoch.
        epoch: Epoch,
    },
    /// A person swore that something is fenced.
    Asserted {
        /// What.
        fenced: Fenced,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// On the roll.
    Enrolled {
        /// As which side.
        side: Side,
    },
    /// The floor was raised by a fenced observe.
    FloorRaised,
    /// A started record was written.
    AttemptOpened {
        /// The attempt.
        attempt: Attempt,
        /// Its host.
        host: HostName,
        /// How it comes up.
        kind: ArrivalKind,
    },
    /// An attempt was given up.
    Abandoned {
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt was taken back.
    Reopened {
        /// The attempt.
        attempt: Attempt,
    },
    /// The completion event.
    Completed {
        /// The attempt.
        attempt: Attempt,
        /// It ran already.
        late: bool,
    },
    /// A hypervisor mutation is about to be made.
    MutationBegun {
        /// Which.
        mutation: Mutation,
    },
    /// A hypervisor mutation has ended.
    MutationEnded {
        /// Which.
        mutation: Mutation,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// It runs at the destination.
    Ran {
        /// How long its guest stood still.
        downtime_ms: Option<u64>,
    },
    /// What given-up attempts had left is gone.
    Cleaned {
        /// The attempts.
        attempts: Vec<Attempt>,
    },
    /// A transfer was begun.
    TransferBegun {
        /// The attempt.
        attempt: Attempt,
        /// Where to.
        host: HostName,
    },
    /// A transfer ended without an arrival.
    TransferFailed {
        /// The attempt.
        attempt: Attempt,
        /// Why.
        error: String,
    },
    /// The source has let the VM go.
    Gone {
        /// The attempt it was handed over by.
        attempt: Attempt,
    },
    /// The real definition is what the source has stored: it is back, or a seal did not come through.
    Unsealed,
    /// The source's copy is Not Runnable.
    Retired {
        /// When its site will delete it; none for never. Ledgers of before it could be deleted lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept_until: Option<Timestamp>,
    },
    /// The retired copy's time had come, and it is gone.
    RetiredCopyDeleted,
    /// Not Runnable was taken back by order.
    Released,
    /// An inert definition had been changed and was made inert again.
    MadeInertAgain,
    /// A person should know of this.
    Alarmed {
        /// Stable, for programs.
        reason: String,
        /// For people.
        message: String,
    },
    /// The source's part is over.
    SourceClosed,
    /// The move is over.
    DestinationClosed {
        /// Where the VM is.
        outcome: Outcome,
    },
}

/// What became of a command on a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The row now.
    pub row: VmRow,
    /// What is to be written beside it.
    pub events: Vec<LedgerEvent>,
    /// Whether it was executed now or had been before.
    pub execution: Execution,
}

/// Whether a command was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// Now.
    Now,
    /// Before: its token equals the floor, or its effect stands. Answer it; do nothing.
    Before,
}
