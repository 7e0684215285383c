//! Anybody's broken migration: how a VM stands by what both sides show, and how urgent that is.

use muster_core::ids::VmId;
use muster_core::inspect::{Inspection, Seen, SeenState, Standing, Urgency, inspect};
use muster_core::reading::{OffCause, Stored};
use muster_core::step::Side;
use uuid::Uuid;

const MIGRATED: SeenState = SeenState::Off(OffCause::Migrated);
const DOWN: SeenState = SeenState::Off(OffCause::ShutDown);

fn seen(side: Side, state: SeenState) -> Seen {
    Seen {
        vm: VmId(Uuid::from_u128(1)),
        name: "shop".to_owned(),
        side,
        host: format!("qemu://{side}"),
        state,
        words: "as it says".to_owned(),
        stored: Stored::Real,
        autostart: false,
        migrating: false,
    }
}

fn source(state: SeenState) -> Seen {
    seen(Side::Source, state)
}

fn destination(state: SeenState) -> Seen {
    seen(Side::Destination, state)
}

fn one(seen: Vec<Seen>, some_silent: bool) -> Inspection {
    let mut all = inspect(seen, some_silent);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn each_wreck_has_its_name_and_urgency() {
    use SeenState::{Incoming, Paused, PausedByMigration, Running};
    use Urgency::{Alarm, Attention, Fine};
    let crashed = SeenState::Off(OffCause::Crashed);
    let rows: Vec<(Vec<Seen>, Standing, Urgency)> = vec![
        (vec![source(Running)], Standing::RunsOnce, Fine),
        (vec![source(Running), destination(Running)], Standing::RunsTwice, Alarm),
        (vec![source(MIGRATED), destination(Running)], Standing::RunsOnce, Attention),
        (vec![source(Running), destination(PausedByMigration)], Standing::RunsOnce, Alarm),
        (vec![source(Running), destination(Incoming)], Standing::RunsOnce, Attention),
        (vec![source(PausedByMigration), destination(PausedByMigration)], Standing::PausedTwice, Alarm),
        (vec![source(PausedByMigration)], Standing::PausedOnce, Alarm),
        (vec![source(MIGRATED), destination(Paused)], Standing::PausedOnce, Alarm),
        (vec![source(DOWN), destination(Paused)], Standing::PausedOnce, Attention),
        (vec![source(MIGRATED), destination(Incoming)], Standing::Incomplete, Alarm),
        (vec![source(MIGRATED)], Standing::Lost, Alarm),
        (vec![source(MIGRATED), destination(DOWN)], Standing::Lost, Alarm),
        (vec![source(crashed)], Standing::Stopped, Attention),
        (vec![source(DOWN)], Standing::ShutDown, Fine),
        (vec![source(DOWN), destination(DOWN)], Standing::ShutDown, Attention),
    ];
    for (index, (seen, standing, urgency)) in rows.into_iter().enumerate() {
        let inspection = one(seen, false);
        assert_eq!((inspection.standing, inspection.urgency), (standing, urgency), "row {index}: {inspection:?}");
        assert_eq!(inspection.next.is_empty(), urgency == Fine, "row {index}: {inspection:?}");
    }
}

#[test]
fn a_definition_that_boots_by_itself_is_an_alarm_and_an_inert_one_is_none() {
    let boots = Seen { autostart: true, ..source(MIGRATED) };
    let inspection = one(vec![boots, destination(SeenState::Running)], false);
    assert_eq!(inspection.urgency, Urgency::Alarm);
    assert!(inspection.next[0].contains("autostart --disable"), "{inspection:?}");
    for stored in [Stored::Placeholder, Stored::Sealed, Stored::Retired] {
        let inert = Seen { stored, ..source(MIGRATED) };
        assert_eq!(one(vec![inert.clone(), destination(SeenState::Running)], false).urgency, Urgency::Fine);
        assert_eq!(one(vec![inert], false).standing, Standing::Inert);
    }
}

#[test]
fn a_migration_under_way_is_no_wreck() {
    let leaving = Seen { migrating: true, ..source(SeenState::Running) };
    let arriving = Seen { migrating: true, ..destination(SeenState::Incoming) };
    assert_eq!(one(vec![leaving, arriving], false).standing, Standing::Migrating);
}

#[test]
fn nothing_is_fine_that_a_silent_host_could_spoil() {
    assert_eq!(one(vec![source(SeenState::Running)], true).urgency, Urgency::Attention);
    let paused = one(vec![destination(SeenState::PausedByMigration)], true);
    assert_eq!(paused.urgency, Urgency::Alarm);
    assert!(paused.next[0].contains("Resume nothing"), "{paused:?}");
}

#[test]
fn a_transient_guest_is_told_of() {
    let transient = Seen { stored: Stored::Nothing, ..destination(SeenState::Running) };
    assert!(one(vec![transient], false).next[0].contains("no definition"));
}

#[test]
fn the_most_urgent_come_first() {
    let of = |number: u128, name: &str, state| Seen {
        vm: VmId(Uuid::from_u128(number)),
        name: name.to_owned(),
        ..source(state)
    };
    let all = inspect(
        vec![of(1, "a", SeenState::Running), of(2, "c", MIGRATED), of(3, "b", MIGRATED), of(4, "d", SeenState::Paused)],
        false,
    );
    let names: Vec<&str> = all.iter().map(|inspection| inspection.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d", "a"]);
}
