//! The ledger's rows in SQL: reading them, and writing what a batch changed.

use super::digest::{CLAIMS, EVENT, ROLL, VM, WITNESS};
use super::fault::Fault;
use super::text::{from_json, from_number, from_time, json, limit, number, parse, time};
use crate::chain::{ChainFault, Head, Linked, all_after, first_fault};
use crate::ledger::batch::{Batch, Draft, State};
use crate::ledger::stored::StoredEvent;
use crate::ledger::{LedgerEvacuation, RowQuery};
use muster_core::claim::Claims;
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::LedgerEvent;
use muster_core::ledger::{Enrolled, HighWater, HistoryEntry, Standing, VmRow};
use muster_core::token::Token;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// What stands in the file, as a transaction sees it.
pub(super) struct Stored<'a>(pub(super) &'a Connection);

impl State for Stored<'_> {
    type Error = Fault;

    fn row(&self, vm: VmId) -> Result<VmRow, Fault> {
        row(self.0, vm)
    }

    fn claims(&self, evacuation: EvacuationId) -> Result<Claims, Fault> {
        claims(self.0, evacuation)
    }

    fn witness(&self, site: &SiteName) -> Result<Option<HighWater>, Fault> {
        let witnesses = witnesses(self.0)?;
        Ok(witnesses.into_iter().find(|(of, _)| of == site).map(|(_, high_water)| high_water))
    }
}

fn select_row(which: &str) -> String {
    let (vm, roll) = (VM.is_whole(), ROLL.is_whole());
    let columns = "vm.vm, floor_epoch, floor_sequence, standing, intent, entry";
    format!("SELECT {columns}, {vm}, {roll} FROM vm LEFT JOIN roll USING (vm) WHERE {which}")
}

pub(super) fn row(connection: &Connection, vm: VmId) -> Result<VmRow, Fault> {
    let mut statement = connection.prepare_cached(&select_row("vm.vm = ?1"))?;
    let found = statement.query_row(params![vm.to_string()], |row| Ok(vm_row(row))).optional()?;
    found.unwrap_or_else(|| Ok(VmRow::unknown(vm)))
}

pub(super) fn rows(connection: &Connection, query: RowQuery) -> Result<Vec<VmRow>, Fault> {
    // No VM's text is below the empty one.
    let after = query.after.map(|vm| vm.to_string()).unwrap_or_default();
    let found: Vec<Result<VmRow, Fault>> = match query.evacuation {
        Some(evacuation) => connection
            .prepare_cached(&select_row("evacuation = ?1 AND vm.vm > ?2 ORDER BY vm.vm LIMIT ?3"))?
            .query_map(params![evacuation.to_string(), after, limit(query.limit)], |row| Ok(vm_row(row)))?
            .collect::<Result<_, _>>()?,
        None => connection
            .prepare_cached(&select_row("vm.vm > ?1 ORDER BY vm.vm LIMIT ?2"))?
            .query_map(params![after, limit(query.limit)], |row| Ok(vm_row(row)))?
            .collect::<Result<_, _>>()?,
    };
    found.into_iter().collect()
}

pub(super) fn claims(connection: &Connection, evacuation: EvacuationId) -> Result<Claims, Fault> {
    let sql = format!("SELECT evacuation, claims, {} FROM evacuation WHERE evacuation = ?1", CLAIMS.is_whole());
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![evacuation.to_string()], |row| Ok(whole_claims(row)))
        .optional()?;
    found.unwrap_or_else(|| Ok(Claims::default()))
}

pub(super) fn evacuations(connection: &Connection) -> Result<Vec<LedgerEvacuation>, Fault> {
    let sql = format!(
        "SELECT known.evacuation, claims, {}, coalesce(vms, 0), coalesce(open, 0)
        FROM (SELECT evacuation FROM evacuation UNION SELECT evacuation FROM vm WHERE evacuation IS NOT NULL) AS known
        LEFT JOIN evacuation USING (evacuation)
        LEFT JOIN (SELECT evacuation, count(*) AS vms, sum(1 - closed) AS open FROM vm GROUP BY evacuation)
            USING (evacuation)
        ORDER BY known.evacuation",
        CLAIMS.is_whole()
    );
    let known = |row: &Row<'_>| {
        let evacuation: String = row.get(0)?;
        Ok(LedgerEvacuation {
            evacuation: parse("evacuation", &evacuation)?,
            claims: whole_claims(row)?,
            vms: from_number(row.get(3)?),
            open: from_number(row.get(4)?),
        })
    };
    let found: Vec<Result<LedgerEvacuation, Fault>> =
        connection.prepare_cached(&sql)?.query_map([], |row| Ok(known(row)))?.collect::<Result<_, _>>()?;
    found.into_iter().collect()
}

