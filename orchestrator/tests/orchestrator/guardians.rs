//! VMs that something else starts and stops: real commands take its hands off them and give them back. On the real clock, for
//! the commands live by it.

use crate::stage::{Stage, assert_sound, host, is_as_before, runbook, site, vm};
use muster_core::reading::Phase;
use muster_core::step::{Hold, Side};
use muster_orchestrator::Program;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use muster_worker::hypervisor::sim::world::{Fault as WorldFault, HostFault, Rule, RuleKind, Trap};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Guards against hanging alone.
const HANG: Duration = Duration::from_secs(60);

/// A guardian's program in a folder of its own. It writes down how it was run, and fails or dawdles where it is told to.
struct Cluster(TempDir);

const PROGRAM: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
run="$MUSTER_ASK-$MUSTER_VM_NAME"
env > "environment-$run"
echo "$$" > "process-$run"
echo "$# $1 ${MUSTER_OUTCOME:-none} $MUSTER_SITE $MUSTER_HOST" >> "log-$run"
while [ -e "dawdles-$run" ]; do sleep 0.02; done
left="$(cat "fails-$run" 2> /dev/null || echo 0)"
if [ "$left" -gt 0 ]; then
    echo "$((left - 1))" > "fails-$run"
    printf 'nothing to see here\n'
    printf 'the cluster\tis away\n' >&2
    exit 3
fi
"#;

