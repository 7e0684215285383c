//! The journal's rows in SQL: reading them, and writing what a batch added.

use super::digest::{EVACUATION, MOVE, RECORD};
use super::fault::Fault;
use super::text::{from_json, from_number, from_time, json, limit, number, parse, time};
use crate::journal::JournalQuery;
use crate::journal::batch::{Batch, Ordered, State};
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
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
    let whole = RECORD.is_whole();
    format!("SELECT sequence, at, by, request, evacuation, vm, kind, origin, {whole} FROM record WHERE {which}")
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
    let found: Vec<Result<(u64, JournalRecord), Fault>> = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), |row| Ok(record(row)))?
        .collect::<Result<_, _>>()?;
    found.into_iter().collect()
}

/// Writes what a batch added.
pub(super) fn write(connection: &Connection, batch: &Batch) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(&RECORD.insert())?;
    for (sequence, record) in batch.records() {
        statement.execute(params![
            number(sequence),
            time(record.at),
            record.by,
            record.request.map(|request| request.to_string()),
            record.evacuation.to_string(),
            record.vm.map(|vm| vm.to_string()),
            json(&record.kind)?,
            record.origin,
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
    RECORD.must_be_whole(row, 8)?;
    let request: Option<String> = row.get(3)?;
    let evacuation: String = row.get(4)?;
    let vm: Option<String> = row.get(5)?;
    let kind: String = row.get(6)?;
    let record = JournalRecord {
        at: from_time(row.get(1)?),
        by: row.get(2)?,
        origin: row.get(7)?,
        request: request.map(|text| parse("record", &text)).transpose()?,
        evacuation: parse("record", &evacuation)?,
        vm: vm.map(|text| parse("record", &text)).transpose()?,
        kind: from_json("record", &kind)?,
    };
    Ok((from_number(row.get(0)?), record))
}
