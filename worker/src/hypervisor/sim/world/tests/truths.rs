//! The truth turns red for what must never happen, and for nothing else.

use super::*;
use muster_core::reading::Phase;

fn by_hand(site: &SiteName, vm: VmId, deed: Deed) -> Fault {
    Fault::ByHand(site.clone(), host(site, 1), vm, deed)
}

/// Whole and paused on both sides.
fn in_doubt(scene: &mut Scene, outcome: FinishBreak, disk: Disk) -> VmId {
    let vm = scene.vm(disk, quiet());
    scene.inject(Fault::once(vm, RuleKind::Finish(outcome)));
    scene.inject(Fault::once(vm, RuleKind::Phase(Phase::Finish, Trap::Fail("no reply".to_owned()))));
    scene.begin(vm);
    scene.pass(60_000);
    vm
}

#[test]
fn two_running_copies_are_seen_and_never_forgotten() {
    let mut scene = Scene::new();
    let vm = in_doubt(&mut scene, FinishBreak::StaysPaused, Disk::Shared);
    assert!(!scene.truth(vm).ran_twice);
    scene.inject(by_hand(&destination(), vm, Deed::Resume));
    assert!(!scene.truth(vm).ran_twice, "one copy runs");
    scene.inject(by_hand(&source(), vm, Deed::Resume));
    scene.inject(by_hand(&source(), vm, Deed::Crash));
    let truth = scene.truth(vm);
    assert!(truth.ran_twice && truth.disk_writers_max == 2 && truth.ran_stale);
    assert_eq!(truth.runs_on().len(), 1);
}

#[test]
fn two_copies_that_run_on_both_sides_of_a_cut_are_two() {
    let mut scene = Scene::new();
    let vm = in_doubt(&mut scene, FinishBreak::Resumes, Disk::Shared);
    scene.inject(Fault::Site(source(), SiteFault::Unplugged));
    scene.inject(by_hand(&destination(), vm, Deed::Resume));
    assert!(scene.truth(vm).ran_twice);
}

#[test]
fn a_copy_that_is_older_than_what_ran_on_is_stale() {
    let mut scene = Scene::new();
    let vm = in_doubt(&mut scene, FinishBreak::Resumes, Disk::Shared);
    let there = |truth: &Truth| truth.places.iter().find(|place| place.site == destination()).unwrap().stale;
    assert!(there(&scene.truth(vm)));
    scene.inject(by_hand(&source(), vm, Deed::Crash));
    assert!(!scene.truth(vm).ran_stale);
    scene.inject(by_hand(&destination(), vm, Deed::Resume));
    let truth = scene.truth(vm);
    assert!(truth.ran_stale && !truth.ran_twice, "it never ran twice at once, and yet it went back in time");
}

#[test]
fn a_copy_removed_after_its_source_went_is_a_vm_lost() {
    let mut scene = Scene::new();
    let vm = in_doubt(&mut scene, FinishBreak::LetGo, Disk::Shared);
    assert!(!scene.truth(vm).lost);
    scene.inject(by_hand(&destination(), vm, Deed::Delete));
    assert!(scene.truth(vm).lost);
    // A stale one may go: the other runs.
    let vm = in_doubt(&mut scene, FinishBreak::Resumes, Disk::Shared);
    scene.inject(by_hand(&destination(), vm, Deed::Delete));
    let truth = scene.truth(vm);
    assert!(!truth.lost && truth.runs_on().len() == 1);
}

#[test]
fn a_shutdown_explains_and_a_removal_does_not() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(by_hand(&source(), vm, Deed::ShutDown));
    let truth = scene.truth(vm);
    assert_eq!((truth.ended, truth.lost), (Some(Ended::ShutDown), false));
    scene.inject(by_hand(&source(), vm, Deed::Delete));
    assert!(scene.truth(vm).lost, "nothing is left of it at all");
}

#[test]
fn a_start_from_half_a_disk_is_seen() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Local { size_mib: 4_000 }, quiet());
    scene.place(vm);
    scene.seal(vm);
    scene.inject(by_hand(&source(), vm, Deed::ShutDown));
    scene.call(&source(), vm, disk_copy()).unwrap();
    scene.pass(10_000);
    scene.call(&source(), vm, VmChange::AbortJob).unwrap();
    let definition = scene.original(vm);
    scene.call(&destination(), vm, VmChange::DefineReal { definition, mark: Some(mark()) }).unwrap();
    assert!(!scene.truth(vm).ran_on_partial_disk);
    scene.call(&destination(), vm, VmChange::Start).unwrap();
    assert!(scene.truth(vm).ran_on_partial_disk);
}

#[test]
fn a_start_from_a_disk_that_was_left_behind_is_seen() {
    let mut scene = Scene::new();
    let vm = in_doubt(&mut scene, FinishBreak::LetGo, Disk::Local { size_mib: 1_000 });
    scene.call(&destination(), vm, VmChange::Resume).unwrap();
    scene.inject(by_hand(&destination(), vm, Deed::Crash));
    let definition = scene.original(vm);
    scene.call(&source(), vm, VmChange::DefineReal { definition, mark: None }).unwrap();
    assert!(!scene.truth(vm).ran_stale);
    scene.call(&source(), vm, VmChange::Start).unwrap();
    assert!(scene.truth(vm).ran_stale);
}

#[test]
fn a_definition_that_comes_back_otherwise_is_seen() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.seal(vm);
    assert!(scene.truth(vm).definition_intact, "a sealed one says nothing of it");
    let definition = Definition { vcpus: 7, ..scene.original(vm) };
    scene.call(&source(), vm, VmChange::DefineReal { definition, mark: None }).unwrap();
    assert!(!scene.truth(vm).definition_intact);
}