impl Cluster {
    fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        fs::write(&text, PROGRAM).unwrap();
        // By another process: a file that this one has open for writing, be it through a fork elsewhere, can't be run.
        let installed = Command::new("install").arg("-m755").arg(&text).arg(folder.path().join("program")).status();
        assert!(installed.unwrap().success());
        Cluster(folder)
    }

    fn file(&self, what: &str, ask: &str, number: usize) -> PathBuf {
        self.0.path().join(format!("{what}-{ask}-vm-{number}"))
    }

    fn fails(&self, ask: &str, number: usize, times: u32) {
        fs::write(self.file("fails", ask, number), times.to_string()).unwrap();
    }

    fn dawdles(&self, ask: &str, number: usize) {
        fs::write(self.file("dawdles", ask, number), "").unwrap();
    }

    fn hurries(&self, ask: &str, number: usize) {
        fs::remove_file(self.file("dawdles", ask, number)).unwrap();
    }

    /// Each run, as it was told.
    fn runs(&self, ask: &str, number: usize) -> Vec<String> {
        let text = fs::read_to_string(self.file("log", ask, number)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often it was asked to take its hands off, and to take the VM back.
    fn counts(&self, number: usize) -> (usize, usize) {
        (self.runs("hands_off", number).len(), self.runs("give_back", number).len())
    }

    async fn until_runs(&self, ask: &str, number: usize, times: usize) {
        let runs = async {
            while self.runs(ask, number).len() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(HANG, runs).await;
        assert!(waited.is_ok(), "{ask} of vm-{number} was run {} times", self.runs(ask, number).len());
    }

    /// Whether the process of the last run is gone, reaped included.
    fn is_gone(&self, ask: &str, number: usize) -> bool {
        let process = fs::read_to_string(self.file("process", ask, number)).unwrap();
        let there = Command::new("kill").args(["-0", process.trim()]).output().unwrap();
        !there.status.success()
    }

    /// These many VMs, of which the first are guarded, and an orchestrator that has the program as two commands.
    async fn stage(&self, guarded: usize, free: usize) -> Stage {
        let mut stage = Stage::set(0).await;
        for number in 0..guarded + free {
            let tags: &[&str] = if number < guarded { &["web", "guardian:ha"] } else { &["web"] };
            stage.create(number, tags).await;
        }
        let program = Program::at(self.0.path().join("program")).unwrap();
        stage.commands = ["off", "back"].map(|name| (name.parse().unwrap(), program.clone())).into();
        stage.restart_orchestrator().await;
        stage
    }
}

/// A runbook whose guardian's commands may take this long.
fn guarded(more: &str, timeout_ms: u64) -> String {
    let guardian = format!("name = \"ha\", hands_off = \"off\", give_back = \"back\", timeout_ms = {timeout_ms}");
    runbook(&format!("{more}\nguardian = [{{ {guardian} }}]"))
}

async fn until(stage: &Stage, number: usize, wanted: impl Fn(&pb::Move) -> bool) -> pb::Move {
    let waited = tokio::time::timeout(HANG, async {
        loop {
            if let Some(one) =
                stage.moves().await.into_iter().find(|one| one.vm == vm(number).to_string() && wanted(one))
            {
                return one;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    match waited.await {
        Ok(one) => one,
        Err(_) => panic!("never as wanted: {:#?}", stage.moves().await),
    }
}

async fn until_given_back(stage: &Stage, number: usize) -> pb::Move {
    until(stage, number, |one| one.guardian_state() == pb::GuardianState::GivenBack).await
}

async fn check(stage: &Stage, runbook: String) -> pb::CheckRunbookResponse {
    stage.client().await.check_runbook(pb::CheckRunbookRequest { runbook }).await.unwrap().into_inner()
}

async fn retry(stage: &mut Stage, number: usize) {
    let request = pb::RetryMovesRequest {
        request_id: stage.request_id(),
        evacuation: stage.evacuation().await.evacuation,
        vms: vec![vm(number).to_string()],
        ordered_by: "the test".to_owned(),
    };
    stage.client().await.retry_moves(request).await.unwrap();
}

async fn cancel(stage: &mut Stage) {
    let request = pb::ChangeEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: stage.evacuation().await.evacuation,
        ordered_by: "the test".to_owned(),
    };
    stage.client().await.cancel_evacuation(request).await.unwrap();
}

#[tokio::test]
async fn hands_are_taken_off_before_anything_is_touched_and_the_vm_is_given_back_where_it_is() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 1).await;
    cluster.dawdles("hands_off", 0);
    stage.create_evacuation(&guarded("", 60_000)).await;
    cluster.until_runs("hands_off", 0, 1).await;
    // The other one doesn't wait for it.
    until(&stage, 1, |one| one.state() == pb::MoveState::Migrated).await;
    let waiting = until(&stage, 0, |one| one.guardian_state() == pb::GuardianState::TakingOff).await;
    assert_eq!((waiting.state(), waiting.attempts, waiting.guardian.as_str()), (pb::MoveState::Waiting, 0, "ha"));
    assert!(waiting.step.contains("hands off"), "{waiting:#?}");
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    assert!(is_as_before(&truth), "{truth:#?}");
    cluster.hurries("hands_off", 0);
    let moved = until_given_back(&stage, 0).await;
    assert_eq!((moved.state(), moved.guardian_error.as_str()), (pb::MoveState::Migrated, ""), "{moved:#?}");
    stage.until_finished().await;
    stage.assert_all_run_at(Side::Destination).await;
    let id = vm(0);
    assert_eq!(cluster.runs("hands_off", 0), [format!("1 {id} none source source-1")]);
    let at = &moved.destination_host;
    assert_eq!(cluster.runs("give_back", 0), [format!("1 {id} destination destination {at}")]);
    // Nobody asks about what nothing guards.
    assert_eq!(cluster.counts(1), (0, 0));
    let free = until(&stage, 1, |_| true).await;
    assert_eq!((free.guardian.as_str(), free.guardian_state()), ("", pb::GuardianState::Unspecified));

    let audit = stage.audit(Some(vm(0))).await;
    let place = |record: &str| audit.iter().position(|one| one == record).unwrap_or_else(|| panic!("{audit:?}"));
    assert!(place("command_intended") < place("command_done"), "{audit:?}");
    assert!(place("command_done") < place("step_intended"), "{audit:?}");
    assert_eq!(audit.last().map(String::as_str), Some("command_done"), "{audit:?}");
    let request = pb::ListAuditRequest { vm: vm(0).to_string(), page_size: 1_000, ..pb::ListAuditRequest::default() };
    let lines = stage.client().await.list_audit(request).await.unwrap().into_inner().lines;
    let words: Vec<&str> = lines.iter().map(|line| line.words.as_str()).filter(|words| !words.is_empty()).collect();
    let (off, back) = ("take ha's hands off it, by command off", "give it back to ha, by command back");
    assert_eq!(
        words,
        [format!("about to {off}"), format!("done: {off}"), format!("about to {back}"), format!("done: {back}")]
    );
}

#[tokio::test]
async fn a_command_knows_what_it_is_told_and_nothing_else() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 0).await;
    let evacuation = stage.create_evacuation(&guarded("", 60_000)).await.evacuation;
    until_given_back(&stage, 0).await;
    for ask in ["hands_off", "give_back"] {
        let text = fs::read_to_string(cluster.file("environment", ask, 0)).unwrap();
        // What a shell adds by itself is its own.
        let told = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        let told: BTreeSet<(&str, &str)> = told.collect();
        let (id, at) = (vm(0).to_string(), until(&stage, 0, |_| true).await.destination_host);
        let mut expected = BTreeSet::from([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("MUSTER_VM_ID", id.as_str()),
            ("MUSTER_VM_NAME", "vm-0"),
            ("MUSTER_GUARDIAN", "ha"),
            ("MUSTER_ASK", ask),
            ("MUSTER_EVACUATION", evacuation.as_str()),
            ("MUSTER_SOURCE_SITE", "source"),
            ("MUSTER_DESTINATION_SITE", "destination"),
        ]);
        if ask == "hands_off" {
            expected.extend([("MUSTER_SITE", "source"), ("MUSTER_HOST", "source-1")]);
        } else {
            let given =
                [("MUSTER_SITE", "destination"), ("MUSTER_HOST", at.as_str()), ("MUSTER_OUTCOME", "destination")];
            expected.extend(given);
        }
        assert_eq!(told, expected, "{ask}");
    }
}

#[tokio::test]
async fn where_the_hands_stay_on_the_move_is_held_and_nothing_touched_until_a_person_tries_again() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(3, 1).await;
    cluster.fails("hands_off", 0, 1_000);
    stage.create_evacuation(&guarded("", 60_000)).await;
    let held = until(&stage, 0, |one| one.state() == pb::MoveState::Held).await;
    assert_eq!((held.held_because.as_str(), held.attempts), (Hold::HandsOffFails.sentence(), 0), "{held:#?}");
    let error = "command off ended with exit status: 3; it said last: the cluster is away";
    assert_eq!((held.error.as_str(), held.guardian_error.as_str()), (error, error), "{held:#?}");
    assert!(!held.remedy.is_empty());
    // One failing command stops nobody else.
    for number in [1, 2, 3] {
        until(&stage, number, |one| one.state() == pb::MoveState::Migrated).await;
    }
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    assert!(is_as_before(&truth), "{truth:#?}");
    assert_eq!(cluster.counts(0).1, 0, "its move isn't over");
    assert_eq!(stage.evacuation().await.state(), pb::EvacuationState::Running);

    cluster.fails("hands_off", 0, 0);
    retry(&mut stage, 0).await;
    let moved = until_given_back(&stage, 0).await;
    assert_eq!((moved.state(), moved.attempts, moved.error.as_str()), (pb::MoveState::Migrated, 1, ""), "{moved:#?}");
    stage.assert_all_run_at(Side::Destination).await;
    assert_eq!(cluster.counts(0).1, 1);
}

