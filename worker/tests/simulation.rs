//! The simulated hypervisors from outside: the conformance suite over both drivers, the wire, time, and silence.

#![allow(clippy::unwrap_used)]

mod support;

use futures::StreamExt;
use hyper_util::rt::TokioIo;
use muster_core::definition::Mode;
use muster_core::ids::EvacuationId;
use muster_core::reading::{Instance, Phase, Seal, Stored};
use muster_core::token::Token;
use muster_worker::hypervisor::conformance::{Broken, Fixture, Subject, check};
use muster_worker::hypervisor::sim::client::{SimulatedHypervisors, WorldClient};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::sim::engine::start;
use muster_worker::hypervisor::sim::server::{ServeError, serve, serve_world};
use muster_worker::hypervisor::sim::session::OLDER_SESSION_WAIT_MAX;
use muster_worker::hypervisor::sim::world::{
    CallKind, Clock, Fault, FleetSpec, HostFault, Rule, RuleKind, SiteFault, Trap, Twist, WorldConfig,
};
use muster_worker::hypervisor::{Call, Change, Hypervisor, HypervisorError, VmChange};
use std::time::Duration;
use support::{Way, WorldFixture, host, site};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

const MEMORY_MIB: u64 = 64 * 1024;

fn config() -> WorldConfig {
    WorldConfig::two_sites(7, 2, MEMORY_MIB).unwrap()
}

fn sealing() -> VmChange {
    let seal = Seal {
        evacuation: EvacuationId(uuid::Uuid::from_u128(99)),
        token: Token::new(1, 1),
        mode: Mode::Live,
        source_site: site("source"),
        destination_site: site("destination"),
        destination_host: host("destination-1"),
        autostart: false,
    };
    VmChange::DefineSealed { reason: "moving".to_owned(), seal: Box::new(seal) }
}

/// A channel into a world of this process, over pipes: no sockets, so a paused clock moves only when all is quiet.
fn channel_to(world: &WorldFixture) -> Channel {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<DuplexStream, std::io::Error>>(16);
    tokio::spawn(serve_world(world.world.clone(), ReceiverStream::new(receiver), CancellationToken::new()));
    let connector = tower::service_fn(move |_| {
        let sender = sender.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(1024 * 1024);
            sender.send(Ok(theirs)).await.map_err(|_| std::io::Error::other("the world is gone"))?;
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        }
    });
    Endpoint::from_static("http://world").connect_with_connector_lazy(connector)
}

#[tokio::test(start_paused = true)]
async fn the_direct_driver_conforms() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let fixture = WorldFixture::new(world.clone(), Way::Direct);
    assert_eq!(check(&fixture).await, Vec::<Broken>::new());
    let truths = world.truth().await.unwrap();
    assert!(truths.iter().all(|truth| !truth.ran_twice && !truth.ran_stale && !truth.ran_on_partial_disk));
    assert_eq!(truths.len(), 13);
}

#[tokio::test(start_paused = true)]
async fn the_driver_over_the_wire_conforms() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let mut fixture = WorldFixture::new(world, Way::Direct);
    fixture.way = Way::Wire(channel_to(&fixture));
    assert_eq!(check(&fixture).await, Vec::<Broken>::new());
}

#[tokio::test(start_paused = true)]
async fn the_suite_finds_a_hypervisor_that_refuses_to_seal() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let refuses = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Refuse("not today".to_owned()));
    world.inject(Fault::Rule(Rule { vm: None, times: u32::MAX, kind: refuses })).await.unwrap();
    let broken = check(&WorldFixture::new(world, Way::Direct)).await;
    assert!(broken.iter().any(|broken| broken.case.contains("sealed VM")), "{broken:?}");
    assert!(!broken.iter().any(|broken| broken.case.contains("placeholder is inert")), "{broken:?}");
}

