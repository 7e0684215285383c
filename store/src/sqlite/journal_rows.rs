//! The journal's rows in SQL: reading them, and writing what a batch added.

use super::digest::{EVACUATION, MOVE, RECORD};
use super::fault::Fault;
use super::text::{from_json, from_number, from_time, json, limit, number, time};
use crate::chain::{ChainFault, Head, Linked, all_after, first_fault};
use crate::journal::JournalQuery;
use crate::journal::batch::{Batch, Ordered, State};
use crate::journal::stored::StoredRecord;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{EvacuationId, RequestId, VmId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

/// What stands in the file, as a transaction sees it.
pub(super) struct Stored<'a>(pub(super) &'a Connection);

impl State for Stored<'_> {
    type Error = Fault;

    fn request(&self, request: RequestId) -> Result<Option<u64>, Fault> {
        Ok(find_request(self.0, request)?.map(|(sequence, _)| sequence))
    }

    fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<Ordered>, Fault> {
        self::evacuation(self.0, evacuation)
    }

    fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, Fault> {
        self::a_move(self.0, evacuation, vm)
    }
}

fn select_record(which: &str) -> String {
    select_record_with(&RECORD.is_whole(), which)
}

fn select_record_with(whole: &str, which: &str) -> String {
    format!(
        "SELECT sequence, at, by, request, evacuation, vm, kind, origin, call, chain, {whole} FROM record WHERE {which}"
    )
}

fn select_evacuation(which: &str) -> String {
    format!("SELECT evacuation, ordered, status, {} FROM evacuation {which}", EVACUATION.is_whole())
}

fn select_move(which: &str) -> String {
    format!("SELECT vm, status, {} FROM move WHERE {which}", MOVE.is_whole())
}

pub(super) fn find_request(connection: &Connection, request: RequestId) -> Result<Option<(u64, JournalRecord)>, Fault> {
    connection
        .prepare_cached(&select_record("request = ?1"))?
        .query_row(params![request.to_string()], |row| Ok(record(row)))
        .optional()?
        .transpose()
}

pub(super) fn evacuations(connection: &Connection) -> Result<Vec<EvacuationStatus>, Fault> {
    let found: Vec<Result<Ordered, Fault>> = connection
        .prepare_cached(&select_evacuation("ORDER BY ordered"))?
        .query_map([], |row| Ok(ordered(row)))?
        .collect::<Result<_, _>>()?;
    found.into_iter().map(|found| Ok(found?.status)).collect()
}

pub(super) fn evacuation(connection: &Connection, evacuation: EvacuationId) -> Result<Option<Ordered>, Fault> {
    connection
        .prepare_cached(&select_evacuation("WHERE evacuation = ?1"))?
        .query_row(params![evacuation.to_string()], |row| Ok(ordered(row)))
        .optional()?
        .transpose()
}

pub(super) fn moves(
    connection: &Connection,
    evacuation: EvacuationId,
    after: Option<VmId>,
    most: usize,
) -> Result<Vec<MoveStatus>, Fault> {
    // No VM's text is below the empty one.
    let after = after.map(|vm| vm.to_string()).unwrap_or_default();
    let found: Vec<Result<MoveStatus, Fault>> = connection
        .prepare_cached(&select_move("evacuation = ?1 AND vm > ?2 ORDER BY vm LIMIT ?3"))?
        .query_map(params![evacuation.to_string(), after, limit(most)], |row| Ok(move_status(row)))?
        .collect::<Result<_, _>>()?;
    found.into_iter().collect()
}