#[tokio::test]
async fn hands_are_taken_off_once_for_a_move_however_many_attempts_and_restarts_it_takes() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 0).await;
    let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()));
    stage.world.inject(WorldFault::Rule(Rule { vm: Some(vm(0)), times: 2, kind: fails })).await.unwrap();
    stage
        .create_evacuation(&guarded("retry.attempts = 3\nretry.backoff_ms = 1500\nretry.jitter = false", 60_000))
        .await;
    let between = until(&stage, 0, |one| one.attempts == 1 && one.state() == pb::MoveState::Waiting).await;
    assert_eq!(between.guardian_state(), pb::GuardianState::HandsOff, "{between:#?}");
    stage.restart_orchestrator().await;
    let moved = until_given_back(&stage, 0).await;
    assert_eq!((moved.state(), moved.attempts), (pb::MoveState::Migrated, 3), "{moved:#?}");
    assert_eq!(cluster.counts(0), (1, 1));
}

#[tokio::test]
async fn giving_back_is_owed_until_it_is_done_and_changes_nothing_else() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 1).await;
    cluster.fails("give_back", 0, 2);
    stage.create_evacuation(&guarded("", 60_000)).await;
    let owed = until(&stage, 0, |one| !one.guardian_error.is_empty()).await;
    assert_eq!((owed.state(), owed.error.as_str()), (pb::MoveState::Migrated, ""), "{owed:#?}");
    assert_eq!(owed.guardian_state(), pb::GuardianState::GiveBackOwed);
    assert!(owed.guardian_error.contains("the cluster is away"), "{owed:#?}");
    let finished = stage.until_finished().await.counts.unwrap();
    assert_eq!((finished.migrated, finished.give_back_owed), (2, 1));
    // It goes on where an orchestrator has left it, though the evacuation is over.
    stage.restart_orchestrator().await;
    let given = until_given_back(&stage, 0).await;
    assert_eq!((given.state(), given.guardian_error.as_str()), (pb::MoveState::Migrated, ""), "{given:#?}");
    let id = vm(0);
    let told = format!("1 {id} destination destination {}", given.destination_host);
    assert_eq!(cluster.runs("give_back", 0), [told.clone(), told.clone(), told]);
    assert_eq!(cluster.counts(0).0, 1);
    assert_eq!(stage.evacuation().await.counts.unwrap().give_back_owed, 0);
    stage.restart_orchestrator().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cluster.counts(0), (1, 3), "what is done isn't done again");
}

