//! Hosts, links and sites that go and come, and what hypervisors do by themselves.

use super::*;
use muster_core::reading::{OffCause, Phase, Stored};

fn cut() -> Fault {
    Fault::Link(source(), destination(), LinkFault::Cut)
}

fn at(phase: Phase, fault: Fault) -> RuleKind {
    RuleKind::Phase(phase, Trap::Inject(Box::new(fault)))
}

fn power(site: &SiteName, what: HostFault) -> Fault {
    Fault::Host(site.clone(), host(site, 1), what)
}

#[test]
fn a_broken_link_before_arrival_leaves_the_source_and_the_placeholder() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover] {
        let mut scene = Scene::new();
        let vm = scene.vm(Disk::Shared, quiet());
        scene.inject(Fault::once(vm, at(phase, cut())));
        scene.begin(vm);
        scene.pass(20_000);
        assert_eq!(scene.instances(vm), (Instance::Running, Instance::Off(OffCause::ShutDown)), "{phase:?}");
        assert_eq!(scene.sighting(&destination(), vm).stored, Stored::Placeholder);
        let refused = scene.call(&source(), vm, transfer(scene.original(vm)));
        assert!(matches!(refused, Err(HypervisorError::Failed { .. })), "{refused:?}");
        scene.inject(Fault::Link(source(), destination(), LinkFault::Restored));
        scene.call(&source(), vm, transfer(scene.original(vm))).unwrap();
        scene.pass(20_000);
        assert_eq!(scene.instances(vm), (Instance::Off(OffCause::Migrated), Instance::Paused));
    }
}

#[test]
fn a_broken_finish_ends_in_one_of_three_ways_and_the_copy_stays() {
    let ends = [
        (FinishBreak::LetGo, Instance::Off(OffCause::Migrated), false),
        (FinishBreak::StaysPaused, Instance::Paused, false),
        (FinishBreak::Resumes, Instance::Running, true),
    ];
    for (outcome, left, stale) in ends {
        let mut scene = Scene::new();
        let vm = scene.vm(Disk::Shared, quiet());
        scene.inject(Fault::once(vm, RuleKind::Finish(outcome)));
        scene.inject(Fault::once(vm, at(Phase::Finish, cut())));
        scene.begin(vm);
        scene.pass(20_000);
        assert_eq!(scene.instances(vm), (left, Instance::Paused), "{outcome:?}");
        let seen = scene.sighting(&destination(), vm);
        assert!(seen.job.is_none() && seen.stored == Stored::Arrived && seen.mark == Some(mark()));
        assert_eq!(scene.truth(vm).has_good_paused_copy_at(&destination()), !stale, "{outcome:?}");
    }
}

#[test]
fn a_source_daemon_that_restarts_resumes_what_it_paused() {
    for (phase, there) in [
        (Phase::PreCopy, Instance::Off(OffCause::ShutDown)),
        (Phase::Handover, Instance::Off(OffCause::ShutDown)),
        (Phase::Finish, Instance::Paused),
    ] {
        let mut scene = Scene::new();
        let vm = scene.vm(Disk::Shared, quiet());
        scene.inject(Fault::once(vm, RuleKind::Phase(phase, Trap::Hold)));
        scene.begin(vm);
        scene.pass(20_000);
        scene.inject(power(&source(), HostFault::DaemonRestart));
        let sight = &scene.world.look(&source(), &[vm]).unwrap()[0];
        assert!(sight.sightings.is_empty() && sight.silent_hosts == vec![host(&source(), 1)]);
        scene.pass(Timing::default().daemon_restart_ms);
        assert_eq!(scene.instances(vm), (Instance::Running, there), "{phase:?}");
        assert!(!scene.truth(vm).ran_twice);
    }
}

#[test]
fn a_boot_starts_what_has_autostart_and_nothing_that_is_inert() {
    let mut scene = Scene::new();
    let [real, sealed, manual] = [(); 3].map(|()| scene.vm(Disk::Shared, quiet()));
    scene.seal(sealed);
    let definition = Definition { autostart: false, ..scene.original(manual) };
    scene.call(&source(), manual, VmChange::DefineReal { definition, mark: None }).unwrap();
    scene.place(real);
    scene.inject(power(&source(), HostFault::PowerLoss));
    scene.inject(power(&destination(), HostFault::PowerLoss));
    assert!([real, sealed, manual].iter().all(|vm| scene.truth(*vm).memory_lost() && !scene.truth(*vm).lost));
    let inventory = scene.world.inventory(&source(), &[]).unwrap();
    assert!(inventory.vms.is_empty() && !inventory.hosts[0].answers);
    scene.pass(60_000);
    scene.inject(power(&source(), HostFault::PowerReturn));
    scene.inject(power(&destination(), HostFault::PowerReturn));
    assert_eq!(scene.instances(real), (Instance::Running, Instance::Off(OffCause::Unknown)));
    assert_eq!(scene.truth(real).memory_generation, 2);
    for vm in [sealed, manual] {
        assert_eq!(scene.sighting(&source(), vm).instance, Instance::Off(OffCause::Unknown));
    }
}