/// The claims in the second column, which may be of nobody; the third says whether they are as they were written.
fn whole_claims(row: &Row<'_>) -> Result<Claims, Fault> {
    CLAIMS.must_be_whole(row, 2)?;
    let claims: Option<String> = row.get(1)?;
    claims.map_or_else(|| Ok(Claims::default()), |text| from_json("evacuation", &text))
}

/// There are as many as a site has others.
pub(super) fn witnesses(connection: &Connection) -> Result<Vec<(SiteName, HighWater)>, Fault> {
    let sql = format!("SELECT site, rebuilt_at, sequence, at, link, {} FROM witness ORDER BY site", WITNESS.is_whole());
    let witness = |row: &Row<'_>| {
        WITNESS.must_be_whole(row, 5)?;
        let (site, rebuilt_at, link): (String, Option<i64>, Option<[u8; 32]>) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let high_water = HighWater {
            rebuilt_at: rebuilt_at.map(from_time),
            sequence: from_number(row.get(2)?),
            at: from_time(row.get(3)?),
            link: link.map(Fingerprint),
        };
        Ok((parse("witness", &site)?, high_water))
    };
    let found: Vec<Result<(SiteName, HighWater), Fault>> =
        connection.prepare_cached(&sql)?.query_map([], |row| Ok(witness(row)))?.collect::<Result<_, _>>()?;
    found.into_iter().collect()
}

pub(super) fn events(
    connection: &Connection,
    after_sequence: u64,
    most: usize,
) -> Result<Vec<(u64, LedgerEvent)>, Fault> {
    stored(connection, after_sequence, most)?.iter().map(|stored| Ok((stored.sequence, read(stored)?))).collect()
}