/// Or the late command of the one could give the VM back in the middle of the other, and say where it was.
#[tokio::test]
async fn a_vm_that_one_evacuation_still_owes_is_not_begun_by_the_next() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 0).await;
    let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()));
    stage.world.inject(WorldFault::once(vm(0), fails)).await.unwrap();
    cluster.fails("give_back", 0, 1_000);
    let first = stage.create_evacuation(&guarded("retry.attempts = 1", 60_000)).await.evacuation;
    until(&stage, 0, |one| one.state() == pb::MoveState::StayedAtSource && !one.guardian_error.is_empty()).await;
    stage.until_finished().await;
    let second = stage.create_evacuation(&guarded("", 60_000)).await.evacuation;
    let held = until(&stage, 0, |one| one.state() == pb::MoveState::Held).await;
    assert_eq!(
        (held.evacuation.as_str(), held.held_because.as_str()),
        (second.as_str(), Hold::HandsOffFails.sentence())
    );
    assert!(held.error.contains(&format!("evacuation {first} still has to give it back to ha")), "{held:#?}");
    assert_eq!(cluster.counts(0).0, 1);
    cluster.fails("give_back", 0, 0);
    let given_back = async {
        loop {
            let request = pb::GetVmRequest { vm: vm(0).to_string() };
            let moves = stage.client().await.get_vm(request).await.unwrap().into_inner().moves;
            if moves.iter().any(|one| one.evacuation == first && one.guardian_state() == pb::GuardianState::GivenBack) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, given_back).await.unwrap();
    retry(&mut stage, 0).await;
    let moved = until_given_back(&stage, 0).await;
    assert_eq!((moved.evacuation.as_str(), moved.state()), (second.as_str(), pb::MoveState::Migrated), "{moved:#?}");
    let told = cluster.runs("give_back", 0);
    assert!(told.last().unwrap().contains(" destination destination "), "{told:?}");
    assert!(told[..told.len() - 1].iter().all(|run| run.contains(" source source ")), "{told:?}");
}

#[tokio::test]
async fn a_cancelled_move_is_given_back_at_the_source() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(2, 0).await;
    // One in its transfer, one whose guardian is just being asked.
    stage.world.inject(WorldFault::once(vm(0), RuleKind::Phase(Phase::PreCopy, Trap::Hold))).await.unwrap();
    cluster.dawdles("hands_off", 1);
    stage.create_evacuation(&guarded("", 60_000)).await;
    until(&stage, 0, |one| one.phase == "pre-copy").await;
    cluster.until_runs("hands_off", 1, 1).await;
    cancel(&mut stage).await;
    for number in [0, 1] {
        let back = until_given_back(&stage, number).await;
        assert_eq!(back.state(), pb::MoveState::StayedAtSource, "{back:#?}");
        let told = format!("1 {} source source {}", vm(number), back.source_host);
        assert_eq!(cluster.runs("give_back", number), [told]);
    }
    assert!(cluster.is_gone("hands_off", 1), "a command that is no longer wanted is killed");
    assert_eq!(cluster.counts(1).0, 1);
    stage.until_finished().await;
    for truth in stage.truth().await {
        assert_sound(&truth);
        assert!(is_as_before(&truth), "{truth:#?}");
    }
}

#[tokio::test]
async fn a_command_whose_outcome_nobody_wrote_down_is_run_again() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 0).await;
    cluster.dawdles("hands_off", 0);
    stage.create_evacuation(&guarded("", 60_000)).await;
    cluster.until_runs("hands_off", 0, 1).await;
    stage.restart_orchestrator().await;
    cluster.until_runs("hands_off", 0, 2).await;
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    assert!(is_as_before(&truth) && cluster.counts(0).1 == 0, "{truth:#?}");
    cluster.dawdles("give_back", 0);
    cluster.hurries("hands_off", 0);
    cluster.until_runs("give_back", 0, 1).await;
    stage.restart_orchestrator().await;
    cluster.until_runs("give_back", 0, 2).await;
    cluster.hurries("give_back", 0);
    until_given_back(&stage, 0).await;
    assert_eq!(cluster.counts(0), (2, 2));
    stage.assert_all_run_at(Side::Destination).await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_and_its_move_held() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 1).await;
    cluster.dawdles("hands_off", 0);
    stage.create_evacuation(&guarded("", 300)).await;
    let held = until(&stage, 0, |one| one.state() == pb::MoveState::Held).await;
    assert!(held.error.contains("command off has not ended within 300 ms and was killed"), "{held:#?}");
    assert!(cluster.is_gone("hands_off", 0));
    until(&stage, 1, |one| one.state() == pb::MoveState::Migrated).await;
    // Its hands may be off all the same: called off, the VM is given back.
    cancel(&mut stage).await;
    let back = until_given_back(&stage, 0).await;
    assert_eq!(back.state(), pb::MoveState::StayedAtSource, "{back:#?}");
    assert!(cluster.runs("give_back", 0)[0].contains(" source source "));
}