#[test]
fn a_dead_host_takes_its_part_of_a_transfer_with_it() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::once(vm, at(Phase::Handover, power(&destination(), HostFault::PowerLoss))));
    scene.begin(vm);
    scene.pass(20_000);
    assert_eq!(scene.sighting(&source(), vm).instance, Instance::Running);
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::once(vm, at(Phase::Finish, power(&source(), HostFault::PowerLoss))));
    scene.begin(vm);
    scene.pass(20_000);
    let seen = scene.sighting(&destination(), vm);
    assert!(seen.instance == Instance::Paused && seen.job.is_none());
    assert!(scene.truth(vm).ended.is_none() && scene.truth(vm).has_good_paused_copy_at(&destination()));
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::once(vm, at(Phase::PreCopy, power(&source(), HostFault::PowerLoss))));
    scene.begin(vm);
    scene.pass(20_000);
    assert_eq!(scene.sighting(&destination(), vm).stored, Stored::Placeholder);
    assert!(scene.truth(vm).memory_lost());
}

#[test]
fn an_unplugged_site_answers_nothing_and_runs_on() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, endless());
    scene.begin(vm);
    scene.pass(5_000);
    let other = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::once(other, RuleKind::Call(None, Twist::Hang(1_000))));
    let change = sealing();
    let id = scene.world.begin_call(&source(), Call { vm: other, host: host(&source(), 1), change });
    scene.world.take_outputs();
    scene.inject(Fault::Site(source(), SiteFault::Unplugged));
    let outputs = scene.world.take_outputs();
    assert!(outputs.contains(&Output::SiteLost { site: source() }));
    let heard = outputs.iter().any(|output| {
        matches!(output, Output::CallEnded { call, result: Err(HypervisorError::Unreachable { .. }) } if *call == id)
    });
    assert!(heard, "the caller hears that nothing is known");
    assert!(scene.world.look(&source(), &[vm]).is_err());
    assert_eq!(scene.sighting(&destination(), vm).instance, Instance::Off(OffCause::ShutDown));
    assert_eq!(scene.truth(vm).runs_on().len(), 1);
    scene.pass(2_000);
    scene.inject(Fault::Site(source(), SiteFault::PluggedIn));
    assert_eq!(scene.sighting(&source(), other).stored, Stored::Sealed, "the call landed all the same");
}

#[test]
fn a_site_without_power_comes_back_with_what_autostarts() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, quiet());
    scene.inject(Fault::Site(source(), SiteFault::PowerLoss));
    assert!(matches!(scene.world.inventory(&source(), &[]), Err(HypervisorError::Unreachable { .. })));
    assert!(scene.truth(vm).runs_on().is_empty());
    scene.inject(Fault::Site(source(), SiteFault::PowerReturn));
    assert_eq!(scene.sighting(&source(), vm).instance, Instance::Running);
}

#[test]
fn transfers_fail_by_rule_with_the_rule_s_words_and_by_seed() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover] {
        let mut scene = Scene::new();
        let vm = scene.vm(Disk::Shared, quiet());
        scene.inject(Fault::once(vm, RuleKind::Phase(phase, Trap::Fail("out of luck".to_owned()))));
        scene.begin(vm);
        scene.pass(20_000);
        assert_eq!(scene.sighting(&source(), vm).job_error.as_deref(), Some("out of luck"));
        assert_eq!(scene.instances(vm), (Instance::Running, Instance::Off(OffCause::ShutDown)));
    }
    let mut scene = Scene::new();
    scene.inject(Fault::Rates(FaultRates { transfer_fails: 1_000, ..FaultRates::default() }));
    let vm = scene.vm(Disk::Shared, quiet());
    scene.begin(vm);
    scene.pass(20_000);
    assert!(scene.sighting(&source(), vm).job_error.is_some());
}

#[test]
fn a_guest_that_crashes_while_it_shuts_down_ends_the_call_that_waits_for_it() {
    let mut scene = Scene::new();
    let vm = scene.vm(Disk::Shared, Workload { shutdown_ms: 60_000, ..quiet() });
    let here = host(&source(), 1);
    let id = scene.world.begin_call(&source(), Call { vm, host: here.clone(), change: VmChange::ShutDown });
    scene.pass(1_000);
    scene.inject(Fault::ByHand(source(), here, vm, Deed::Crash));
    scene.pass(1);
    assert!(scene.world.take_outputs().contains(&Output::CallEnded { call: id, result: Ok(()) }));
    assert!(scene.truth(vm).memory_lost() && !scene.world.look(&source(), &[vm]).unwrap()[0].call_under_way);
}
