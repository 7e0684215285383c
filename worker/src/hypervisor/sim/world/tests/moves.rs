//! Moves that go well, in time and volume.

use super::*;
use muster_core::reading::{OffCause, Phase, Stored};

#[test]
fn pre_copy_sends_what_a_hand_calculation_says() {
    // 1,024 MiB at 100 MiB/s takes 10.24 s; 100 MiB hot within 2 s and 10 MiB/s after that make 182.4 MiB, then 91.2,
    // then 45.6, then 22.8, which take 228 ms and so are sent while the guest stands still.
    let mut scene = Scene::new();
    let workload = Workload { hot_mib: 100, hot_span_ms: 2_000, cold_kib_s: 10 * 1024, shutdown_ms: 0 };
    let vm = scene.vm(Disk::Shared, workload);
    scene.inject(Fault::once(vm, RuleKind::Phase(Phase::Finish, Trap::Hold)));
    scene.begin(vm);
    let setup_ms = Timing::default().setup_ms;
    scene.pass(setup_ms + 13_670);
    let job = scene.sighting(&source(), vm).job.unwrap();
    assert_eq!((job.phase, job.sent_mib, job.round), (Phase::Finish, 1_366, 4));
    // The same, to the millisecond: all is sent after 13.66 s, give or take the rounding of each of five steps.
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, workload);
    scene.begin(vm);
    scene.pass(setup_ms + 13_658);
    assert_eq!(scene.instances(vm), (Instance::Paused, Instance::Incoming));
    scene.pass(10);
    assert_eq!(scene.instances(vm), (Instance::Paused, Instance::Paused));
    scene.pass(1_000);
    assert_eq!(scene.instances(vm), (Instance::Off(OffCause::Migrated), Instance::Paused));
    let source_still_ms = scene.sighting(&source(), vm).stood_still_ms.unwrap();
    assert!((228 + 50..=228 + 50 + 6).contains(&source_still_ms), "{source_still_ms}");
    scene.call(&destination(), vm, VmChange::Resume).unwrap();
    let truth = scene.truth(vm);
    assert_eq!(truth.runs_on(), vec![(destination(), host(&destination(), 1))]);
    assert_eq!((truth.memory_generation, truth.disk_writers_max), (1, 1));
    assert!(!truth.ran_twice && !truth.ran_stale && !truth.lost);
}

#[test]
fn transfers_share_a_link_and_take_up_what_others_leave() {
    let mut scene = Scene::new();
    let vms: Vec<VmId> = (0..4).map(|_| scene.vm(Disk::Shared, quiet())).collect();
    for vm in &vms {
        scene.begin(*vm);
    }
    // 4 × 1,024 MiB over 100 MiB/s.
    scene.pass(200 + 40_950);
    assert!(vms.iter().all(|vm| scene.instances(*vm).1 == Instance::Incoming));
    scene.pass(200);
    assert!(vms.iter().all(|vm| scene.instances(*vm).1 == Instance::Paused));
    // One alone, and the second half of it at half the rate: 5.12 s and 10.24 s.
    let vm = scene.vm(Disk::Shared, quiet());
    scene.begin(vm);
    scene.pass(200 + 5_120);
    let rate = LinkFault::Rate { rate_mib_s: LINK_MIB_S / 2 };
    scene.inject(Fault::Link(source(), destination(), rate));
    scene.pass(10_235);
    assert_eq!(scene.instances(vm).1, Instance::Incoming);
    scene.pass(100);
    assert_eq!(scene.instances(vm).1, Instance::Paused);
}

#[test]
fn a_transfer_that_does_not_converge_goes_on_until_it_is_aborted() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, endless());
    scene.begin(vm);
    scene.pass(3_600_000);
    let job = scene.sighting(&source(), vm).job.unwrap();
    assert!(job.phase == Phase::PreCopy && job.round > 300, "{job:?}");
    let told = scene.world.take_outputs().len() as u64;
    assert!(told <= 2 * 3_600_000 / PROGRESS_EVERY_MS + 10, "told {told} times");
    scene.call(&source(), vm, VmChange::AbortJob).unwrap();
    assert_eq!(scene.instances(vm), (Instance::Running, Instance::Off(OffCause::ShutDown)));
    assert_eq!(scene.sighting(&destination(), vm).stored, Stored::Placeholder);
    assert_eq!(scene.sighting(&source(), vm).job_error.as_deref(), Some("aborted"));
}

#[test]
fn a_capped_transfer_sends_no_more_and_a_longer_downtime_lets_an_endless_one_arrive() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, endless());
    scene.begin(vm);
    scene.pass(200 + 1_000);
    let half = VmChange::AdjustJob { bandwidth_mib_s: Some(LINK_MIB_S / 2), downtime_ms: None };
    scene.call(&source(), vm, half).unwrap();
    let before = scene.sighting(&source(), vm).job.unwrap();
    scene.pass(1_000);
    let after = scene.sighting(&source(), vm).job.unwrap();
    let sent = after.sent_mib - before.sent_mib;
    assert!((LINK_MIB_S / 2 - 1..=LINK_MIB_S / 2 + 1).contains(&sent), "{sent} MiB in a second");
    // A round of 1,024 MiB takes 10.24 s at the full rate.
    scene.call(&source(), vm, VmChange::AdjustJob { bandwidth_mib_s: None, downtime_ms: Some(10_500) }).unwrap();
    scene.pass(60_000);
    assert_eq!(scene.instances(vm), (Instance::Off(OffCause::Migrated), Instance::Paused));
}

