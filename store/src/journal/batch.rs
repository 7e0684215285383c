//! What a transaction makes of a journal: records checked and folded on a draft, the same for every engine. It reads
//! through [`State`] and writes nothing; the engine stores the draft.

use super::JournalError;
use crate::ledger::batch::{Draft, draft};
use muster_core::evacuation::{EvacuationStatus, JournalKind, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, RequestId, VmId};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What stands before the transaction.
pub(crate) trait State {
    type Error;
    /// The sequence number of the record that a request left.
    fn request(&self, request: RequestId) -> Result<Option<u64>, Self::Error>;
    fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<Ordered>, Self::Error>;
    fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, Self::Error>;
}

/// An evacuation's status and the sequence number of its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub(crate) sequence: u64,
    pub(crate) status: EvacuationStatus,
}

/// What will stand after it.
#[derive(Debug)]
pub(crate) struct Batch {
    newest_before: u64,
    records: Vec<JournalRecord>,
    requests: BTreeMap<RequestId, u64>,
    evacuations: BTreeMap<EvacuationId, Draft<Option<Ordered>>>,
    moves: BTreeMap<(EvacuationId, VmId), Draft<Option<MoveStatus>>>,
}

/// What one call makes of it, until all its records are found good.
#[derive(Debug, Default)]
struct Call {
    requests: BTreeSet<RequestId>,
    evacuations: BTreeMap<EvacuationId, Ordered>,
    moves: BTreeMap<(EvacuationId, VmId), MoveStatus>,
}

impl Batch {
    pub(crate) fn new(newest_before: u64) -> Self {
        Batch {
            newest_before,
            records: Vec::new(),
            requests: BTreeMap::new(),
            evacuations: BTreeMap::new(),
            moves: BTreeMap::new(),
        }
    }

    /// Takes one call's records in, all or none, and returns the sequence number of the last.
    pub(crate) fn append<S: State>(
        &mut self,
        state: &S,
        records: Vec<JournalRecord>,
    ) -> Result<Result<u64, JournalError>, S::Error> {
        let mut call = Call::default();
        for (record, sequence) in records.iter().zip(self.newest() + 1..) {
            if let Err(refusal) = self.check_request(state, &mut call, record)? {
                return Ok(Err(refusal));
            }
            if let Err(refusal) = self.fold(state, &mut call, record, sequence)? {
                return Ok(Err(refusal));
            }
        }
        self.take(call, records);
        Ok(Ok(self.newest()))
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest_before + self.records.len() as u64
    }

    pub(crate) fn records(&self) -> &[JournalRecord] {
        &self.records
    }

    pub(crate) fn changed_evacuations(&self) -> impl Iterator<Item = &Ordered> {
        self.evacuations.values().filter(|draft| draft.before != draft.now).filter_map(|draft| draft.now.as_ref())
    }

    pub(crate) fn changed_moves(&self) -> impl Iterator<Item = &MoveStatus> {
        self.moves.values().filter(|draft| draft.before != draft.now).filter_map(|draft| draft.now.as_ref())
    }

    fn check_request<S: State>(
        &self,
        state: &S,
        call: &mut Call,
        record: &JournalRecord,
    ) -> Result<Result<(), JournalError>, S::Error> {
        let Some(request) = record.request else { return Ok(Ok(())) };
        let known = match self.requests.get(&request) {
            Some(sequence) => Some(*sequence),
            None => state.request(request)?,
        };
        Ok(match known {
            Some(sequence) => Err(JournalError::RequestKnown { request, sequence }),
            None if !call.requests.insert(request) => Err(JournalError::RequestTwice { request }),
            None => Ok(()),
        })
    }

    fn fold<S: State>(
        &mut self,
        state: &S,
        call: &mut Call,
        record: &JournalRecord,
        sequence: u64,
    ) -> Result<Result<(), JournalError>, S::Error> {
        let evacuation = record.evacuation;
        let ordered = match self.evacuation_in(state, call, record, sequence)? {
            Ok(ordered) => ordered,
            Err(refusal) => return Ok(Err(refusal)),
        };
        ordered.status.apply(record);
        if let JournalKind::MovePlanned { planned } = &record.kind {
            if record.vm != Some(planned.vm) {
                return Ok(Err(JournalError::PlansAnotherVm { planned: planned.vm }));
            }
            let status = MoveStatus::planned(evacuation, planned.clone(), &ordered.status.by);
            call.moves.insert((evacuation, planned.vm), status);
            return Ok(Ok(()));
        }
        match record.vm {
            None => Ok(Ok(())),
            Some(vm) => match self.move_in(state, call, evacuation, vm)? {
                Some(status) => {
                    status.apply(record);
                    Ok(Ok(()))
                }
                None => Ok(Err(JournalError::NoSuchMove { evacuation, vm })),
            },
        }
    }

    /// The record's evacuation as the call leaves it so far; begun if the record orders it.
    fn evacuation_in<'a, S: State>(
        &mut self,
        state: &S,
        call: &'a mut Call,
        record: &JournalRecord,
        sequence: u64,
    ) -> Result<Result<&'a mut Ordered, JournalError>, S::Error> {
        let evacuation = record.evacuation;
        let order = EvacuationStatus::ordered(record);
        Ok(match call.evacuations.entry(evacuation) {
            Entry::Occupied(_) if order.is_some() => Err(JournalError::EvacuationKnown { evacuation }),
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let standing = draft(&mut self.evacuations, evacuation, || state.evacuation(evacuation))?.now.clone();
                match (standing, order) {
                    (Some(_), Some(_)) => Err(JournalError::EvacuationKnown { evacuation }),
                    (None, None) => Err(JournalError::NoSuchEvacuation { evacuation }),
                    (Some(ordered), None) => Ok(entry.insert(ordered)),
                    (None, Some(status)) => Ok(entry.insert(Ordered { sequence, status })),
                }
            }
        })
    }

    /// The move as the call leaves it so far.
    fn move_in<'a, S: State>(
        &mut self,
        state: &S,
        call: &'a mut Call,
        evacuation: EvacuationId,
        vm: VmId,
    ) -> Result<Option<&'a mut MoveStatus>, S::Error> {
        Ok(match call.moves.entry((evacuation, vm)) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                let standing = draft(&mut self.moves, (evacuation, vm), || state.a_move(evacuation, vm))?.now.clone();
                standing.map(|status| entry.insert(status))
            }
        })
    }

    fn take(&mut self, call: Call, records: Vec<JournalRecord>) {
        for (record, sequence) in records.iter().zip(self.newest() + 1..) {
            if let Some(request) = record.request {
                self.requests.insert(request, sequence);
            }
        }
        for (evacuation, ordered) in call.evacuations {
            let draft = self.evacuations.entry(evacuation).or_insert(Draft { before: None, now: None });
            draft.now = Some(ordered);
        }
        for (key, status) in call.moves {
            let draft = self.moves.entry(key).or_insert(Draft { before: None, now: None });
            draft.now = Some(status);
        }
        self.records.extend(records);
    }
}