#[tokio::test]
async fn a_world_in_another_process_is_driven_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let cancelled = CancellationToken::new();
    let config = WorldConfig { clock: Clock::Running { simulated_ms_per_ms: 100 }, ..config() };
    let served = tokio::spawn(serve(listener, config, cancelled.clone()));

    let control = WorldClient::connect(&address).unwrap();
    let fleet = FleetSpec::mixed(3, site("source"), 40);
    let vms = control.create_fleet(&fleet).await.unwrap();
    let hypervisors = SimulatedHypervisors::connect(&address, site("source")).unwrap();
    let inventory = hypervisors.inventory().await.unwrap();
    assert_eq!((inventory.vms.len(), vms.len()), (40, 40));
    assert_eq!(hypervisors.look(&vms).await.unwrap().len(), 40);

    let mut changes = hypervisors.changes().await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Everything));
    control.inject(&Fault::Host(site("source"), host("source-1"), HostFault::PowerLoss)).await.unwrap();
    let dead = inventory.vms.iter().filter(|vm| vm.host == host("source-1") && vm.instance == Instance::Running);
    let truths = control.truth(&[]).await.unwrap();
    assert_eq!(truths.iter().filter(|truth| truth.memory_lost()).count(), dead.count());
    assert!(changes.next().await.is_some());

    control.inject(&Fault::Site(site("source"), SiteFault::Unplugged)).await.unwrap();
    let error = hypervisors.inventory().await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    let ended = async { while changes.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the stream ends with the site");
    let error = control.inject(&Fault::Site(site("nowhere"), SiteFault::Unplugged)).await.unwrap_err();
    assert_eq!(error.class(), muster_core::class::Class::Refused);

    cancelled.cancel();
    drop((hypervisors, control));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_world_is_not_served_to_others() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = serve(listener, config(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_hung_call_lands_after_its_caller_has_gone() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let fixture = WorldFixture::new(world.clone(), Way::Direct);
    let stage = fixture.stage(Subject::Quiet).await.unwrap();
    let hang = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Hang(10_000));
    world.inject(Fault::once(stage.vm, hang)).await.unwrap();
    let seal = || Call { vm: stage.vm, host: stage.source_host.clone(), change: sealing() };
    let given_up = tokio::time::timeout(Duration::from_millis(500), stage.source.call(seal())).await;
    assert!(given_up.is_err(), "the call should hang");
    let sight = &stage.source.look(&[stage.vm]).await.unwrap()[0];
    assert!(sight.call_under_way);
    assert_eq!(sight.sightings[0].stored, muster_core::reading::Stored::Real);
    assert_eq!(stage.source.call(seal()).await, Err(HypervisorError::Busy { vm: stage.vm }));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let sight = &stage.source.look(&[stage.vm]).await.unwrap()[0];
    assert!(!sight.call_under_way);
    assert_eq!(sight.sightings[0].stored, muster_core::reading::Stored::Sealed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_hides_a_call_that_took_effect() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let stage = WorldFixture::new(world.clone(), Way::Direct).stage(Subject::Quiet).await.unwrap();
    world.inject(Fault::once(stage.vm, RuleKind::Call(None, Twist::LoseReply))).await.unwrap();
    let change = sealing();
    let call = Call { vm: stage.vm, host: stage.source_host.clone(), change };
    let error = stage.source.call(call).await.unwrap_err();
    assert_eq!(error.class(), muster_core::class::Class::Unknown);
    let sight = &stage.source.look(&[stage.vm]).await.unwrap()[0];
    assert_eq!(sight.sightings[0].stored, muster_core::reading::Stored::Sealed);
}

#[tokio::test(start_paused = true)]
async fn a_scaled_clock_passes_simulated_time_faster() {
    let config = WorldConfig { clock: Clock::Running { simulated_ms_per_ms: 50 }, ..config() };
    let world = start(&config, CancellationToken::new()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.now_ms().await.unwrap(), 10_000);
    assert_eq!(world.set_clock(Clock::Manual).await.unwrap(), 10_000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.now_ms().await.unwrap(), 10_000);
    assert_eq!(world.advance(5).await.unwrap(), 10_005);
    world.set_clock(Clock::Running { simulated_ms_per_ms: 1 }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(7)).await;
    assert_eq!(world.now_ms().await.unwrap(), 10_012);
}

#[tokio::test(start_paused = true)]
async fn a_held_transfer_stands_at_its_phase_until_released() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let fixture = WorldFixture::new(world.clone(), Way::Direct);
    let stage = fixture.stage(Subject::Quiet).await.unwrap();
    world.inject(Fault::once(stage.vm, RuleKind::Phase(Phase::Finish, Trap::Hold))).await.unwrap();
    let mark = muster_core::reading::Mark {
        evacuation: stage.evacuation,
        attempt: muster_core::ids::Attempt::FIRST,
        token: muster_core::token::Token::new(1, 1),
    };
    let place = VmChange::DefinePlaceholder { definition: stage.definition.clone(), mark };
    let there = stage.destination_host.clone();
    stage.destination.call(Call { vm: stage.vm, host: there.clone(), change: place }).await.unwrap();
    let change = VmChange::BeginTransfer {
        destination_site: stage.destination_site.clone(),
        destination_host: there,
        definition: stage.definition.clone(),
        mark,
        tuning: muster_core::terms::Tuning::default(),
    };
    stage.source.call(Call { vm: stage.vm, host: stage.source_host.clone(), change }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let seen = &stage.destination.look(&[stage.vm]).await.unwrap()[0].sightings[0];
    assert_eq!(seen.job.map(|job| job.phase), Some(Phase::Finish));
    assert_eq!(seen.instance, Instance::Paused);
    let truth = world.truth_of(stage.vm).await.unwrap().unwrap();
    assert!(truth.has_good_paused_copy_at(&site("destination")) && truth.runs_on().is_empty());
    world.inject(Fault::ReleaseTransfers(Some(stage.vm))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = &stage.destination.look(&[stage.vm]).await.unwrap()[0].sightings[0];
    assert_eq!((seen.job, seen.instance), (None, Instance::Paused));
}

/// A channel of a worker that can be killed. What it sends arrives at once; or, with `late`, so long after it was killed.
fn mortal_channel(
    world: &mpsc::Sender<Result<DuplexStream, std::io::Error>>,
    late: Option<Duration>,
) -> (Channel, CancellationToken) {
    let killed = CancellationToken::new();
    let (world, dies) = (world.clone(), killed.clone());
    let connector = tower::service_fn(move |_| {
        let (world, dies) = (world.clone(), dies.clone());
        async move {
            let (ours, near) = tokio::io::duplex(1024 * 1024);
            let (far, theirs) = tokio::io::duplex(1024 * 1024);
            world.send(Ok(theirs)).await.map_err(|_| std::io::Error::other("the world is gone"))?;
            tokio::spawn(carry(near, far, dies, late));
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        }
    });
    (Endpoint::from_static("http://world").connect_with_connector_lazy(connector), killed)
}

async fn carry(near: DuplexStream, far: DuplexStream, dies: CancellationToken, late: Option<Duration>) {
    let (mut sent, mut answers_to) = tokio::io::split(near);
    let (mut answers, mut wire) = tokio::io::split(far);
    let mut held = Vec::new();
    let forth = async {
        let mut bytes = [0_u8; 4096];
        while let Ok(length @ 1..) = sent.read(&mut bytes).await {
            match late {
                Some(_) => held.extend_from_slice(&bytes[..length]),
                None => wire.write_all(&bytes[..length]).await.unwrap(),
            }
        }
    };
    let back = tokio::io::copy(&mut answers, &mut answers_to);
    tokio::select! {
        biased;
        () = dies.cancelled() => {}
        () = forth => {}
        _ = back => {}
    }
    tokio::time::sleep(late.unwrap_or_default()).await;
    wire.write_all(&held).await.unwrap();
    // Read in one go with the end of stream, a request would be dropped instead of carried out.
    tokio::time::sleep(Duration::from_millis(10)).await;
    wire.shutdown().await.unwrap();
    // Nobody reads the answers any more.
    let _ = tokio::io::copy(&mut answers, &mut tokio::io::sink()).await;
}

fn served(world: &WorldFixture) -> mpsc::Sender<Result<DuplexStream, std::io::Error>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(serve_world(world.world.clone(), ReceiverStream::new(receiver), CancellationToken::new()));
    sender
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_worker_had_sent_is_taken_in_before_its_successor_hears_anything() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let fixture = WorldFixture::new(world, Way::Direct);
    let stage = fixture.stage(Subject::Quiet).await.unwrap();
    let served = served(&fixture);
    let (channel, killed) = mortal_channel(&served, Some(Duration::from_secs(1)));
    let dies = SimulatedHypervisors::over(channel, site("source"));
    let (vm, host) = (stage.vm, stage.source_host.clone());
    let change = sealing();
    let calling = tokio::spawn(async move { dies.call(Call { vm, host, change }).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    killed.cancel();

    let (channel, _alive) = mortal_channel(&served, None);
    let succeeds = SimulatedHypervisors::over(channel, site("source"));
    let sight = &succeeds.look(&[stage.vm]).await.unwrap()[0];
    let stored = sight.sightings[0].stored;
    assert!(sight.call_under_way || stored == Stored::Sealed, "the call is on its way and isn't shown: {sight:?}");
    calling.await.unwrap().unwrap_err();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let later = &succeeds.look(&[stage.vm]).await.unwrap()[0];
    assert_eq!(later.sightings[0].stored, stored, "nothing lands that wasn't shown");
}

#[tokio::test(start_paused = true)]
async fn while_an_older_worker_of_the_site_is_connected_a_newer_one_is_refused_and_others_are_not() {
    let world = start(&config(), CancellationToken::new()).unwrap();
    let fixture = WorldFixture::new(world, Way::Direct);
    let stage = fixture.stage(Subject::Quiet).await.unwrap();
    let served = served(&fixture);
    let connect = |name: &str| {
        let (channel, killed) = mortal_channel(&served, None);
        (SimulatedHypervisors::over(channel, site(name)), killed)
    };
    let (old, killed) = connect("source");
    old.look(&[stage.vm]).await.unwrap();
    let began = tokio::time::Instant::now();
    let (other, _alive) = connect("destination");
    other.look(&[stage.vm]).await.unwrap();
    assert!(began.elapsed() < OLDER_SESSION_WAIT_MAX, "another site's worker waits for nobody");

    let (new, _alive) = connect("source");
    let error = new.look(&[stage.vm]).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() >= OLDER_SESSION_WAIT_MAX);
    old.look(&[stage.vm]).await.unwrap();
    killed.cancel();
    drop(old);
    new.look(&[stage.vm]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_ended_world_is_unreachable_and_ends_its_streams() {
    let cancelled = CancellationToken::new();
    let world = start(&config(), cancelled.clone()).unwrap();
    let hypervisors = DirectHypervisors::new(world, site("source"));
    let mut changes = hypervisors.changes().await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Everything));
    cancelled.cancel();
    assert_eq!(changes.next().await, None);
    let error = hypervisors.inventory().await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }));
}
