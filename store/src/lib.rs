//! What lasts: the ledger and the journal, their engines and their conformance suite.
//!
//! Two seams, [`Ledger`] (a site's evidence) and [`Journal`] (an orchestrator's history), each with two engines:
//! [`sqlite`] for daemons, [`memory`] for simulation. What a change means is decided in `muster-core`; this crate runs
//! it inside a transaction, makes it durable, and only then answers. It decides nothing, reads no clock and draws no
//! ids, and it never guesses after a disk has failed: the store stops, says so ([`Health`]), and opening it again
//! shows what stands.
//!
//! ```text
//! ledger/        the Ledger traits; what a batch of commands makes of a ledger, for every engine
//! journal/       the Journal trait; what a batch of records makes of a journal, for every engine
//! chain          the chain that a history's lines are, each vouching for all before it
//! columns        how columns become bytes to be hashed
//! sqlite/        the embedded engine
//!   file           opening: lock, identity, version, wholeness
//!   schema         versions and the steps between them; *_1.sql are the tables, *_2.sql their digests
//!   digest         a digest for each row, so that what a disk changes is found
//!   writer         the group-commit thread
//!   rebuild        a ledger made anew, in place of one that is gone
//!   reader         readings, off the async runtime
//!   ledger, journal, *_rows, text, fault
//! memory/        the engine for simulation: can crash, lose what wasn't synced, and fail by order
//! conformance/   the suites that every engine passes
//! error          what a store can fail with
//! pulse          the newest durable number and the store's health, and waking who waits for them
//! ```
//!
//! # Files
//! A store is one SQLite file and its companions, to be kept and copied together:
//!
//! | file | what |
//! |---|---|
//! | `NAME` | the tables; marked by `application_id` ("muLe" ledger, "muJo" journal) and `user_version`, the schema's version |
//! | `NAME-wal` | the write-ahead log: commits that are durable and not yet carried over |
//! | `NAME-shm` | SQLite's index of the log; made anew when missing |
//! | `NAME-lock` | locked by the one process that writes; empty |
//! | `NAME-new`, `NAME-rebuilt` | the beginning of a file that was never finished; removed |
//!
//! `sqlite3 NAME` reads it, also while muster runs. Each table has one column more, `digest`, over the others: a row that a
//! disk or a person has changed is not read, and its file not opened. A history's lines are chained as well ([`chain`]).
//!
//! | ledger's table | a row is | columns |
//! |---|---|---|
//! | `vm` | a VM, narrow | `vm`, `floor_epoch`, `floor_sequence`, `evacuation`, `side`, `closed`, `standing` (JSON), `intent` (JSON) |
//! | `roll` | a VM's entry of the roll, with its real definition | `vm`, `entry` (JSON) |
//! | `evacuation` | an evacuation's claim and assertions | `evacuation`, `epoch`, `claims` (JSON) |
//! | `witness` | how far another site's ledger had come | `site`, `rebuilt_at`, `sequence`, `at`, `link` |
//! | `event` | a line of history, numbered densely from 1 | `sequence`, `at`, `evacuation`, `vm`, `token_epoch`, `token_sequence`, `kind` (JSON), `by`, `origin`, `chain` |
//!
//! | journal's table | a row is | columns |
//! |---|---|---|
//! | `record` | a line of history, numbered densely from 1 | `sequence`, `at`, `by`, `request`, `evacuation`, `vm`, `kind` (JSON), `origin`, `call`, `chain` |
//! | `evacuation` | an evacuation's status, folded | `evacuation`, `ordered`, `status` (JSON) |
//! | `move` | a move's status, folded | `evacuation`, `vm`, `status` (JSON) |

#![forbid(unsafe_code)]

pub mod chain;
mod columns;
pub mod conformance;
mod error;
mod journal;
mod ledger;
pub mod memory;
mod pulse;
pub mod sqlite;

pub use error::{FileKind, Health, StoreError, Written};
pub use journal::stored::StoredRecord;
pub use journal::{Journal, JournalError, JournalQuery, RECORDS_MAX};
pub use ledger::stored::StoredEvent;
pub use ledger::{COMMANDS_MAX, Ledger, LedgerEvacuation, PAGE_MAX, ReadLedger, Receipt, RowQuery};
