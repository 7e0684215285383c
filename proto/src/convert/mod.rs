//! Messages to the core's types and back.
//!
//! `From<core type> for message` on the way out, `TryFrom<message> for core type` on the way in, with
//! [`InvalidMessage`] naming the field and how to mend it. Everything that comes in is checked here: presence, names,
//! UUIDs, bounds ([`crate::limits`]), enums. It must never guess a default for what is missing.

mod adjustment;
mod answer;
mod batch;
mod claims;
mod command;
mod definition;
mod event;
mod finding;
mod invalid;
mod inventory;
mod read;
mod reading;
mod request;
mod standing;
mod survey;
mod token;

pub use answer::{SiteFailure, VmAnswer};
pub use batch::{batches, roll_batches};
pub use claims::EvacuationClaims;
pub use command::{SiteAction, SiteCommand};
pub use event::{Alarm, LedgerLine, News, SiteNews, SiteStatus};
pub use invalid::{InvalidMessage, Problem};
pub use inventory::{InventoryEntry, add_to_inventory, inventory_items};
pub use read::{attempt, bounded_text, page_size, parsed, payload, request_id, require_items, required, text};
pub use request::{
    AssertFenced, ClaimEvacuation, CommitArrival, Execute, GreatestEpoch, Ledgers, Observe, PathProof, ProvePath,
    ReleaseClaim, VmToken, WriteRoll, evacuations,
};
pub use survey::{SurveyEntry, SurveyOrder};
