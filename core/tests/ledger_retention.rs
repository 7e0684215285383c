//! When a retired copy may be deleted, by the ledger: every state of a source's row, and what comes of it.

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{Attempt, EvacuationId, VmId};
use muster_core::ledger::command::{Caller, EventKind, FactKind, MutationResult, Refusal, VmCommand, VmFact, VmOrder};
use muster_core::ledger::transition;
use muster_core::ledger::{
    AtSource, Enrolled, Mutation, RetiredCopy, RollEntry, SourceState, Standing, Transfer, VmRow,
};
use muster_core::time::Timestamp;
use muster_core::token::Token;

const EVACUATION: EvacuationId = EvacuationId(uuid::Uuid::from_u128(1));
const VM: VmId = VmId(uuid::Uuid::from_u128(7));
const NOW: Timestamp = Timestamp(50_000);
const FLOOR: Token = Token::new(3, 4);

fn row(state: SourceState, closed: bool, retired_copy: RetiredCopy, disk: Disk) -> VmRow {
    let definition = Definition {
        name: "web".parse().expect("a name"),
        memory_mib: 1024,
        vcpus: 1,
        disk,
        autostart: true,
        tags: Vec::new(),
        document: String::new(),
    };
    let entry = RollEntry {
        evacuation: EVACUATION,
        vm: VM,
        mode: Mode::Live,
        source_site: "east".parse().expect("a name"),
        destination_site: "west".parse().expect("a name"),
        destination_host: "w1".parse().expect("a name"),
        definition,
    };
    let standing = Standing::Source(AtSource { evacuation: EVACUATION, mode: Mode::Live, state, closed, retired_copy });
    VmRow { vm: VM, floor: FLOOR, enrolled: Some(Enrolled { entry, standing }), intent: None }
}

fn copy(row: &VmRow) -> (SourceState, RetiredCopy) {
    let Some(Standing::Source(at)) = row.standing() else { panic!("{row:?}") };
    (at.state.clone(), at.retired_copy)
}

fn order(row: &VmRow, at: Timestamp, order: VmOrder) -> Result<VmRow, Refusal> {
    let command =
        VmCommand { evacuation: EVACUATION, vm: VM, token: row.floor.next(), caller: Caller::default(), at, order };
    transition::vm(row, &command).map(|applied| applied.row)
}

fn fact(row: &VmRow, at: Timestamp, kind: FactKind) -> (VmRow, Vec<EventKind>) {
    let applied = transition::fact(row, &VmFact { vm: VM, at, kind });
    (applied.row, applied.events.into_iter().map(|event| event.kind).collect())
}

fn ended(row: &VmRow, at: Timestamp, result: MutationResult) -> (VmRow, Vec<EventKind>) {
    let token = row.intent.as_ref().expect("an intent").token;
    fact(row, at, FactKind::MutationEnded { token, result })
}

fn until(at: u64) -> RetiredCopy {
    RetiredCopy::KeptUntil { at: Timestamp(at), keep_ms: 2_000 }
}

#[test]
fn a_copy_is_deleted_only_when_it_is_retired_its_move_is_over_and_its_time_has_come() {
    let transfer =
        Transfer { attempt: Attempt::FIRST, token: FLOOR, host: "w1".parse().expect("a name"), failed: None };
    let states = [
        SourceState::Unsealed,
        SourceState::Sealed { transfer: None },
        SourceState::Sealed { transfer: Some(transfer.clone()) },
        SourceState::Gone { transfer },
        SourceState::Retired,
    ];
    let copies =
        [RetiredCopy::Kept, RetiredCopy::Deleted { at: Timestamp(1) }, until(49_999), until(50_000), until(50_001)];
    let mut allowed = Vec::new();
    for state in &states {
        for closed in [false, true] {
            for retired_copy in copies {
                let before = row(state.clone(), closed, retired_copy, Disk::Shared);
                match order(&before, NOW, VmOrder::BeginDelete) {
                    Ok(after) => {
                        assert_eq!(after.intent.map(|intent| intent.mutation), Some(Mutation::Delete));
                        allowed.push((state.clone(), closed, retired_copy));
                    }
                    Err(refusal) => assert!(matches!(refusal, Refusal::NotInOrder { .. }), "{refusal}"),
                }
            }
        }
    }
    let due = [until(49_999), until(50_000)].map(|retired_copy| (SourceState::Retired, true, retired_copy));
    assert_eq!(allowed, due);
}

#[test]
fn what_is_deleted_is_never_released_and_its_floor_stands() {
    let due = row(SourceState::Retired, true, until(1), Disk::Shared);
    let begun = order(&due, NOW, VmOrder::BeginDelete).unwrap();
    // Nobody knows what came of it: nothing is forgotten.
    assert_eq!(copy(&ended(&begun, NOW, MutationResult::Unseen).0), (SourceState::Retired, until(1)));
    let failed = MutationResult::Failed { error: "busy".to_owned() };
    assert_eq!(copy(&ended(&begun, NOW, failed).0), (SourceState::Retired, until(1)));
    let (gone, events) = ended(&begun, NOW, MutationResult::Done);
    assert_eq!(copy(&gone), (SourceState::Retired, RetiredCopy::Deleted { at: NOW }));
    assert_eq!(events.last(), Some(&EventKind::RetiredCopyDeleted));
    assert_eq!(gone.floor, FLOOR.next());
    for order_again in [VmOrder::BeginRelease, VmOrder::BeginDelete] {
        assert!(matches!(order(&gone, NOW, order_again), Err(Refusal::NotInOrder { .. })));
    }
    // Found edited after that, it is somebody's own; no time begins anew.
    assert_eq!(copy(&fact(&gone, NOW, FactKind::MadeInertAgain).0), copy(&gone));
}

#[test]
fn how_long_a_copy_is_kept_comes_with_its_retirement_alone() {
    let sealed = |disk| row(SourceState::Sealed { transfer: None }, false, RetiredCopy::Kept, disk);
    let retire = |row: &VmRow, at, keep_ms| {
        let retired = order(row, at, VmOrder::BeginRetire { keep_ms }).unwrap();
        ended(&retired, at, MutationResult::Done).0
    };
    let retired = retire(&sealed(Disk::Shared), NOW, Some(2_000));
    assert_eq!(copy(&retired), (SourceState::Retired, until(52_000)));
    assert_eq!(
        copy(&retire(&retired, Timestamp(60_000), Some(9_000))).1,
        until(52_000),
        "repeated, under a newer token"
    );
    assert_eq!(copy(&retire(&sealed(Disk::Shared), NOW, None)).1, RetiredCopy::Kept);
    let own_disk = retire(&sealed(Disk::Local { size_mib: 1 }), NOW, Some(2_000));
    assert_eq!(copy(&own_disk).1, RetiredCopy::Kept, "its definition says whose the files are");

    // Whoever edits it may want it: they have all of that time to say so.
    let (edited, _) = fact(&retired, Timestamp(51_000), FactKind::MadeInertAgain);
    assert_eq!(copy(&edited).1, until(53_000));
    let released = order(&retired, NOW, VmOrder::BeginRelease).unwrap();
    assert_eq!(copy(&ended(&released, NOW, MutationResult::Done).0), (SourceState::Unsealed, RetiredCopy::Kept));
}