#[test]
fn an_abort_loses_to_a_transfer_that_has_arrived() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::once(vm, RuleKind::Phase(Phase::Finish, Trap::Hold)));
    scene.begin(vm);
    scene.pass(20_000);
    scene.call(&source(), vm, VmChange::AbortJob).unwrap();
    scene.inject(Fault::ReleaseTransfers(None));
    scene.pass(100);
    assert_eq!(scene.instances(vm), (Instance::Off(OffCause::Migrated), Instance::Paused));
}

#[test]
fn a_local_disk_moves_with_its_running_guest() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Local { size_mib: 2_000 }, quiet());
    scene.begin(vm);
    scene.pass(200 + 10_000);
    assert_eq!(scene.sighting(&source(), vm).job.unwrap().phase, Phase::DiskCopy);
    assert!(!scene.sighting(&destination(), vm).disk_complete);
    scene.pass(200 + 10_000 + 10_240);
    assert!(scene.sighting(&destination(), vm).disk_complete);
    scene.call(&destination(), vm, VmChange::Resume).unwrap();
    let truth = scene.truth(vm);
    assert!(!truth.ran_on_partial_disk && !truth.ran_stale);
}

#[test]
fn a_cold_disk_is_copied_then_verified() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Local { size_mib: 2_000 }, Workload { shutdown_ms: 0, ..quiet() });
    scene.place(vm);
    scene.seal(vm);
    let id = scene.world.begin_call(&source(), Call { vm, host: host(&source(), 1), change: VmChange::ShutDown });
    scene.pass(1);
    assert!(scene.world.take_outputs().contains(&Output::CallEnded { call: id, result: Ok(()) }));
    scene.call(&source(), vm, disk_copy()).unwrap();
    scene.pass(20_000);
    assert_eq!(scene.sighting(&source(), vm).job.unwrap().phase, Phase::DiskVerify);
    scene.pass(2_000 * 1_000 / Timing::default().verify_mib_s);
    let seen = scene.sighting(&destination(), vm);
    assert!(seen.disk_complete && seen.job.is_none() && seen.stored == Stored::Placeholder);
}

#[test]
fn what_moved_away_gives_way_on_any_host_of_its_site() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.begin(vm);
    scene.pass(20_000);
    scene.call(&destination(), vm, VmChange::Resume).unwrap();
    scene.call(&source(), vm, VmChange::DefineRetired { reason: "moved".to_owned() }).unwrap();
    let definition = scene.original(vm);
    let change = VmChange::DefinePlaceholder { definition, mark: mark() };
    let call = Call { vm, host: host(&source(), 2), change };
    scene.world.begin_call(&source(), call);
    let sight = &scene.world.look(&source(), &[vm]).unwrap()[0];
    assert_eq!(sight.sightings.len(), 1);
    assert_eq!((&sight.sightings[0].host, sight.sightings[0].stored), (&host(&source(), 2), Stored::Placeholder));
}

#[test]
fn one_seed_makes_one_world() {
    let run = || {
        let mut config = WorldConfig::two_sites(5, 4, 512 * 1024).unwrap();
        config.timing.call_ms = 3;
        let mut world = World::new(&config).unwrap();
        let vms = world.create_fleet(&FleetSpec::mixed(11, source(), 300)).unwrap();
        let rates = FaultRates { transfer_fails: 300, call_fails: 50, reply_lost: 50, call_hangs: 50, hang_ms: 4_000 };
        world.inject(&Fault::Rates(rates)).unwrap();
        for (number, vm) in vms.iter().enumerate() {
            let original = world.lives[vm].original.clone();
            let at = host(&source(), 1 + number as u32 % 4);
            let place = VmChange::DefinePlaceholder { definition: original.clone(), mark: mark() };
            world.begin_call(&destination(), Call { vm: *vm, host: host(&destination(), 1), change: place });
            world.advance(world.now_ms() + 10);
            world.begin_call(&source(), Call { vm: *vm, host: at, change: transfer(original) });
        }
        world.advance(3_600_000);
        (world.take_outputs(), world.truth())
    };
    let (first, second) = (run(), run());
    assert!(first == second, "two runs of one seed differ");
    assert!(first.1.iter().any(|truth| !truth.paused_on().is_empty()), "nothing moved at all");
}

#[test]
fn a_fleet_of_thousands_and_sixty_four_transfers_are_cheap() {
    let mut config = WorldConfig::two_sites(5, 40, 512 * 1024).unwrap();
    config.timing.call_ms = 0;
    let mut world = World::new(&config).unwrap();
    let vms = world.create_fleet(&FleetSpec { off: 0, ..FleetSpec::mixed(11, source(), 2_000) }).unwrap();
    for vm in vms.iter().take(64) {
        let original = world.lives[vm].original.clone();
        let at = world.look(&source(), &[*vm]).unwrap()[0].sightings[0].host.clone();
        let place = VmChange::DefinePlaceholder { definition: original.clone(), mark: mark() };
        world.begin_call(&destination(), Call { vm: *vm, host: host(&destination(), 1), change: place });
        world.begin_call(&source(), Call { vm: *vm, host: at, change: transfer(original) });
    }
    assert_eq!(world.jobs.len(), 64);
    world.advance(3_600_000);
    assert_eq!(world.jobs.len(), 0);
    assert_eq!(world.look(&source(), &vms).unwrap().len(), 2_000);
    assert_eq!(world.truth().iter().filter(|truth| !truth.paused_on().is_empty()).count(), 64);
}
