//! Digests of rows: what a disk has changed in a row is found before anybody believes it.
//!
//! Each row's `digest` is that of its other columns. It is made in SQL, by a function that every connection of muster's
//! has, from the same values that are written; so a reading asks for it in the same statement. The function is part of
//! the files' form: it never changes.
//!
//! It is the first 8 bytes of SHA-256 over the columns (`crate::columns` has their form), as a signed big-endian number.
//!
//! The functions that chain an older file when it is brought forward are registered here as well.

use super::fault::Fault;
use crate::chain::Linked;
use crate::columns::Columns;
use crate::journal::stored::StoredRecord;
use crate::ledger::stored::StoredEvent;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// A table whose rows carry digests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// All columns but the digest, in the order of the digest; the first ones are the key.
    columns: &'static [&'static str],
}

pub(super) const VM: Table = Table {
    name: "vm",
    columns: &["vm", "floor_epoch", "floor_sequence", "evacuation", "side", "closed", "standing", "intent"],
};
pub(super) const ROLL: Table = Table { name: "roll", columns: &["vm", "entry"] };
pub(super) const CLAIMS: Table = Table { name: "evacuation", columns: &["evacuation", "epoch", "claims"] };
pub(super) const WITNESS: Table = Table { name: "witness", columns: &["site", "rebuilt_at", "sequence", "at", "link"] };
pub(super) const EVENT: Table = Table {
    name: "event",
    columns: &["sequence", "at", "evacuation", "vm", "token_epoch", "token_sequence", "kind", "by", "origin", "chain"],
};
pub(super) const RECORD: Table = Table {
    name: "record",
    columns: &["sequence", "at", "by", "request", "evacuation", "vm", "kind", "origin", "call", "chain"],
};
pub(super) const EVACUATION: Table = Table { name: "evacuation", columns: &["evacuation", "ordered", "status"] };
pub(super) const MOVE: Table = Table { name: "move", columns: &["evacuation", "vm", "status"] };

impl Table {
    /// Whether a row is as it was written, as an SQL expression: NULL where an outer join found none.
    pub(super) fn is_whole(&self) -> String {
        let Table { name, columns } = self;
        let columns: Vec<String> = columns.iter().map(|column| format!("{name}.{column}")).collect();
        format!("{name}.digest = row_digest({})", columns.join(", "))
    }

    /// The statement that inserts a row from its columns' values, in their order.
    pub(super) fn insert(&self) -> String {
        let Table { name, columns } = self;
        let values: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        format!("INSERT INTO {name} ({columns}, digest) VALUES ({values}, row_digest({values}))")
    }

    /// The same, where a row of this key is replaced if there is one.
    pub(super) fn upsert(&self, key: &str) -> String {
        let kept: Vec<&str> = key.split(", ").collect();
        let changed = self.columns.iter().filter(|column| !kept.contains(column)).chain(&["digest"]);
        let changes: Vec<String> = changed.map(|column| format!("{column} = excluded.{column}")).collect();
        format!("{} ON CONFLICT ({key}) DO UPDATE SET {}", self.insert(), changes.join(", "))
    }

    /// The first row that isn't as it was written, by its key.
    pub(super) fn first_changed(&self, connection: &Connection) -> Result<Option<String>, Fault> {
        let Table { name, columns } = self;
        let sql = format!("SELECT quote({}) FROM {name} WHERE NOT ({}) LIMIT 1", columns[0], self.is_whole());
        let mut statement = connection.prepare(&sql)?;
        let found = statement.query_map([], |row| row.get(0))?.next().transpose()?;
        Ok(found)
    }

    /// Takes a row only if it is as it was written; `index` is the column of [`Table::is_whole`] in the reading.
    pub(super) fn must_be_whole(&self, row: &Row<'_>, index: usize) -> Result<(), Fault> {
        match row.get(index)? {
            Some(true) | None => Ok(()),
            Some(false) => Err(self.changed(&row.get_ref(0).map(shown)?)),
        }
    }

    /// The fault that a changed row is.
    pub(super) fn changed(&self, key: &str) -> Fault {
        Fault::Nonsense(format!("row {key} of {} isn't what was written: its digest differs", self.name))
    }
}

/// Teaches a connection the functions.
pub(super) fn register(connection: &Connection) -> Result<(), Fault> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(c"row_digest", -1, flags, |row| Ok(digest(row)))?;
    connection.create_scalar_function(c"chain_genesis", 0, flags, |_| Ok(StoredRecord::genesis().link.0))?;
    connection.create_scalar_function(c"ledger_genesis", 0, flags, |_| Ok(StoredEvent::genesis().link.0))?;
    connection.create_scalar_function(c"chain_link", -1, flags, |row| Ok(hash(row)))?;
    Ok(())
}

fn digest(row: &Context<'_>) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(row);
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn hash(row: &Context<'_>) -> [u8; 32] {
    let mut columns = Columns::new();
    for index in 0..row.len() {
        match row.get_raw(index) {
            ValueRef::Null => columns.null(),
            ValueRef::Integer(number) => columns.integer(number),
            ValueRef::Text(text) => columns.text(text),
            // No column holds one; a file that does was changed, and its digest says so.
            ValueRef::Real(number) => columns.real(number),
            ValueRef::Blob(bytes) => columns.blob(bytes),
        }
    }
    columns.finish()
}

fn shown(key: ValueRef<'_>) -> String {
    match key {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => "without a key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_it_was_when_the_first_file_was_written() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let of = |columns: &str| -> i64 {
            connection.query_row(&format!("SELECT row_digest({columns})"), [], |row| row.get(0)).unwrap()
        };
        // SHA-256 over nothing begins with e3b0c44298fc1c14.
        assert_eq!(of(""), 0xe3b0_c442_98fc_1c14_u64.cast_signed());
        let different = ["'a', 'b'", "'ab', ''", "'ab'", "1, 2", "12", "'12'", "NULL", "NULL, NULL", "''", "1.0"];
        let digests: std::collections::BTreeSet<i64> = different.iter().map(|columns| of(columns)).collect();
        assert_eq!(digests.len(), different.len());
    }
}
