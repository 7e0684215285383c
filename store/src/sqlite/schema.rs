//! The files' schemas: what each is marked with, and the steps that bring an older file forward. Steps are only ever
//! added at the end; one that was released is never changed.

use super::digest::{self, Table};
use super::fault::Fault;
use super::{journal_rows, ledger_rows};
use crate::chain::ChainFault;
use crate::error::FileKind;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// A kind of file and its schema's steps, from an empty file to the newest version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    pub(super) kind: FileKind,
    /// SQLite's `application_id`: which program's file it is.
    pub(super) application_id: u32,
    /// Step n makes version n, counted from 1. The version stands in SQLite's `user_version`.
    pub(super) steps: &'static [&'static str],
    /// The table that is numbered without gaps.
    pub(super) history: &'static str,
    /// The tables whose rows carry digests.
    pub(super) tables: &'static [Table],
    /// Finds a key whose rows contradict one another, if there is one.
    pub(super) contradiction: Option<&'static str>,
    /// Finds the first fault of the history's chain.
    pub(super) first_unchained: FirstFault,
}

/// Looks for the first fault of a chain.
type FirstFault = fn(&Connection) -> Result<Option<ChainFault>, Fault>;

/// A VM whose row is older than what the history says was done to it, as a page is that a disk has not written. No command
/// is in the history under a token above its VM's floor. Numbers beyond 2^63 are stored as negative ones.
const BEHIND_ITS_HISTORY: &str = "SELECT event.vm FROM event LEFT JOIN vm USING (vm)
    WHERE event.vm IS NOT NULL AND event.token_epoch IS NOT NULL AND (vm.vm IS NULL OR
        (event.token_epoch < 0, event.token_epoch, event.token_sequence < 0, event.token_sequence)
            > (floor_epoch < 0, floor_epoch, floor_sequence < 0, floor_sequence)) LIMIT 1";

/// "muLe".
pub(super) const LEDGER: Schema = Schema {
    kind: FileKind::Ledger,
    application_id: 0x6d75_4c65,
    steps: &[include_str!("ledger_1.sql"), include_str!("ledger_2.sql"), include_str!("ledger_3.sql")],
    history: "event",
    tables: &[digest::VM, digest::ROLL, digest::CLAIMS, digest::EVENT, digest::WITNESS],
    contradiction: Some(BEHIND_ITS_HISTORY),
    first_unchained: ledger_rows::first_unchained,
};

/// "muJo".
pub(super) const JOURNAL: Schema = Schema {
    kind: FileKind::Journal,
    application_id: 0x6d75_4a6f,
    steps: &[include_str!("journal_1.sql"), include_str!("journal_2.sql"), include_str!("journal_3.sql")],
    history: "record",
    tables: &[digest::RECORD, digest::EVACUATION, digest::MOVE],
    contradiction: None,
    first_unchained: journal_rows::first_unchained,
};

impl Schema {
    /// The newest version.
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Refuses a file whose tables aren't those of its version: what stands in other tables can't be trusted to mean the same.
    pub(super) fn must_fit(&self, connection: &Connection, version: u32) -> Result<(), Fault> {
        let mut model = Connection::open_in_memory()?;
        digest::register(&model)?;
        let steps = &self.steps[..self.steps.len().min(version as usize)];
        Schema { steps, ..*self }.bring_forward(&mut model, 0)?;
        let (should, is) = (parts(&model)?, parts(connection)?);
        let names: BTreeSet<&String> = should.keys().chain(is.keys()).collect();
        match names.into_iter().find(|name| should.get(*name) != is.get(*name)) {
            Some(name) => Err(Fault::Nonsense(format!("{name} isn't as version {version} of its schema has it"))),
            None => Ok(()),
        }
    }

    /// Runs the steps that a file of version `found` lacks, each in a transaction of its own with its number.
    pub(super) fn bring_forward(&self, connection: &mut Connection, found: u32) -> Result<(), Fault> {
        for (step, version) in self.steps.iter().zip(1_u32..).skip(found as usize) {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

/// What tables and indexes there are, by name: the statements that made them. Those that SQLite makes for itself are left out.
type Parts = BTreeMap<String, String>;

fn parts(connection: &Connection) -> Result<Parts, Fault> {
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// The version that a file's schema has.
pub(super) fn version_of(connection: &Connection) -> Result<u32, Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    u32::try_from(version).map_err(|_| Fault::Nonsense(format!("its schema's version is {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_brought_forward_by_the_steps_it_lacks_alone() {
        const FIRST: &str = "CREATE TABLE event (sequence INTEGER PRIMARY KEY) STRICT; INSERT INTO event VALUES (7);";
        const SECOND: &str = "ALTER TABLE event ADD COLUMN at INTEGER NOT NULL DEFAULT 5;";
        const BROKEN: &str = "INSERT INTO event VALUES (8, 8); INSERT INTO nowhere VALUES (1);";
        let mut connection = Connection::open_in_memory().unwrap();
        let schema = |steps| Schema { steps, ..LEDGER };
        schema(&[FIRST]).bring_forward(&mut connection, 0).unwrap();
        assert_eq!(version_of(&connection).unwrap(), 1);

        assert!(schema(&[FIRST, SECOND, BROKEN]).bring_forward(&mut connection, 1).is_err());
        assert_eq!(version_of(&connection).unwrap(), 2, "the step that failed left its version");
        let rows: Vec<(i64, i64)> = connection
            .prepare("SELECT sequence, at FROM event")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows, [(7, 5)], "a step ran twice, or half");
    }
}