#[tokio::test]
async fn without_its_commands_nothing_is_begun_and_it_is_said_what_to_add() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 1).await;
    let bare = check(&stage, runbook("")).await;
    assert_eq!(bare.findings.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["guarded"], "{bare:#?}");
    assert!(bare.findings[0].mend.contains("[[guardian]]"), "{bare:#?}");
    let ready = check(&stage, guarded("", 1_000)).await;
    assert_eq!((ready.moves, ready.findings.len()), (2, 1), "{ready:#?}");
    assert_eq!(
        (ready.findings[0].kind.as_str(), ready.findings[0].severity()),
        ("commands_are_run", pb::FindingSeverity::Warning)
    );

    stage.commands.retain(|name, _| name.as_str() == "off");
    stage.restart_orchestrator().await;
    let missing = check(&stage, guarded("", 1_000)).await;
    let found = &missing.findings[0];
    assert_eq!(
        (found.kind.as_str(), found.severity()),
        ("command_missing", pb::FindingSeverity::Blocking),
        "{missing:#?}"
    );
    assert!(found.what.contains("no command back") && found.mend.contains("--command"), "{found:#?}");
    let request = pb::CreateEvacuationRequest {
        request_id: stage.request_id(),
        runbook: guarded("", 1_000),
        ..pb::CreateEvacuationRequest::default()
    };
    let refused = stage.client().await.create_evacuation(request).await.unwrap_err();
    let told = Fault::from(&refused).violations.remove(0).description;
    assert!(told.contains("no command back") && told.contains("--command"), "{told}");
    assert_eq!(cluster.counts(0), (0, 0));
}

#[tokio::test]
async fn a_command_that_is_gone_after_a_restart_holds_the_move_and_goes_on_once_it_is_back() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 0).await;
    cluster.fails("hands_off", 0, 1);
    stage.create_evacuation(&guarded("", 60_000)).await;
    until(&stage, 0, |one| one.state() == pb::MoveState::Held).await;
    let commands = std::mem::take(&mut stage.commands);
    stage.restart_orchestrator().await;
    let held = until(&stage, 0, |one| one.error.contains("has no command off")).await;
    assert_eq!(held.held_because, Hold::HandsOffFails.sentence(), "{held:#?}");
    assert!(held.error.contains("--command"), "{held:#?}");
    stage.commands = commands;
    stage.restart_orchestrator().await;
    until_given_back(&stage, 0).await;
    stage.assert_all_run_at(Side::Destination).await;
}

#[tokio::test]
async fn hands_stay_on_while_the_source_can_not_be_asked() {
    let cluster = Cluster::new();
    let mut stage = cluster.stage(1, 1).await;
    stage.world.inject(WorldFault::once(vm(1), RuleKind::Phase(Phase::PreCopy, Trap::Hold))).await.unwrap();
    let waves = "wave = [{ name = \"free\", select = [{ names = [\"vm-1\"] }] },\
        { name = \"guarded\", select = [{ names = [\"vm-0\"] }] }]";
    let text = guarded(waves, 60_000).replace("[[select]]\nall = true\n", "");
    stage.create_evacuation(&text).await;
    until(&stage, 1, |one| one.phase == "pre-copy").await;
    // Before its turn comes, its host falls silent for a while.
    let silent = HostFault::Silent { for_ms: 3_000 };
    stage.world.inject(WorldFault::Host(site(Side::Source), host(Side::Source, 1), silent)).await.unwrap();
    stage.world.inject(WorldFault::ReleaseTransfers(None)).await.unwrap();
    let held = until(&stage, 0, |one| one.state() == pb::MoveState::Held).await;
    assert_eq!(held.held_because, Hold::SourceSilent.sentence(), "{held:#?}");
    assert_eq!(cluster.counts(0), (0, 0), "a VM that can't move stays in its guardian's hands");
    until_given_back(&stage, 0).await;
    assert_eq!(cluster.counts(0), (1, 1));
    stage.assert_all_run_at(Side::Destination).await;
}
