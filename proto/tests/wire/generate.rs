//! Random values of the core's types, the same for the same seed.

mod told;

use muster_core::claim::{Assertion, Claims, Fenced, Holder, HolderKind};
use muster_core::class::Class;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{Attempt, EvacuationId, HostName, RequestId, SiteName, VmId, VmName};
use muster_core::ledger::{
    ArrivalRecord, AtDestination, AtSource, Closed, Completed, HighWater, Ran, RetiredCopy, RollEntry, SourceState,
    Standing, Started, Transfer,
};
use muster_core::reading::{Instance, Job, Mark, OffCause, Phase, Sight, Sighting, SiteReading, Stored};
use muster_core::runbook::Retention;
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, Ledgers, Observe,
    PathProof, ProvePath, ReleaseClaim, SiteAction, SiteCommand, SiteFailure, VmAnswer, VmToken, WriteRoll,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

pub(crate) struct Generator(ChaCha8Rng);

impl Generator {
    pub(crate) fn seeded(seed: u64) -> Self {
        Generator(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())].clone()
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.0.random()
    }

    pub(crate) fn number(&mut self) -> u64 {
        let bits = self.0.random_range(0..64);
        self.0.random::<u64>() >> bits
    }

    pub(crate) fn small(&mut self) -> u32 {
        self.0.random_range(0..1_000_000)
    }

    pub(crate) fn mib(&mut self) -> u64 {
        self.0.random_range(0..=1 << 40)
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| make(self))
    }

    pub(crate) fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.0.random_range(0..4);
        (0..count).map(|_| make(self)).collect()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(self.0.random())
    }

    pub(crate) fn vm(&mut self) -> VmId {
        VmId(self.uuid())
    }

    pub(crate) fn evacuation(&mut self) -> EvacuationId {
        EvacuationId(self.uuid())
    }

    pub(crate) fn request(&mut self) -> RequestId {
        RequestId(self.uuid())
    }

    pub(crate) fn host(&mut self) -> HostName {
        format!("host-{}", self.small()).parse().unwrap()
    }

    pub(crate) fn site(&mut self) -> SiteName {
        format!("site_{}.east", self.small()).parse().unwrap()
    }

    pub(crate) fn words(&mut self) -> String {
        let length = self.0.random_range(1..200);
        (0..length).map(|_| self.one(&['a', 'Z', ' ', '"', '\\', 'ä', '日', '{'])).collect()
    }

    pub(crate) fn attempt(&mut self) -> Attempt {
        Attempt::new(self.small() + 1).unwrap()
    }

    pub(crate) fn token(&mut self) -> Token {
        Token::new(self.number().max(1), self.number())
    }

    fn kept_ms(&mut self) -> u64 {
        self.0.random_range(Retention::MIN_MS..=Retention::MAX_MS)
    }

    fn at(&mut self) -> Timestamp {
        Timestamp(self.number())
    }

    pub(crate) fn mode(&mut self) -> Mode {
        self.one(&[Mode::Live, Mode::Cold, Mode::Off])
    }

    fn disk(&mut self) -> Disk {
        if self.yes() { Disk::Shared } else { Disk::Local { size_mib: self.mib() } }
    }

    pub(crate) fn definition(&mut self) -> Definition {
        let name: VmName = self.words().replace('/', "-").chars().take(60).collect::<String>().parse().unwrap();
        Definition {
            name,
            memory_mib: self.mib(),
            vcpus: self.small(),
            disk: self.disk(),
            autostart: self.yes(),
            tags: self.some(Self::words_short),
            document: format!("<domain>\n\t{}\n</domain>", self.words()),
        }
    }

    fn words_short(&mut self) -> String {
        self.words().chars().take(60).collect()
    }

    pub(crate) fn roll_entry(&mut self) -> RollEntry {
        RollEntry {
            evacuation: self.evacuation(),
            vm: self.vm(),
            mode: self.mode(),
            source_site: self.site(),
            destination_site: self.site(),
            destination_host: self.host(),
            definition: self.definition(),
        }
    }

    pub(crate) fn holder(&mut self) -> Holder {
        let kind = self.one(&[HolderKind::Orchestrator, HolderKind::Recovery]);
        Holder::new(&self.words(), kind)
    }

    pub(crate) fn fenced(&mut self) -> Fenced {
        if self.yes() { Fenced::Source } else { Fenced::Host(self.host()) }
    }

    pub(crate) fn assertion(&mut self) -> Assertion {
        Assertion { fenced: self.fenced(), reason: self.words(), by: self.words(), at: self.at() }
    }

    pub(crate) fn claims(&mut self) -> EvacuationClaims {
        let claims = Claims {
            epoch: Epoch(self.number()),
            holder: self.maybe(Self::holder),
            assertions: self.some(Self::assertion),
        };
        EvacuationClaims { evacuation: self.evacuation(), claims }
    }

    pub(crate) fn kind(&mut self) -> ArrivalKind {
        self.one(&[ArrivalKind::Transfer, ArrivalKind::ColdStart])
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        self.one(&[Outcome::Migrated, Outcome::StayedAtSource])
    }

    pub(crate) fn started(&mut self) -> Started {
        Started { attempt: self.attempt(), host: self.host(), kind: self.kind(), token: self.token(), at: self.at() }
    }

    pub(crate) fn completed(&mut self) -> Completed {
        Completed {
            started: self.started(),
            token: self.token(),
            at: self.at(),
            late: self.yes(),
            ran: self.maybe(|g| Ran { at: g.at(), downtime_ms: g.maybe(Self::number) }),
        }
    }

    pub(crate) fn closed(&mut self) -> Closed {
        Closed { outcome: self.outcome(), attempts: self.small(), at: self.at(), downtime_ms: self.maybe(Self::number) }
    }

    pub(crate) fn at_destination(&mut self) -> AtDestination {
        let record = match self.0.random_range(0..5) {
            0 => ArrivalRecord::Enrolled,
            1 => ArrivalRecord::Started(self.started()),
            2 => ArrivalRecord::Abandoned(self.started()),
            3 => ArrivalRecord::Completed(self.completed()),
            _ => ArrivalRecord::Closed(self.closed()),
        };
        AtDestination {
            evacuation: self.evacuation(),
            mode: self.mode(),
            disk: self.disk(),
            record,
            leftovers: self.some(Self::started),
        }
    }

    pub(crate) fn transfer(&mut self) -> Transfer {
        Transfer { attempt: self.attempt(), token: self.token(), host: self.host(), failed: self.maybe(Self::words) }
    }

    pub(crate) fn at_source(&mut self) -> AtSource {
        let state = match self.0.random_range(0..4) {
            0 => SourceState::Unsealed,
            1 => SourceState::Sealed { transfer: self.maybe(Self::transfer) },
            2 => SourceState::Gone { transfer: self.transfer() },
            _ => SourceState::Retired,
        };
        let retired_copy = match self.0.random_range(0..3) {
            0 => RetiredCopy::Kept,
            1 => RetiredCopy::KeptUntil { at: self.at(), keep_ms: self.kept_ms() },
            _ => RetiredCopy::Deleted { at: self.at() },
        };
        AtSource { evacuation: self.evacuation(), mode: self.mode(), state, closed: self.yes(), retired_copy }
    }

    pub(crate) fn mark(&mut self) -> Mark {
        Mark { evacuation: self.evacuation(), attempt: self.attempt(), token: self.token() }
    }

    pub(crate) fn job(&mut self) -> Job {
        let phase = self.one(&[
            Phase::Setup,
            Phase::ShutDown,
            Phase::PreCopy,
            Phase::Handover,
            Phase::Finish,
            Phase::DiskCopy,
            Phase::DiskVerify,
        ]);
        Job {
            phase,
            done_basis_points: self.0.random_range(0..=10_000),
            sent_mib: self.mib(),
            left_mib: self.mib(),
            dirty_rate_mib_s: self.mib(),
            round: self.small(),
            expected_downtime_ms: self.yes().then_some(170),
        }
    }

    fn instance(&mut self) -> Instance {
        use OffCause::{Crashed, Migrated, Saved, ShutDown, Unknown};
        let off = [Migrated, ShutDown, Crashed, Saved, Unknown].map(Instance::Off);
        let on = [Instance::Running, Instance::Paused, Instance::Incoming];
        self.one(&[&on[..], &off[..]].concat())
    }

    fn stored(&mut self) -> Stored {
        self.one(&[
            Stored::Nothing,
            Stored::Real,
            Stored::Placeholder,
            Stored::Arrived,
            Stored::Sealed,
            Stored::Retired,
        ])
    }

    pub(crate) fn sighting(&mut self) -> Sighting {
        Sighting {
            host: self.host(),
            instance: self.instance(),
            stored: self.stored(),
            mark: self.maybe(Self::mark),
            job: self.maybe(Self::job),
            disk_complete: self.yes(),
            stood_still_ms: self.maybe(Self::number),
            job_error: self.maybe(Self::words),
            autostart: self.yes(),
        }
    }

    pub(crate) fn reading(&mut self) -> SiteReading {
        let standing = match self.0.random_range(0..3) {
            0 => None,
            1 => Some(Standing::Destination(self.at_destination())),
            _ => Some(Standing::Source(self.at_source())),
        };
        let sight = Sight {
            sightings: self.some(Self::sighting),
            silent_hosts: self.some(Self::host),
            call_under_way: self.yes(),
        };
        SiteReading {
            vm: self.vm(),
            floor: if self.yes() { Token::ZERO } else { self.token() },
            standing,
            sight,
            mutation_under_way: self.yes(),
            at: self.at(),
        }
    }

    pub(crate) fn failure(&mut self) -> SiteFailure {
        let class = self.one(&[Class::Retry, Class::Refused, Class::Unknown, Class::Bug]);
        SiteFailure::new(class, "BELOW_FLOOR", &self.words())
    }

    pub(crate) fn answer(&mut self) -> VmAnswer {
        let reading = self.reading();
        let vm = reading.vm;
        VmAnswer { vm, result: if self.yes() { Ok(reading) } else { Err(self.failure()) } }
    }

    pub(crate) fn actions(&mut self) -> Vec<SiteAction> {
        vec![
            SiteAction::OpenAttempt { host: self.host(), kind: self.kind() },
            SiteAction::MakePlaceholder { attempt: self.attempt() },
            SiteAction::Seal,
            SiteAction::Transfer {
                attempt: self.attempt(),
                destination_site: self.site(),
                destination_host: self.host(),
                tuning: self.tuning(),
            },
            SiteAction::AbortTransfer,
            SiteAction::AdjustTransfer {
                bandwidth_mib_s: self.yes().then_some(17),
                downtime_ms: self.yes().then_some(900),
            },
            SiteAction::Commit { attempt: self.attempt() },
            SiteAction::Run,
            SiteAction::Retire { keep_ms: self.maybe(Self::kept_ms) },
            SiteAction::Abandon { attempt: self.attempt() },
            SiteAction::Reopen { attempt: self.attempt() },
            SiteAction::Discard,
            SiteAction::ResumeSource,
            SiteAction::StartSource,
            SiteAction::Unseal,
            SiteAction::CloseSource,
            SiteAction::CloseDestination(self.outcome()),
            SiteAction::Release { reason: self.words() },
        ]
    }

    fn tuning(&mut self) -> Tuning {
        Tuning {
            bandwidth_mib_s: self.yes().then_some(170),
            connections: self.yes().then_some(4),
            needs_tls: self.yes(),
            auto_converge: self.yes(),
        }
    }

    pub(crate) fn command(&mut self) -> SiteCommand {
        let actions = self.actions();
        SiteCommand { vm: self.vm(), token: self.token(), action: self.one(&actions) }
    }

    pub(crate) fn execute(&mut self) -> Execute {
        let actions = self.actions();
        let commands =
            actions.into_iter().map(|action| SiteCommand { vm: self.vm(), token: self.token(), action }).collect();
        Execute { request: self.request(), evacuation: self.evacuation(), commands }
    }

    pub(crate) fn write_roll(&mut self) -> WriteRoll {
        let evacuation = self.evacuation();
        let entries = (0..3).map(|_| RollEntry { evacuation, ..self.roll_entry() }).collect();
        WriteRoll {
            request: self.request(),
            side: self.one(&[Side::Source, Side::Destination]),
            epoch: self.epoch(),
            entries,
        }
    }

    fn epoch(&mut self) -> Epoch {
        Epoch(self.number().clamp(1, u64::MAX - 1))
    }

    pub(crate) fn observed(&mut self) -> VmToken {
        VmToken { vm: self.vm(), token: self.maybe(Self::token) }
    }

    pub(crate) fn observe(&mut self) -> Observe {
        Observe { evacuation: self.evacuation(), vms: self.some(Self::observed) }
    }

    pub(crate) fn claim(&mut self) -> ClaimEvacuation {
        ClaimEvacuation {
            request: self.request(),
            evacuation: self.evacuation(),
            holder: self.holder(),
            expected: self.epoch(),
            at_least: self.epoch(),
            take_over: self.maybe(Self::words),
        }
    }

    pub(crate) fn release_claim(&mut self) -> ReleaseClaim {
        ReleaseClaim { request: self.request(), evacuation: self.evacuation(), epoch: self.epoch() }
    }

    pub(crate) fn assert_fenced(&mut self) -> AssertFenced {
        AssertFenced {
            request: self.request(),
            evacuation: self.evacuation(),
            fenced: self.fenced(),
            reason: self.words(),
            by: self.words(),
        }
    }

    pub(crate) fn commit(&mut self) -> CommitArrival {
        CommitArrival {
            request: self.request(),
            evacuation: self.evacuation(),
            vm: self.vm(),
            attempt: self.attempt(),
            token: self.token(),
            source_site: self.site(),
        }
    }

    pub(crate) fn greatest_epoch(&mut self) -> GreatestEpoch {
        GreatestEpoch { evacuation: self.evacuation(), vms: self.some(Self::vm) }
    }

    pub(crate) fn prove_path(&mut self) -> ProvePath {
        ProvePath { nonce: self.uuid().to_string(), source_site: self.site(), ledgers: self.ledgers() }
    }

    pub(crate) fn path_proof(&mut self) -> PathProof {
        let ledgers = self.ledgers();
        PathProof { nonce: self.uuid().to_string(), site: self.site(), working: self.yes(), ledgers }
    }

    fn ledgers(&mut self) -> Ledgers {
        Ledgers { own: self.high_water(), witnessed: self.high_water() }
    }

    fn high_water(&mut self) -> Option<HighWater> {
        let rebuilt_at = self.yes().then(|| self.at());
        let link = self.yes().then(|| Fingerprint([self.number().to_be_bytes()[7]; 32]));
        self.yes().then(|| HighWater { rebuilt_at, sequence: self.number(), at: self.at(), link })
    }
}
