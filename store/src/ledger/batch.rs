//! What a transaction makes of a ledger: commands run through core's transitions on a draft, the same for every engine.
//! It reads through [`State`] and writes nothing; the engine stores the draft.

use super::Receipt;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::{Applied, Caller, EventKind, LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::transition;
use muster_core::ledger::{HighWater, VmRow};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What stands before the transaction.
pub(crate) trait State {
    type Error;
    fn row(&self, vm: VmId) -> Result<VmRow, Self::Error>;
    fn claims(&self, evacuation: EvacuationId) -> Result<Claims, Self::Error>;
    fn witness(&self, site: &SiteName) -> Result<Option<HighWater>, Self::Error>;
}

/// What will stand after it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    rows: BTreeMap<VmId, Draft<VmRow>>,
    claims: BTreeMap<EvacuationId, Draft<Claims>>,
    witnesses: BTreeMap<SiteName, Draft<Option<HighWater>>>,
    events: Vec<LedgerEvent>,
}

#[derive(Debug)]
pub(crate) struct Draft<T> {
    pub(crate) before: T,
    pub(crate) now: T,
}

impl<T: PartialEq> Draft<T> {
    fn is_changed(&self) -> bool {
        self.before != self.now
    }
}

impl Batch {
    /// Runs commands, in order, on top of what the batch holds already.
    pub(crate) fn execute<S: State>(
        &mut self,
        state: &S,
        commands: &[LedgerCommand],
    ) -> Result<Vec<Result<Receipt, Refusal>>, S::Error> {
        commands.iter().map(|command| self.execute_one(state, command)).collect()
    }

    pub(crate) fn changed_rows(&self) -> impl Iterator<Item = &Draft<VmRow>> {
        self.rows.values().filter(|draft| draft.is_changed())
    }

    pub(crate) fn changed_claims(&self) -> impl Iterator<Item = (EvacuationId, &Claims)> {
        self.claims.iter().filter(|(_, draft)| draft.is_changed()).map(|(evacuation, draft)| (*evacuation, &draft.now))
    }

    pub(crate) fn changed_witnesses(&self) -> impl Iterator<Item = (&SiteName, HighWater)> {
        let changed = self.witnesses.iter().filter(|(_, draft)| draft.is_changed());
        changed.filter_map(|(site, draft)| Some((site, draft.now?)))
    }

    pub(crate) fn events(&self) -> &[LedgerEvent] {
        &self.events
    }

    fn execute_one<S: State>(
        &mut self,
        state: &S,
        command: &LedgerCommand,
    ) -> Result<Result<Receipt, Refusal>, S::Error> {
        match command {
            LedgerCommand::Evacuation(command) => {
                let draft = draft(&mut self.claims, command.evacuation, || state.claims(command.evacuation))?;
                match transition::evacuation(&draft.now, command) {
                    Ok((claims, event)) => {
                        draft.now = claims.clone();
                        self.events.push(event);
                        Ok(Ok(Receipt::Evacuation(claims)))
                    }
                    Err(refusal) => Ok(Err(refusal)),
                }
            }
            LedgerCommand::Vm(command) => {
                let draft = draft(&mut self.rows, command.vm, || state.row(command.vm))?;
                match transition::vm(&draft.now, command) {
                    Ok(applied) => Ok(Ok(keep(draft, &mut self.events, applied))),
                    Err(refusal) => Ok(Err(refusal)),
                }
            }
            LedgerCommand::Fact(fact) => {
                let draft = draft(&mut self.rows, fact.vm, || state.row(fact.vm))?;
                let applied = transition::fact(&draft.now, fact);
                Ok(Ok(keep(draft, &mut self.events, applied)))
            }
            LedgerCommand::Rebuilt { at } => {
                self.events.push(LedgerEvent {
                    evacuation: None,
                    vm: None,
                    token: None,
                    caller: Caller::default(),
                    at: *at,
                    kind: EventKind::Rebuilt,
                });
                Ok(Ok(Receipt::Written))
            }
            LedgerCommand::Witness { site, high_water } => {
                let draft = draft(&mut self.witnesses, site.clone(), || state.witness(site))?;
                if draft.now.is_none_or(|kept| high_water.is_later_than(kept)) {
                    draft.now = Some(*high_water);
                }
                Ok(Ok(Receipt::Written))
            }
        }
    }
}

fn keep(draft: &mut Draft<VmRow>, events: &mut Vec<LedgerEvent>, applied: Applied) -> Receipt {
    draft.now.clone_from(&applied.row);
    events.extend(applied.events.iter().cloned());
    Receipt::Vm(Box::new(applied))
}

/// The draft under this key, begun from what stands where there is none yet.
pub(crate) fn draft<K: Ord, T: Clone, E>(
    drafts: &mut BTreeMap<K, Draft<T>>,
    key: K,
    standing: impl FnOnce() -> Result<T, E>,
) -> Result<&mut Draft<T>, E> {
    match drafts.entry(key) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let before = standing()?;
            Ok(entry.insert(Draft { now: before.clone(), before }))
        }
    }
}
