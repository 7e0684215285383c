//! The cases, one for each promise.

mod arrival;
mod fence;
mod history;
mod input;
mod moves;
mod reads;
mod records;
mod restart;
mod source;

use super::stage::Stage;
use super::wire::Seen;

/// A promise, and the case that checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Who answers, and its clock.
    Status,
    /// Hosts and VMs.
    Inventory,
    /// What preflight rests on.
    Survey,
    /// The path of commits.
    Path,
    /// Claims: compare-and-set.
    Claims,
    /// The roll.
    Roll,
    /// One VM's failure is its own.
    Isolated,
    /// Commands take effect in the order of their tokens.
    Order,
    /// A fenced observe shuts out what is older.
    FencedObserve,
    /// What is repeated is answered again.
    Idempotency,
    /// Two commands at once.
    Busy,
    /// What is answered is what is known.
    Evidence,
    /// The event.
    Commit,
    /// Nothing runs at the source on missing data.
    Silence,
    /// History, read in pages and again.
    Events,
    /// News, resumed.
    Watch,
    /// Requests that make no sense.
    BadInput,
    /// A whole live move, there and back.
    Move,
    /// Floors, records and history over a restart.
    Restart,
}

impl Case {
    /// All of them, in the order in which they are run.
    pub const ALL: [Case; 19] = [
        Case::Status,
        Case::Inventory,
        Case::Survey,
        Case::Path,
        Case::Claims,
        Case::Roll,
        Case::Isolated,
        Case::Order,
        Case::FencedObserve,
        Case::Idempotency,
        Case::Busy,
        Case::Evidence,
        Case::Commit,
        Case::Silence,
        Case::Events,
        Case::Watch,
        Case::BadInput,
        Case::Move,
        Case::Restart,
    ];

    /// Its name, stable, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Case::Status => "status",
            Case::Inventory => "inventory",
            Case::Survey => "survey",
            Case::Path => "path",
            Case::Claims => "claims",
            Case::Roll => "roll",
            Case::Isolated => "isolated",
            Case::Order => "order",
            Case::FencedObserve => "fenced_observe",
            Case::Idempotency => "idempotency",
            Case::Busy => "busy",
            Case::Evidence => "evidence",
            Case::Commit => "commit",
            Case::Silence => "silence",
            Case::Events => "events",
            Case::Watch => "watch",
            Case::BadInput => "bad_input",
            Case::Move => "move",
            Case::Restart => "restart",
        }
    }

    /// The protocol's sentence that it checks.
    #[must_use]
    pub fn demand(self) -> &'static str {
        match self {
            Case::Status => {
                "GetSite says who this is, whether it takes work, its clock, and how far its ledger has come"
            }
            Case::Inventory => {
                "ListInventory has every host and every VM of the site; hosts that don't answer are listed as such"
            }
            Case::Survey => {
                "Survey begins with the site's offer, has each host that answers, and the needs of each VM asked for; it changes nothing"
            }
            Case::Path => "ProvePath repeats the nonce and says who answers and whether it works",
            Case::Claims => {
                "An epoch is claimed by compare-and-set and only grows; an older claim, or a recovery's, is not taken over by itself"
            }
            Case::Roll => {
                "WriteRoll puts VMs on the roll; repeating it changes nothing; a VM is in one open evacuation at a time"
            }
            Case::Isolated => "Each command of a request has its own outcome; one VM's refusal stops no other",
            Case::Order => {
                "A VM's token only grows: a command below the floor is refused as BELOW_FLOOR and changes nothing"
            }
            Case::FencedObserve => {
                "With a token an observation raises the floor first: no older command takes effect after its answer"
            }
            Case::Idempotency => "A command equal to the floor is answered again and not executed again",
            Case::Busy => {
                "At most one change per VM is under way: a command meanwhile is answered BUSY, and nothing came of it"
            }
            Case::Evidence => {
                "A reading says what the ledger holds and what the hypervisors show, as of when; a silent host is not an absence"
            }
            Case::Commit => {
                "The completion event is written once, only for a copy that has arrived, under the token that its commit carries, never below the floor; it is never discarded"
            }
            Case::Silence => {
                "The source's copy is neither let go nor run on missing data: not before its destination was asked"
            }
            Case::Events => {
                "ListEvents has every change under its token, from any sequence number on, without gap or doubling, also over another connection"
            }
            Case::Watch => {
                "Watch begins with a reading of every VM that has changed since the sequence number, and says in time that the site is alive"
            }
            Case::BadInput => {
                "A request that makes no sense is INVALID_ARGUMENT with the violated field named, and changes nothing"
            }
            Case::Move => {
                "A live move keeps its order: record, placeholder, seal, transfer, gone, event under the transfer's token, run, retired; one runner throughout"
            }
            Case::Restart => {
                "Floors, claims, records and history outlive the worker: what was refused before its restart is refused after it"
            }
        }
    }

    pub(super) async fn run(self, stage: &Stage) -> Seen {
        match self {
            Case::Status => reads::status(stage).await,
            Case::Inventory => reads::inventory(stage).await,
            Case::Survey => reads::survey(stage).await,
            Case::Path => reads::path(stage).await,
            Case::Claims => records::claims(stage).await,
            Case::Roll => records::roll(stage).await,
            Case::Isolated => records::isolated(stage).await,
            Case::Order => fence::order(stage).await,
            Case::FencedObserve => fence::fenced_observe(stage).await,
            Case::Idempotency => fence::idempotency(stage).await,
            Case::Busy => fence::busy(stage).await,
            Case::Evidence => reads::evidence(stage).await,
            Case::Commit => arrival::commit(stage).await,
            Case::Silence => source::silence(stage).await,
            Case::Events => history::events(stage).await,
            Case::Watch => history::watch(stage).await,
            Case::BadInput => input::bad_input(stage).await,
            Case::Move => moves::there_and_back(stage).await,
            Case::Restart => restart::restart(stage).await,
        }
    }
}