/// Lines of the history after this number as they are stored, whole or not.
pub(super) fn stored(connection: &Connection, after_sequence: u64, most: usize) -> Result<Vec<StoredEvent>, Fault> {
    // A number beyond what the engine can count to is after every event.
    let after = i64::try_from(after_sequence).unwrap_or(i64::MAX);
    let found = connection
        .prepare_cached(&select_event(&EVENT.is_whole(), "sequence > ?1 ORDER BY sequence LIMIT ?2"))?
        .query_map(params![after, limit(most)], stored_event)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn entry(connection: &Connection, sequence: u64) -> Result<Option<HistoryEntry>, Fault> {
    let found = connection
        .prepare_cached(&select_event(&EVENT.is_whole(), "sequence = ?1"))?
        .query_row(params![number(sequence)], stored_event)
        .optional()?;
    found.map(|stored| Ok(whole(&stored)?.entry())).transpose()
}

/// The link of the line of this number, the newest.
fn head(connection: &Connection, newest: u64) -> Result<Head, Fault> {
    match entry(connection, newest)? {
        Some(HistoryEntry { link, .. }) => Ok(Head { sequence: newest, link }),
        None => Ok(StoredEvent::genesis()),
    }
}

/// The chain's first fault: in a file whose rows are whole and numbered without gaps.
pub(super) fn first_unchained(connection: &Connection) -> Result<Option<ChainFault>, Fault> {
    let mut statement = connection.prepare(&select_event("true", "true ORDER BY sequence"))?;
    Ok(first_fault(statement.query_map([], stored_event)?)?)
}

fn select_event(is_whole: &str, which: &str) -> String {
    format!(
        "SELECT sequence, at, evacuation, vm, token_epoch, token_sequence, kind, by, origin, chain, {is_whole}
        FROM event WHERE {which}"
    )
}

/// Writes what a batch changed; its events are numbered on from `newest`.
pub(super) fn write(connection: &Connection, newest: u64, batch: &Batch) -> Result<(), Fault> {
    for draft in batch.changed_rows() {
        write_row(connection, draft)?;
    }
    for (evacuation, claims) in batch.changed_claims() {
        connection.prepare_cached(&CLAIMS.upsert("evacuation"))?.execute(params![
            evacuation.to_string(),
            number(claims.epoch.0),
            json(claims)?
        ])?;
    }
    for (site, HighWater { rebuilt_at, sequence, at, link }) in batch.changed_witnesses() {
        let link = link.map(|link| link.0);
        let values = params![site.as_str(), rebuilt_at.map(time), number(sequence), time(at), link];
        connection.prepare_cached(&WITNESS.upsert("site"))?.execute(values)?;
    }
    let stored = all_after(head(connection, newest)?, batch.events(), StoredEvent::after).map_err(Fault::Encoding)?;
    let mut statement = connection.prepare_cached(&EVENT.insert())?;
    for stored in stored {
        statement.execute(params![
            number(stored.sequence),
            time(stored.at),
            stored.evacuation,
            stored.vm,
            stored.token.map(|token| number(token.epoch.0)),
            stored.token.map(|token| number(token.sequence.0)),
            stored.kind,
            stored.by,
            stored.origin,
            stored.link.0,
        ])?;
    }
    Ok(())
}

fn write_row(connection: &Connection, draft: &Draft<VmRow>) -> Result<(), Fault> {
    let now = &draft.now;
    let standing = now.standing();
    let side = standing.map(|standing| match standing {
        Standing::Destination(_) => "destination",
        Standing::Source(_) => "source",
    });
    connection.prepare_cached(&VM.upsert("vm"))?.execute(params![
        now.vm.to_string(),
        number(now.floor.epoch.0),
        number(now.floor.sequence.0),
        standing.map(|standing| standing.evacuation().to_string()),
        side,
        standing.map(Standing::is_closed),
        standing.map(json).transpose()?,
        now.intent.as_ref().map(json).transpose()?,
    ])?;
    let entry = |row: &VmRow| row.enrolled.as_ref().map(|enrolled| enrolled.entry.clone());
    if let Some(entered) = entry(now)
        && entry(&draft.before).as_ref() != Some(&entered)
    {
        connection.prepare_cached(&ROLL.upsert("vm"))?.execute(params![now.vm.to_string(), json(&entered)?])?;
    }
    Ok(())
}

fn vm_row(row: &Row<'_>) -> Result<VmRow, Fault> {
    VM.must_be_whole(row, 6)?;
    ROLL.must_be_whole(row, 7)?;
    let vm: String = row.get(0)?;
    let standing: Option<String> = row.get(3)?;
    let intent: Option<String> = row.get(4)?;
    let entry: Option<String> = row.get(5)?;
    let enrolled = match (standing, entry) {
        (Some(standing), Some(entry)) => {
            Some(Enrolled { entry: from_json("roll", &entry)?, standing: from_json("vm", &standing)? })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Fault::Nonsense(format!("VM {vm} has a standing and no entry of the roll, or the reverse")));
        }
    };
    Ok(VmRow {
        vm: parse("vm", &vm)?,
        floor: Token::new(from_number(row.get(1)?), from_number(row.get(2)?)),
        enrolled,
        intent: intent.map(|text| from_json("vm", &text)).transpose()?,
    })
}

fn stored_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let (epoch, sequence): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok(StoredEvent {
        sequence: from_number(row.get(0)?),
        at: from_time(row.get(1)?),
        evacuation: row.get(2)?,
        vm: row.get(3)?,
        token: epoch.zip(sequence).map(|(epoch, sequence)| Token::new(from_number(epoch), from_number(sequence))),
        kind: row.get(6)?,
        by: row.get(7)?,
        origin: row.get(8)?,
        link: Fingerprint(row.get(9)?),
        is_whole: row.get(10)?,
    })
}

/// What a line says, only if it is as it was written.
fn read(stored: &StoredEvent) -> Result<LedgerEvent, Fault> {
    whole(stored)?.read().map_err(|unreadable| Fault::Nonsense(unreadable.to_string()))
}

/// A line, only if it is as it was written.
fn whole(stored: &StoredEvent) -> Result<&StoredEvent, Fault> {
    if stored.is_whole { Ok(stored) } else { Err(EVENT.changed(&stored.sequence.to_string())) }
}
