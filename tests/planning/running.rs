//! Evacuations of simulated sites, run by the product: durations scattered by a fifth, one move in twenty failing, the orchestrator killed in
//! the middle. What was run is held against what could not have been beaten, had all durations been known before.

use muster_core::definition::Disk;
use muster_core::ids::{HostName, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_core::time::Timestamp;
use muster_proto::v1::{self as pb, MoveState};
use muster_tests::stage::definition;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Fault, RuleKind, Trap, VmSpec, Workload, WorldConfig};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// How far above the bound an evacuation may end.
const BAR: f64 = 1.07;
/// Longest that is waited for, in simulated time.
const LONGEST: Duration = Duration::from_secs(3_600);
const HOSTS: u32 = 6;
const VMS: u32 = 90;
/// One move in so many fails at its first attempt.
const FAILING: u32 = 20;
/// Interfaces of 10 Gbit/s that one move fills, and room to overlap nothing else.
const RUNBOOK: &str = "name = \"leave\"\nsource.site = \"source\"\ndestination.site = \"destination\"\nselect = [{ all = true }]\n\
                       [limits]\ntotal = 64\nsource_host_mbit_s = 10000\ndestination_host_mbit_s = 10000\n\
                       [retry]\nbackoff_ms = 500\n";

async fn fleet(stage: &Stage, random: &mut fastrand::Rng) -> BTreeMap<VmId, HostName> {
    let mut hosts = BTreeMap::new();
    for number in 0..VMS {
        let mut of = definition(&format!("vm-{number}"), Disk::Shared);
        // As a public cloud has them: few large ones, 6 GB in the mean.
        let sizes = [2_048, 4_096, 4_096, 4_096, 8_192, 8_192, 16_384];
        of.memory_mib = sizes[random.usize(..sizes.len())];
        // What is written while it is sent, and so how long it takes, can't be known before: up to two fifths more.
        let hot_mib = of.memory_mib * random.u64(..36) / 100;
        let hot_span_ms = of.memory_mib * 1_000 / 1_192;
        of.document = Workload { hot_mib, hot_span_ms, ..Workload::default() }.to_document();
        let (vm, host) = (VmId(Uuid::from_u128(u128::from(number) + 1)), stage.source_host(1 + random.u32(..HOSTS)));
        hosts.insert(vm, host.clone());
        stage
            .world
            .create_vm(VmSpec { vm, site: stage.source.clone(), host, definition: of, runs: true })
            .await
            .unwrap();
        if number % FAILING == 0 {
            let broken = RuleKind::Phase(Phase::Handover, Trap::Fail("a broken cable".to_owned()));
            stage.inject(Fault::once(vm, broken)).await;
        }
    }
    hosts
}

/// What no order of these moves ends before: for each interface, all that it carried one after another; and the longest of them.
struct Hindsight {
    busy_ms: BTreeMap<HostName, u64>,
    longest_ms: u64,
    first: Timestamp,
    last: Timestamp,
    attempts: u32,
}

impl Hindsight {
    async fn of(stage: &Stage, sources: &BTreeMap<VmId, HostName>) -> Hindsight {
        let (first, last) = (Timestamp(u64::MAX), Timestamp(0));
        let mut all = Hindsight { busy_ms: BTreeMap::new(), longest_ms: 0, first, last, attempts: 0 };
        let mut open: BTreeMap<VmId, (Timestamp, HostName)> = BTreeMap::new();
        for line in stage.history(Process::Destination).await {
            let Some(vm) = line.vm else { continue };
            if let EventKind::AttemptOpened { host, .. } = line.kind {
                open.insert(vm, (line.at, host));
            } else if let EventKind::Completed { .. } | EventKind::Abandoned { .. } = line.kind {
                let (since, destination) = open.remove(&vm).expect("an attempt is open");
                let took_ms = line.at.since_ms(since);
                for host in [sources[&vm].clone(), destination] {
                    *all.busy_ms.entry(host).or_default() += took_ms;
                }
                all.longest_ms = all.longest_ms.max(took_ms);
                (all.first, all.last) = (all.first.min(since), all.last.max(line.at));
                all.attempts += 1;
            }
        }
        all
    }

    fn over_bound(&self) -> f64 {
        let busiest_ms = self.busy_ms.values().copied().max().unwrap_or_default();
        self.last.since_ms(self.first) as f64 / busiest_ms.max(self.longest_ms) as f64
    }
}

async fn run(seed: u64) -> f64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let options = StageOptions { seed, hosts: HOSTS, ..StageOptions::default() };
    let mut config = WorldConfig::two_sites(seed, HOSTS, options.host_memory_mib).unwrap();
    // Wide enough for all interfaces at once: these are what is scarce.
    config.links[0].rate_mib_s *= u64::from(HOSTS);
    let mut stage = Stage::set_in(options, &config).await;
    let sources = fleet(&stage, &mut random).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(RUNBOOK).await;
    let arrived = |moves: &[pb::Move]| moves.iter().filter(|of| of.state() == MoveState::Migrated).count();
    stage.until(evacuation, LONGEST, |_, moves| arrived(moves) >= VMS as usize / 3).await;
    stage.kill(Process::Orchestrator);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.start_orchestrator(None).await;
    let moves = stage.until_finished(evacuation).await;
    assert!(moves.values().all(|of| of.state() == MoveState::Migrated), "seed {seed}: {moves:#?}");
    let hindsight = Hindsight::of(&stage, &sources).await;
    assert!(hindsight.attempts > VMS, "some were tried again");
    hindsight.over_bound()
}

#[tokio::test(start_paused = true)]
async fn what_was_run_is_close_to_what_hindsight_could_not_beat() {
    let mut ratios = Vec::new();
    for seed in 1..=5 {
        ratios.push(run(seed).await);
    }
    println!("over the bound computed with hindsight: {ratios:.3?}");
    assert!(ratios.iter().all(|ratio| *ratio <= BAR), "{ratios:.3?}");
}