pub(super) fn a_move(connection: &Connection, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, Fault> {
    connection
        .prepare_cached(&select_move("evacuation = ?1 AND vm = ?2"))?
        .query_row(params![evacuation.to_string(), vm.to_string()], |row| Ok(move_status(row)))
        .optional()?
        .transpose()
}

pub(super) fn records(connection: &Connection, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, Fault> {
    stored(connection, query)?.iter().map(|stored| Ok((stored.sequence, whole(stored)?))).collect()
}

pub(super) fn stored(connection: &Connection, query: JournalQuery) -> Result<Vec<StoredRecord>, Fault> {
    // A number beyond what the engine can count to is after every record.
    let after = i64::try_from(query.after_sequence).unwrap_or(i64::MAX);
    let mut sql = select_record("sequence > ?");
    let mut values = vec![Value::Integer(after)];
    if let Some(evacuation) = query.evacuation {
        sql.push_str(" AND evacuation = ?");
        values.push(Value::Text(evacuation.to_string()));
    }
    if let Some(vm) = query.vm {
        sql.push_str(" AND vm = ?");
        values.push(Value::Text(vm.to_string()));
    }
    sql.push_str(" ORDER BY sequence LIMIT ?");
    values.push(Value::Integer(limit(query.limit)));
    let found = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), stored_record)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// The newest record's number and link.
pub(super) fn head(connection: &Connection) -> Result<Head, Fault> {
    let newest = connection
        .prepare_cached(&select_record("sequence = (SELECT max(sequence) FROM record)"))?
        .query_row([], stored_record)
        .optional()?;
    match newest {
        Some(stored) if stored.is_whole => Ok(stored.head()),
        Some(stored) => Err(RECORD.changed(&stored.sequence.to_string())),
        None => Ok(StoredRecord::genesis()),
    }
}

/// The chain's first fault: in a file whose rows are whole and numbered without gaps.
pub(super) fn first_unchained(connection: &Connection) -> Result<Option<ChainFault>, Fault> {
    let mut statement = connection.prepare(&select_record_with("true", "true ORDER BY sequence"))?;
    Ok(first_fault(statement.query_map([], stored_record)?)?)
}

/// Writes what a batch added.
pub(super) fn write(connection: &Connection, batch: &Batch) -> Result<(), Fault> {
    let stored = all_after(head(connection)?, batch.records(), StoredRecord::after).map_err(Fault::Encoding)?;
    let mut statement = connection.prepare_cached(&RECORD.insert())?;
    for stored in stored {
        statement.execute(params![
            number(stored.sequence),
            time(stored.at),
            stored.by,
            stored.request,
            stored.evacuation,
            stored.vm,
            stored.kind,
            stored.origin,
            stored.call,
            stored.link.0,
        ])?;
    }
    for ordered in batch.changed_evacuations() {
        connection.prepare_cached(&EVACUATION.upsert("evacuation"))?.execute(params![
            ordered.status.id.to_string(),
            number(ordered.sequence),
            json(&ordered.status)?
        ])?;
    }
    for status in batch.changed_moves() {
        connection.prepare_cached(&MOVE.upsert("evacuation, vm"))?.execute(params![
            status.evacuation.to_string(),
            status.planned.vm.to_string(),
            json(status)?
        ])?;
    }
    Ok(())
}

fn ordered(row: &Row<'_>) -> Result<Ordered, Fault> {
    EVACUATION.must_be_whole(row, 3)?;
    let status: String = row.get(2)?;
    Ok(Ordered { sequence: from_number(row.get(1)?), status: from_json("evacuation", &status)? })
}

fn move_status(row: &Row<'_>) -> Result<MoveStatus, Fault> {
    MOVE.must_be_whole(row, 2)?;
    let status: String = row.get(1)?;
    from_json("move", &status)
}

fn record(row: &Row<'_>) -> Result<(u64, JournalRecord), Fault> {
    let stored = stored_record(row)?;
    Ok((stored.sequence, whole(&stored)?))
}

/// What a record says, only if it is as it was written.
fn whole(stored: &StoredRecord) -> Result<JournalRecord, Fault> {
    if !stored.is_whole {
        return Err(RECORD.changed(&stored.sequence.to_string()));
    }
    stored.read().map_err(|unreadable| Fault::Nonsense(unreadable.to_string()))
}

fn stored_record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord {
        sequence: from_number(row.get(0)?),
        at: from_time(row.get(1)?),
        by: row.get(2)?,
        request: row.get(3)?,
        evacuation: row.get(4)?,
        vm: row.get(5)?,
        kind: row.get(6)?,
        origin: row.get(7)?,
        call: row.get(8)?,
        link: Fingerprint(row.get(9)?),
        is_whole: row.get(10)?,
    })
}
